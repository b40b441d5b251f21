//! Credentials as people write them, and as nobody does: each becomes a connection or an error, and never a panic.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::call::{CONFIG_MAP, Call, Verb};
use crate::error::ClusterError;
use crate::settings::Exec;
use crate::{Cluster, Settings};

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

/// Gets a connection ready and sends a first request.
fn ask(settings: &Settings) -> Result<(), ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cluster = Cluster::connect(settings, &|_| None).await?;
        let call = Call::new(Verb::Get, CONFIG_MAP, "ns", "name");
        cluster
            .ask(&call, call.request("").unwrap())
            .await
            .map(drop)
    })
}

/// The error of a request that was sent is that nobody answers.
fn is_sent(asked: Result<(), ClusterError>) -> Result<(), ClusterError> {
    match asked {
        Err(ClusterError::Unreachable { .. }) => Ok(()),
        other => other,
    }
}

fn at_nobody() -> Settings {
    Settings {
        host: Some(format!("https://{NOBODY}")),
        insecure: true,
        ..Settings::default()
    }
}

/// A kubeconfig of one cluster and one user.
fn kubeconfig(cluster: &Value, user: &Value) -> (tempfile::TempDir, Settings) {
    let config = json!({
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    fs::write(&path, config.to_string()).unwrap();
    let settings = Settings {
        config_paths: vec![path],
        ..Settings::default()
    };
    (folder, settings)
}

fn of_user(user: &Value) -> (tempfile::TempDir, Settings) {
    let server = format!("https://{NOBODY}");
    kubeconfig(
        &json!({ "server": server, "insecure-skip-tls-verify": true }),
        user,
    )
}

#[test]
fn a_token_with_a_line_break_is_refused_at_its_attribute() {
    let settings = Settings {
        token: Some(SecretString::from("very-secret\n")),
        ..at_nobody()
    };
    let error = ask(&settings).unwrap_err();
    let ClusterError::Settings(problems) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].attribute, "token");
    assert!(!format!("{error} {error:?}").contains("very-secret"));
}

#[test]
fn a_token_with_a_line_break_in_a_kubeconfig_is_refused_with_the_file_and_its_context() {
    let (folder, settings) = of_user(&json!({ "token": "very-secret\n" }));
    let error = ask(&settings).unwrap_err();
    let path = folder.path().join("config").display().to_string();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("kubeconfig {path} (context x) ")),
        "{text}"
    );
    assert!(!format!("{error} {error:?}").contains("very-secret"));
}

#[test]
fn a_token_file_may_end_in_a_line_break_as_for_kubectl() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "abc\r\n").unwrap();
    let (_config, settings) = of_user(&json!({ "tokenFile": file }));
    is_sent(ask(&settings)).unwrap();
}

/// Any text, with line breaks and other control characters.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![any::<char>(), Just('\n'), Just('\0')];
    vec(character, 0..12).prop_map(String::from_iter)
}

/// Text that is long enough for some limit. It repeats itself: to choose each character would take most of the tests' time.
fn long() -> impl Strategy<Value = String> {
    let part = "[a-z/.]{600,700}".prop_map(|part| part.repeat(100));
    prop_oneof![4 => text(), 1 => part]
}

/// PEM of anything.
fn pem() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        Just("CERTIFICATE"),
        Just("PRIVATE KEY"),
        Just("RSA PRIVATE KEY"),
        Just("EC PRIVATE KEY"),
    ];
    let block = (label, vec(any::<u8>(), 0..60)).prop_map(|(label, bytes)| {
        let body = base64(&bytes);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    });
    prop_oneof![
        text(),
        block,
        vec(any::<u8>(), 0..20).prop_map(|bytes| base64(&bytes))
    ]
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Any value of JSON, and such as stand in kubeconfigs.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
        pem().prop_map(Value::from),
        pem().prop_map(|pem| base64(pem.as_bytes()).into()),
        Just("9999-12-31T23:59:59Z".into()),
        Just("-009999-01-02T00:00:00Z".into()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// An object with some of these keys.
fn object(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    vec(of(value()), keys.len()).prop_map(move |values| {
        let fields = keys.iter().zip(values);
        fields
            .filter_map(|(key, value)| Some(((*key).to_owned(), value?)))
            .collect()
    })
}

proptest! {
    #[test]
    fn no_credential_of_the_block_panics(
        token in of(long()),
        username in of(text()),
        password in of(long()),
        name in of(text()),
        certificate in of(pem()),
        key in of(pem()),
    ) {
        let settings = Settings {
            token: token.map(SecretString::from),
            username,
            password: password.map(SecretString::from),
            tls_server_name: name,
            cluster_ca_certificate: certificate.clone(),
            client_certificate: certificate,
            client_key: key.map(SecretString::from),
            ..at_nobody()
        };
        drop(ask(&settings));
    }

    #[test]
    fn no_address_panics(
        host in long(),
        scheme in prop_oneof![Just("http"), Just("https"), Just("socks5"), Just("socks5h")],
        login in of("[^/?#]{0,8}"),
        rest in "[^@]{0,6}",
    ) {
        let login = login.map(|login| login + "@").unwrap_or_default();
        // The proxy is asked for every host, so that nobody looks one up.
        let settings = Settings {
            host: Some(host),
            proxy_url: Some(SecretString::from(format!("{scheme}://{login}{NOBODY}/{rest}"))),
            ..at_nobody()
        };
        drop(ask(&settings));
    }

    #[test]
    fn no_proxy_panics(url in "(http|https|socks5|ftp)://[^/]{0,20}", upper in any::<bool>()) {
        let block = Settings { proxy_url: Some(SecretString::from(url.clone())), ..at_nobody() };
        drop(Cluster::new(&block, &|_| None));
        let remote = Settings { host: Some("https://192.0.2.1".into()), ..at_nobody() };
        let name = if upper { "HTTPS_PROXY" } else { "https_proxy" };
        drop(Cluster::new(&remote, &|of| (of == name).then(|| url.clone())));
    }

    #[test]
    fn no_user_of_a_kubeconfig_panics(
        user in object(&[
            "token", "username", "password", "client-certificate-data", "client-key-data", "client-certificate",
            "tokenFile", "auth-provider",
        ]),
        impersonated in object(&["as", "as-uid", "as-groups", "as-user-extra"]),
        provider in object(&["id-token", "access-token", "expiry", "cmd-path"]),
    ) {
        let (_folder, settings) = of_user(&user);
        drop(ask(&settings));
        let (_folder, settings) = of_user(&impersonated);
        drop(ask(&settings));
        for name in ["oidc", "gcp", "azure"] {
            let (_folder, settings) = of_user(&json!({ "auth-provider": { "name": name, "config": provider } }));
            drop(ask(&settings));
        }
    }

    #[test]
    fn no_impersonation_panics(user in long(), group in text(), key in text(), extra in text()) {
        let (_folder, settings) = of_user(&json!({
            "as": user, "as-uid": user, "as-groups": [group], "as-user-extra": { key: [extra] },
        }));
        drop(ask(&settings));
    }

    #[test]
    fn no_kubeconfig_panics(
        cluster in object(&[
            "certificate-authority-data", "certificate-authority", "tls-server-name", "disable-compression",
            "insecure-skip-tls-verify", "extensions",
        ]),
        text in text(),
        all in object(&["clusters", "users", "contexts", "current-context", "kind", "apiVersion", "preferences"]),
    ) {
        let mut cluster = cluster;
        cluster["server"] = format!("https://{NOBODY}/{text}").into();
        let (folder, settings) = kubeconfig(&cluster, &json!({ "token": "t" }));
        drop(ask(&settings));
        for whole in [text, all.to_string()] {
            fs::write(folder.path().join("config"), whole).unwrap();
            drop(ask(&settings));
        }
    }

    #[test]
    fn no_answer_of_a_plugin_panics(
        whole in value(),
        status in value(),
        fields in object(&["token", "clientCertificateData", "clientKeyData", "expirationTimestamp"]),
        text in text(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer");
        for answer in [
            whole.to_string(),
            json!({ "status": status }).to_string(),
            json!({ "status": fields }).to_string(),
            text,
        ] {
            fs::write(&path, answer).unwrap();
            drop(ask(&printing(&path)));
        }
    }
}

fn printing(file: &Path) -> Settings {
    let exec = Exec {
        api_version: "client.authentication.k8s.io/v1".into(),
        command: "cat".into(),
        args: vec![file.display().to_string()],
        env: [].into(),
    };
    Settings {
        exec: Some(exec),
        ..at_nobody()
    }
}
