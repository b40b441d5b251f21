//! Each form of the provider block and of the environment, without a server.

use std::fs;
use std::path::Path;

use kube::Config;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::*;
use crate::Cluster;
use crate::connect::way;
use crate::settings::Exec;

const TWO: &str = r#"
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: one, cluster: {server: "https://one.example:6443", tls-server-name: inner.example}}
- {name: two, cluster: {server: "https://two.example", proxy-url: "http://proxy.example:3128", insecure-skip-tls-verify: true}}
users:
- {name: alice, user: {token: alices-token}}
- {name: bob, user: {username: bob, password: bobs-password}}
contexts:
- {name: one, context: {cluster: one, user: alice}}
- {name: two, context: {cluster: two, user: bob}}
"#;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn from_file(path: &Path) -> Settings {
    Settings {
        config_paths: vec![path.into()],
        ..Settings::default()
    }
}

fn made(settings: &Settings, environment: &[(&str, &str)]) -> Result<Config, ClusterError> {
    let variable = |name: &str| {
        environment
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    way(settings, &variable).map(|way| way.config)
}

fn server_and_login(config: &Config) -> (String, Option<&str>, Option<&str>) {
    let token = config
        .auth_info
        .token
        .as_ref()
        .map(ExposeSecret::expose_secret);
    (
        config.cluster_url.to_string(),
        token,
        config.auth_info.username.as_deref(),
    )
}

#[test]
fn a_file_gives_its_current_context_and_settings_choose_another() {
    let folder = folder(&[("config", TWO)]);
    let file = from_file(&folder.path().join("config"));
    let config = made(&file, &[]).unwrap();
    assert_eq!(
        server_and_login(&config),
        (
            "https://one.example:6443/".into(),
            Some("alices-token"),
            None
        )
    );
    assert_eq!(config.tls_server_name.as_deref(), Some("inner.example"));

    let other = Settings {
        config_context: Some("two".into()),
        ..file.clone()
    };
    let config = made(&other, &[]).unwrap();
    assert_eq!(
        server_and_login(&config),
        ("https://two.example/".into(), None, Some("bob"))
    );
    assert!(config.accept_invalid_certs);
    assert_eq!(config.proxy_url.unwrap().host(), Some("proxy.example"));

    let mixed = Settings {
        config_context_cluster: Some("two".into()),
        config_context_auth_info: Some("alice".into()),
        ..file
    };
    let config = made(&mixed, &[]).unwrap();
    assert_eq!(
        server_and_login(&config),
        ("https://two.example/".into(), Some("alices-token"), None)
    );
}

#[test]
fn settings_beat_the_file_and_credentials_are_never_mixed() {
    let folder = folder(&[("config", TWO)]);
    let settings = Settings {
        host: Some("192.0.2.1:6443".into()),
        client_certificate: Some(CERTIFICATE.into()),
        client_key: Some(SecretString::from(KEY)),
        cluster_ca_certificate: Some(CERTIFICATE.into()),
        tls_server_name: Some("outer.example".into()),
        ..from_file(&folder.path().join("config"))
    };
    let config = made(&settings, &[]).unwrap();
    assert_eq!(
        server_and_login(&config),
        ("https://192.0.2.1:6443/".into(), None, None)
    );
    assert_eq!(config.root_cert, Some(vec![vec![1, 2, 3]]));
    assert_eq!(config.tls_server_name.as_deref(), Some("outer.example"));
    assert!(
        config.auth_info.client_certificate_data.is_some()
            && config.auth_info.client_key_data.is_some()
    );
    assert!(
        !format!("{settings:?} {config:?}").contains("c2VjcmV0"),
        "a key never shows itself"
    );
}

#[test]
fn the_environment_is_read_in_its_order_and_only_without_host_and_paths() {
    let folder = folder(&[
        ("config", TWO),
        (
            "other",
            &TWO.replace("current-context: one", "current-context: two"),
        ),
    ]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (first, second, list) = (
        at("config"),
        at("other"),
        format!("{}:{}", at("missing"), at("other")),
    );
    let one = "https://one.example:6443/";
    let two = "https://two.example/";
    let pod = [
        ("KUBERNETES_SERVICE_HOST", "fd00::1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
        ("KUBECONFIG", list.as_str()),
    ];
    let cases: [(&[(&str, &str)], &str); 4] = [
        (
            &[
                ("KUBE_CONFIG_PATH", first.as_str()),
                ("KUBECONFIG", second.as_str()),
            ],
            one,
        ),
        (
            &[
                ("KUBE_CONFIG_PATH", ""),
                ("KUBE_CONFIG_PATHS", second.as_str()),
                ("KUBECONFIG", first.as_str()),
            ],
            two,
        ),
        (&pod, two),
        (
            &[
                ("KUBE_CONFIG_PATH", "~/config"),
                ("HOME", folder.path().to_str().unwrap()),
            ],
            one,
        ),
    ];
    for (environment, expected) in cases {
        let config = made(&Settings::default(), environment).unwrap();
        assert_eq!(config.cluster_url.to_string(), expected, "{environment:?}");
    }
    let host = Settings {
        host: Some("https://set.example".into()),
        ..Settings::default()
    };
    let config = made(&host, &[("KUBECONFIG", &first)]).unwrap();
    assert_eq!(
        server_and_login(&config),
        ("https://set.example/".into(), None, None)
    );
}

#[test]
fn a_pod_finds_its_own_cluster() {
    let variable = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        _ => None,
    };
    let chosen = selected(&Settings::default(), &variable).unwrap();
    assert_eq!(chosen.cluster.server.unwrap(), "https://[fd00::1]:443");
    assert_eq!(
        chosen.user.token_file.unwrap(),
        "/var/run/secrets/kubernetes.io/serviceaccount/token"
    );
}

#[test]
fn without_any_configuration_the_error_says_what_to_set() {
    let error = made(&Settings::default(), &[("HOME", "/root")]).unwrap_err();
    assert!(matches!(error, ClusterError::NoConfiguration), "{error:?}");
    for name in [
        "kubernetes.config_path",
        "kubernetes.host",
        "KUBE_CONFIG_PATH",
        "KUBECONFIG",
    ] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_file_that_does_not_fit_is_named_with_what_it_has() {
    let secret = "users: [{name: a, user: {token: [very-secret}}]";
    let no_server = TWO.replace("server: \"https://one.example:6443\", ", "");
    let folder = folder(&[
        ("config", TWO),
        ("broken", secret),
        ("empty", ""),
        ("no-server", &no_server),
    ]);
    let at = |name: &str| from_file(&folder.path().join(name));
    let context = Settings {
        config_context: Some("three".into()),
        ..at("config")
    };
    let user = Settings {
        config_context_auth_info: Some("carol".into()),
        ..at("config")
    };
    let cases = [
        (context, "", "it has no context three; it has one, two"),
        (
            user,
            " (context one)",
            "it has no user carol; it has alice, bob",
        ),
        (
            at("broken"),
            "",
            "it is not a valid kubeconfig (line 1, column",
        ),
        (
            at("empty"),
            "",
            "it has no current context: set kubernetes.config_context; it has none at all",
        ),
        (
            at("no-server"),
            " (context one)",
            "the cluster it names has no server",
        ),
    ];
    for (settings, context, expected) in cases {
        let error = made(&settings, &[]).unwrap_err();
        let path = settings.config_paths[0].display().to_string();
        assert!(
            error.to_string().starts_with(&format!(
                "kubeconfig {path}{context} cannot be used: {expected}"
            )),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("very-secret"), "{error:?}");
    }
}

/// As `kubectl proxy` needs none, and the block may have one of its own.
#[test]
fn a_context_without_a_user_has_the_token_of_the_block_or_none() {
    for user in ["bob", "''", "null"] {
        let file = format!(
            "current-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: {user}}}}}]\n\
             clusters: [{{name: a, cluster: {{server: 'https://a.example'}}}}]\nusers: null\n"
        );
        let folder = folder(&[("config", &file)]);
        let settings = from_file(&folder.path().join("config"));
        let alone = made(&settings, &[]).unwrap();
        let server = "https://a.example/";
        assert_eq!(server_and_login(&alone), (server.into(), None, None));
        let settings = Settings {
            token: Some(SecretString::from("own")),
            ..settings
        };
        let with_token = made(&settings, &[]).unwrap();
        assert_eq!(
            server_and_login(&with_token),
            (server.into(), Some("own"), None)
        );
    }
}

#[test]
fn errors_name_the_kubeconfig_and_the_context_that_they_come_from() {
    for (of, part) in [
        (
            "cluster: {server: 'https://a.example', tls-server-name: 'a b'}",
            "tls-server-name",
        ),
        (
            "cluster: {server: 'https://a.example', proxy-url: 'ftp://a'}",
            "proxy-url",
        ),
        (
            "cluster: {server: 'https://a.example', certificate-authority-data: QUJD}",
            "certificate-authority",
        ),
        (
            "cluster: {server: 'https://a.example', certificate-authority: missing}",
            "missing",
        ),
        ("cluster: {server: 'ftp://a.example'}", "server"),
    ] {
        let file = format!(
            "current-context: prod\ncontexts: [{{name: prod, context: {{cluster: a}}}}]\nclusters: [{{name: a, {of}}}]\n"
        );
        let folder = folder(&[("config", &file)]);
        let path = folder.path().join("config");
        let named = [("KUBECONFIG", path.to_str().unwrap())];
        let text = made(&Settings::default(), &named).unwrap_err().to_string();
        let begin = format!(
            "kubeconfig {} (context prod) cannot be used: ",
            path.display()
        );
        let reason = text
            .strip_prefix(&begin)
            .unwrap_or_else(|| panic!("{text}"));
        assert!(
            reason.contains(part) && !reason.contains("kubernetes."),
            "{text}"
        );
    }
}

#[test]
fn a_missing_file_is_distinguished() {
    let missing = from_file(std::path::Path::new("/nowhere/kubeconfig"));
    let error = made(&missing, &[]).unwrap_err();
    let path = missing.config_paths.into_iter().next().unwrap();
    assert!(
        matches!(&error, ClusterError::NoKubeconfig { path: of } if *of == path),
        "{error}"
    );
}

#[test]
fn all_attributes_that_cannot_be_used_are_reported_at_once() {
    let settings = Settings {
        host: Some("ftp://x".into()),
        username: Some("bob".into()),
        cluster_ca_certificate: Some("QUJD".into()),
        client_key: Some(SecretString::from("my key")),
        proxy_url: Some(SecretString::from("ftp://user:hidden@proxy")),
        ..Settings::default()
    };
    let error = made(&settings, &[]).unwrap_err();
    let ClusterError::Settings(problems) = &error else {
        panic!("{error:?}")
    };
    let attributes: Vec<_> = problems.iter().map(|problem| problem.attribute).collect();
    assert_eq!(
        attributes,
        [
            "cluster_ca_certificate",
            "client_key",
            "client_certificate",
            "username",
            "host",
            "proxy_url"
        ]
    );
    assert!(!format!("{error:?} {error} {settings:?}").contains("hidden"));
}

#[test]
fn the_environments_proxy_serves_what_no_proxy_leaves() {
    let no_proxy = "corp.example, .inner.example,10.0.0.0/8,fd00::/8,192.0.2.1";
    let cases = [
        ("https://api.example", true),
        ("https://notcorp.example", true),
        ("https://api.corp.example", false),
        ("https://inner.example", true),
        ("https://api.inner.example", false),
        ("https://10.1.2.3:6443", false),
        ("https://11.1.2.3:6443", true),
        ("https://[fd00::1]:6443", false),
        ("https://192.0.2.1", false),
        ("https://127.0.0.1:6443", false),
        ("https://localhost", false),
    ];
    for (host, proxied) in cases {
        let settings = Settings {
            host: Some(host.into()),
            ..Settings::default()
        };
        let environment = [
            ("https_proxy", "http://proxy.example:3128"),
            ("NO_PROXY", no_proxy),
        ];
        let config = made(&settings, &environment).unwrap();
        assert_eq!(config.proxy_url.is_some(), proxied, "{host}");
    }
}

fn plugin_of(script: &str) -> Settings {
    let exec = Exec {
        api_version: "client.authentication.k8s.io/v1".into(),
        command: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: [("ANSWER".to_owned(), SecretString::from("hidden-value"))].into(),
    };
    Settings {
        host: Some("https://127.0.0.1:1".into()),
        insecure: true,
        exec: Some(exec),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_plugin_gives_the_credentials_and_never_prompts_on_a_terminal() {
    let answer = r#"test "$ANSWER" = hidden-value && case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 3 ;; esac
        echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}'"#;
    Cluster::connect(&plugin_of(answer), &|_| None)
        .await
        .map(|_| ())
        .unwrap();
}

#[tokio::test]
async fn a_plugin_that_fails_is_quoted_without_what_it_printed_as_credential() {
    let script = "echo half-a-token; echo first >&2; echo 'cannot log in' >&2; exit 7";
    let Err(error) = Cluster::connect(&plugin_of(script), &|_| None).await else {
        panic!("connected")
    };
    assert_eq!(
        error.to_string(),
        "the exec plugin sh of the provider's kubernetes block ended with exit status: 7"
    );
    let ClusterError::Plugin { printed, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(printed.as_slice(), ["first", "cannot log in"]);
    let all = format!("{error:?}");
    assert!(
        !all.contains("half-a-token") && !all.contains("hidden-value"),
        "{all}"
    );
}

/// A character that belongs encoded makes the URL wrong, and whoever reads the error must not read the password.
#[test]
fn a_wrong_server_is_shown_without_its_login() {
    for (server, shown) in [
        (
            "https://admin:hunter2/ss@10.0.0.1:6443",
            "https://…@10.0.0.1:6443",
        ),
        ("https://me:hunter2@a:b/ss@10.0.0.1", "https://…@10.0.0.1"),
        ("ftp://admin:hunter2@10.0.0.1", "ftp://…@10.0.0.1"),
        ("admin:hunter2://ss@10.0.0.1", "…@10.0.0.1"),
        ("https://me:hunter2@10.0.0.1:x", "https://…@10.0.0.1:x"),
        ("https://10.0.0.1:x", "https://10.0.0.1:x"),
    ] {
        let by_host = Settings {
            host: Some(server.into()),
            ..Settings::default()
        };
        let config = format!(
            "{{clusters: [{{name: a, cluster: {{server: {server:?}}}}}], contexts: [{{name: a, context: {{cluster: a}}}}], current-context: a}}"
        );
        let folder = folder(&[("config", &config)]);
        for settings in [by_host, from_file(&folder.path().join("config"))] {
            let error = made(&settings, &[]).unwrap_err().to_string();
            let said = format!("got {shown:?}");
            assert!(error.contains(&said), "{server}: {error}");
            assert!(!error.contains("hunter2"), "{server}: {error}");
        }
    }
}

/// The first part of a password may look like a port.
#[test]
fn a_server_that_may_be_one_is_shown_without_what_may_be_a_login() {
    for (server, shown) in [
        (
            "https://me:p4@10.0.0.1:6443/",
            "https://…@10.0.0.1:6443 with",
        ),
        ("https://admin:12/p4@10.0.0.1", "https://…@10.0.0.1 with"),
        ("https://10.0.0.1:/k8s", "https://10.0.0.1:/k8s with"),
        ("https://[fd00::1]", "https://[fd00::1] with"),
    ] {
        let settings = Settings {
            host: Some(server.into()),
            ..Settings::default()
        };
        let described = Cluster::new(&settings, &|_| None).unwrap().described();
        assert!(described.starts_with(shown), "{server}: {described}");
    }
}
