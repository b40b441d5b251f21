//! Credentials as people write them, and as nobody does: each becomes a connection or an error, and never a panic.

use std::fs;

use proptest::prelude::*;
use secrecy::SecretString;

use crate::error::ClusterError;
use crate::{Cluster, Settings};

/// Gets a connection ready, as before the first request, and makes the header of that request.
fn connect(settings: &Settings) -> Result<(), ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cluster = Cluster::connect(settings, &|_| None).await?;
        if let Some(bearer) = cluster.bearer() {
            bearer.header().await?;
        }
        Ok(())
    })
}

fn at_host() -> Settings {
    Settings {
        host: Some("https://127.0.0.1:1".into()),
        insecure: true,
        ..Settings::default()
    }
}

/// A kubeconfig of one cluster, with this user.
fn kubeconfig(user: &serde_json::Value) -> (tempfile::TempDir, Settings) {
    let config = serde_json::json!({
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": true}}],
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

#[test]
fn a_token_with_a_line_break_is_refused_at_its_attribute() {
    let settings = Settings {
        token: Some(SecretString::from("very-secret\n")),
        ..at_host()
    };
    let error = connect(&settings).unwrap_err();
    let ClusterError::Settings(problems) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].attribute, "token");
    assert!(!format!("{error} {error:?}").contains("very-secret"));
}

#[test]
fn a_token_with_a_line_break_in_a_kubeconfig_is_refused_with_the_file() {
    let (folder, settings) = kubeconfig(&serde_json::json!({ "token": "very-secret\n" }));
    let error = connect(&settings).unwrap_err();
    let path = folder.path().join("config");
    assert!(
        matches!(&error, ClusterError::Kubeconfig { path: of, .. } if *of == path),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("very-secret"));
}

#[test]
fn a_token_file_may_end_in_a_line_break_as_for_kubectl() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "abc\r\n").unwrap();
    let (_config, settings) = kubeconfig(&serde_json::json!({ "tokenFile": file }));
    connect(&settings).unwrap();
}

/// Any text, with line breaks and other control characters.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![any::<char>(), Just('\n'), Just('\0')];
    proptest::collection::vec(character, 0..12).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn no_credential_of_the_block_panics(
        token in proptest::option::of(text()),
        username in proptest::option::of(text()),
        password in proptest::option::of(text()),
        host in proptest::option::of(text()),
        name in proptest::option::of(text()),
        proxy in proptest::option::of("(http|https|socks5)://[^/]{0,20}"),
    ) {
        let settings = Settings {
            token: token.map(SecretString::from),
            username,
            password: password.map(SecretString::from),
            host: host.or_else(|| Some("https://127.0.0.1:1".into())),
            tls_server_name: name,
            proxy_url: proxy.map(SecretString::from),
            insecure: true,
            ..Settings::default()
        };
        drop(connect(&settings));
    }

    #[test]
    fn no_credential_of_a_kubeconfig_panics(
        token in text(),
        username in text(),
        password in text(),
        impersonated in text(),
        groups in proptest::collection::vec(text(), 0..3),
        certificate in text(),
    ) {
        for user in [
            serde_json::json!({ "token": token }),
            serde_json::json!({ "username": username, "password": password }),
            serde_json::json!({ "token": "t", "as": impersonated, "as-groups": groups }),
            serde_json::json!({ "client-certificate-data": certificate, "client-key-data": certificate }),
        ] {
            let (_folder, settings) = kubeconfig(&user);
            drop(connect(&settings));
        }
    }
}
