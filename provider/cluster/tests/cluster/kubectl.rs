//! What kubectl accepts, the provider accepts, and what kubectl refuses is refused: both use the same kubeconfigs for the
//! same API server.

use std::path::{Path, PathBuf};

use cluster::{Cluster, ClusterError, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::bed::{kubectl, server, workload};
use crate::certificates::{Authority, Certified, version_1};
use crate::fronts::{in_plain, in_tls, socks};

#[derive(Debug, PartialEq)]
enum Outcome {
    Answers,
    /// The API server knows the user, who is not allowed.
    Forbids,
    DoesNotKnow,
    /// There is no connection, or no credential.
    Fails,
}
use Outcome::{Answers, DoesNotKnow, Fails, Forbids};

async fn of_kubectl(kubeconfig: &Path) -> (Outcome, String) {
    let asked = Command::new(kubectl().binary())
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--request-timeout", "20s", "get", "--raw"])
        .arg("/api/v1/namespaces/default/configmaps")
        .output();
    let asked = asked.await.unwrap();
    let said = String::from_utf8(asked.stderr).unwrap();
    let outcome = match &said {
        _ if asked.status.success() => Answers,
        said if said.contains("(Forbidden)") => Forbids,
        said if said.contains("(Unauthorized)") || said.contains("must be logged in") => {
            DoesNotKnow
        }
        _ => Fails,
    };
    (outcome, said)
}

async fn of_ours(kubeconfig: &Path) -> (Outcome, String) {
    let settings = Settings {
        config_paths: vec![kubeconfig.into()],
        ..Settings::default()
    };
    let asked = async {
        let cluster = Cluster::connect(&settings, &|_| None).await?;
        let id = "default/ratings".parse().unwrap();
        cluster.observe(&id, &[]).await
    };
    match asked.await {
        Ok(_) => (Answers, String::new()),
        Err(error) if error.is_forbidden() => (Forbids, error.to_string()),
        Err(
            error @ (ClusterError::Unauthorized { .. }
            | ClusterError::Anonymous { status: 401, .. }),
        ) => (DoesNotKnow, error.to_string()),
        Err(error) => (Fails, format!("{error:?}")),
    }
}

/// Kubeconfigs in one folder.
struct Cases {
    folder: TempDir,
    count: usize,
}

impl Cases {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            count: 0,
        }
    }

    /// Asks both with a kubeconfig of this cluster and these users.
    async fn check(&mut self, expected: Outcome, cluster: Value, users: Value) {
        self.count += 1;
        let name = users[0]["name"].as_str().unwrap_or_default().to_owned();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{ "name": "here", "context": { "cluster": "here", "user": name } }],
            "clusters": [{ "name": "here", "cluster": cluster }],
            "users": users,
        });
        let path = self.write(&format!("config-{}", self.count), config.to_string());
        let (outcome, text) = of_kubectl(&path).await;
        assert_eq!(outcome, expected, "kubectl: {text}: {config}");
        let (outcome, text) = of_ours(&path).await;
        assert_eq!(outcome, expected, "{text}: {config}");
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(server().file(name)).unwrap()
}

/// The API server, with `more` in place of what a kubeconfig usually says of it.
fn here(more: &Value) -> Value {
    let mut cluster =
        json!({ "server": server().url(), "certificate-authority": server().file("ca.crt") });
    for (key, value) in more.as_object().unwrap() {
        cluster[key] = value.clone();
    }
    cluster
}

fn user(user: &Value) -> Value {
    json!([{ "name": "me", "user": user }])
}

fn admin() -> Value {
    json!({ "client-certificate": server().file("admin.crt"), "client-key": server().file("admin.key") })
}

fn base64(text: impl AsRef<[u8]>) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_kubeconfig_are_read_as_kubectl_reads_them() {
    let mut cases = Cases::new();
    let plain = here(&json!({}));
    cases.check(Answers, plain.clone(), user(&admin())).await;
    let lines: Vec<_> = base64(read("ca.crt")).into_bytes();
    let lines: Vec<_> = lines
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap().to_owned())
        .collect();
    let data =
        json!({ "certificate-authority": "", "certificate-authority-data": lines.join("\n") });
    cases.check(Answers, here(&data), user(&admin())).await;
    let unset = json!({ "certificate-authority-data": "", "proxy-url": "", "tls-server-name": "" });
    let mut of_user = admin();
    for key in [
        "token",
        "tokenFile",
        "username",
        "password",
        "client-certificate-data",
        "client-key-data",
        "as",
    ] {
        of_user[key] = "".into();
    }
    cases.check(Answers, here(&unset), user(&of_user)).await;
    let slash = server().url() + "/";
    cases
        .check(Answers, here(&json!({ "server": slash })), user(&admin()))
        .await;
    let broken = json!({ "token": "two\nlines" });
    cases.check(Fails, plain, user(&broken)).await;
}

/// As behind `kubectl proxy`. Over TLS, kubectl asks for a name and a password.
#[tokio::test(flavor = "multi_thread")]
async fn a_context_needs_no_user() {
    let mut cases = Cases::new();
    let port = in_plain(&server().url()).await;
    for address in [
        format!("http://127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
    ] {
        let proxied = json!({ "server": address });
        for users in [
            json!(null),
            json!([{ "name": "", "user": {} }]),
            json!([{ "name": "me", "user": null }]),
            json!([{ "name": "me" }]),
        ] {
            cases.check(Forbids, proxied.clone(), users).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credentials_of_kubectl_are_accepted() {
    let mut cases = Cases::new();
    let plain = here(&json!({}));
    let id = workload();
    let token = kubectl()
        .token(id.namespace.as_str(), "ratings", None)
        .unwrap();
    let file = cases.write("token", format!("{token}\n"));
    cases
        .check(Forbids, plain.clone(), user(&json!({ "tokenFile": file })))
        .await;
    let empty = cases.write("empty", "\n");
    cases
        .check(Fails, plain.clone(), user(&json!({ "tokenFile": empty })))
        .await;
    cases
        .check(
            DoesNotKnow,
            plain.clone(),
            user(&json!({ "token": "unknown" })),
        )
        .await;
    cases
        .check(Forbids, plain.clone(), user(&json!({ "username": "me" })))
        .await;
    let impersonated = json!({ "as": "me", "as-groups": ["system:masters"] });
    let mut admin_as = admin();
    admin_as["as"] = impersonated["as"].clone();
    admin_as["as-groups"] = impersonated["as-groups"].clone();
    cases.check(Answers, plain.clone(), user(&admin_as)).await;
    let (certificate, key) = version_1("CN=old,O=system:masters", &read("ca.crt"), &read("ca.key"));
    let old =
        json!({ "client-certificate-data": base64(certificate), "client-key-data": base64(&key) });
    cases.check(Answers, plain.clone(), user(&old)).await;
    let strange = json!({ "client-certificate": server().file("admin.crt"), "client-key-data": base64(&key) });
    cases.check(Fails, plain.clone(), user(&strange)).await;
    let exec = |status: &Value, command: &str| {
        let answer = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status });
        json!({ "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": [answer.to_string()],
            "interactiveMode": "Never",
        } })
    };
    let token = json!({ "token": token });
    cases
        .check(Forbids, plain.clone(), user(&exec(&token, "echo")))
        .await;
    let pair =
        json!({ "clientCertificateData": read("admin.crt"), "clientKeyData": read("admin.key") });
    cases
        .check(Answers, plain.clone(), user(&exec(&pair, "echo")))
        .await;
    let half = json!({ "clientCertificateData": read("admin.crt") });
    cases
        .check(Fails, plain.clone(), user(&exec(&half, "echo")))
        .await;
    cases
        .check(Fails, plain, user(&exec(&token, "no-such-plugin")))
        .await;
}

fn missing_plugin() -> Value {
    json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "interactiveMode": "Never",
    })
}

/// Of some pairs kubectl takes one, of others none.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_another_credential_is_chosen_or_refused_as_by_kubectl() {
    let mut cases = Cases::new();
    let id = workload();
    let token = kubectl().token(id.namespace.as_str(), "ratings", None);
    let token = token.unwrap();
    let (file, empty) = (cases.write("token", &token), cases.write("empty", "\n"));
    let (two, exec) = ("two\nlines", missing_plugin());
    for (expected, of_user) in [
        (Forbids, json!({ "token": "unknown", "tokenFile": file })),
        (Forbids, json!({ "token": two, "tokenFile": file })),
        (Forbids, json!({ "token": token, "tokenFile": empty })),
        (Forbids, json!({ "token": token, "tokenFile": "gone" })),
        (
            DoesNotKnow,
            json!({ "token": "unknown", "tokenFile": "gone" }),
        ),
        (Fails, json!({ "token": token, "username": "me" })),
        (Fails, json!({ "token": token, "password": "a" })),
        (Fails, json!({ "tokenFile": file, "username": "me" })),
        (Forbids, json!({ "tokenFile": file, "password": "a" })),
        (Forbids, json!({ "token": token, "exec": exec })),
        (Forbids, json!({ "tokenFile": file, "exec": exec })),
        (
            Fails,
            json!({ "token": token, "as-groups": ["system:masters"] }),
        ),
        (Fails, json!({ "token": token, "as-uid": "1" })),
    ] {
        cases
            .check(expected, here(&json!({})), user(&of_user))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_given_twice_is_refused_as_by_kubectl() {
    let mut cases = Cases::new();
    let id = workload();
    let token = kubectl().token(id.namespace.as_str(), "ratings", None);
    let (token, exec) = (token.unwrap(), missing_plugin());
    let [certificate, key] = ["client-certificate-data", "client-key-data"];
    let (of_certificate, of_key) = (base64(read("admin.crt")), base64(read("admin.key")));
    let with = |more: Value| {
        let mut user = admin();
        user.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        user
    };
    for (expected, of_user) in [
        (Answers, with(json!({ "exec": exec }))),
        (Answers, with(json!({ "token": "unknown" }))),
        (Answers, with(json!({ "client-key": "", key: of_key }))),
        (Fails, with(json!({ certificate: of_certificate }))),
        (Fails, with(json!({ key: of_key }))),
        (Fails, with(json!({ "client-key": "" }))),
        (
            Forbids,
            json!({ "client-key": "gone", key: of_key, "token": token }),
        ),
        (
            Fails,
            json!({ "exec": exec, "auth-provider": { "name": "oidc" } }),
        ),
    ] {
        cases
            .check(expected, here(&json!({})), user(&of_user))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cluster_says_twice_is_refused_as_by_kubectl() {
    let mut cases = Cases::new();
    let data = base64(read("ca.crt"));
    for of_cluster in [
        json!({ "certificate-authority-data": data }),
        json!({ "insecure-skip-tls-verify": true }),
        json!({ "certificate-authority": "", "certificate-authority-data": data, "insecure-skip-tls-verify": true }),
    ] {
        cases.check(Fails, here(&of_cluster), user(&admin())).await;
    }
}

/// As for client-go. kubectl itself asks on the terminal for a name and a password.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_nobody_names_the_user_that_does_not_exist() {
    let cases = Cases::new();
    for (of_context, reason) in [
        (
            json!({ "cluster": "c", "user": "bob" }),
            "names the user bob, which does not exist: it has alice",
        ),
        (json!({ "cluster": "c" }), "names no user"),
        (
            json!({ "cluster": "c", "user": "alice" }),
            "holds no credentials",
        ),
    ] {
        let config = json!({
            "current-context": "prod",
            "contexts": [{ "name": "prod", "context": of_context }],
            "clusters": [{ "name": "c", "cluster": here(&json!({})) }],
            "users": [{ "name": "alice", "user": {} }],
        });
        let path = cases.write("config", config.to_string());
        let (outcome, text) = of_ours(&path).await;
        assert_eq!(outcome, Forbids, "{text}");
        let says = format!(
            "answers 403 to a request without credentials: kubeconfig {} (context prod) {reason}",
            path.display()
        );
        assert!(text.ends_with(&says), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socks_proxy_is_used() {
    let mut cases = Cases::new();
    let proxy = format!("socks5://127.0.0.1:{}", socks().await);
    cases
        .check(
            Answers,
            here(&json!({ "proxy-url": proxy })),
            user(&admin()),
        )
        .await;
    let nobody = json!({ "proxy-url": "socks5://127.0.0.1:1" });
    cases.check(Fails, here(&nobody), user(&admin())).await;
    let other = json!({ "proxy-url": "ftp://127.0.0.1:1" });
    cases.check(Fails, here(&other), user(&admin())).await;
}

/// Checks a front that serves a certificate, and what the kubeconfig trusts.
async fn check_trust(cases: &mut Cases, expected: Outcome, served: &Certified, trusted: String) {
    let port = in_tls(&server().url(), served).await;
    let cluster = json!({
        "server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": base64(trusted),
    });
    cases
        .check(expected, cluster, user(&json!({ "token": "unknown" })))
        .await;
}

/// Nobody knows the token, so the API server's answer shows that the front is trusted.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_as_by_kubectl() {
    let mut cases = Cases::new();
    let (ca, other) = (Authority::new(), Authority::new());
    let leaf = ca.leaf();
    for (expected, served, trusted) in [
        (DoesNotKnow, &leaf, vec![ca.pem()]),
        (Fails, &leaf, vec![other.pem()]),
        // What is trusted by itself: issued by somebody else, and self-signed as a CA and as none.
        (DoesNotKnow, &leaf, vec![leaf.pem()]),
        (DoesNotKnow, &leaf, vec![other.pem(), leaf.pem()]),
        (DoesNotKnow, &Authority::of_server().itself(), vec![]),
        (DoesNotKnow, &Authority::of_leaf().itself(), vec![]),
        // Trust in it goes no further, and its name, time and purpose are checked.
        (Fails, &ca.leaf(), vec![leaf.pem()]),
        (
            Fails,
            &Authority::of_leaf().leaf(),
            vec![Authority::of_leaf().pem()],
        ),
        (Fails, &Authority::elsewhere().itself(), vec![]),
        (Fails, &Authority::expired().itself(), vec![]),
        (Fails, &Authority::of_clients().itself(), vec![]),
    ] {
        let trusted = if trusted.is_empty() {
            served.pem()
        } else {
            trusted.concat()
        };
        check_trust(&mut cases, expected, served, trusted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_issues_what_it_may_for_kubectl() {
    let mut cases = Cases::new();
    let nonsense = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    let [unfit, fit] = Authority::unfit_and_fit();
    let unfit = unfit.iter().map(|ca| (Fails, ca, ca.pem()));
    let fit = fit.iter().map(|ca| (DoesNotKnow, ca, ca.pem()));
    let (good, unnamed) = (Authority::new(), Authority::new());
    let beside = [
        (DoesNotKnow, &good, format!("{nonsense}{}", good.pem())),
        (Fails, &unnamed, nonsense.to_owned()),
    ];
    for (expected, ca, trusted) in unfit.chain(fit).chain(beside) {
        check_trust(&mut cases, expected, &ca.leaf(), trusted).await;
    }
}

/// Go sends the whole URL to the proxy: many proxies allow tunnels to port 443 only. The API server understands it.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_server_is_asked_through_a_proxy_without_a_tunnel() {
    let mut cases = Cases::new();
    let port = in_plain(&server().url()).await;
    for (server, login) in [
        ("http://api.example", ""),
        ("http://api.example:8001", "me:secret@"),
    ] {
        let proxy = format!("http://{login}127.0.0.1:{port}");
        let cluster = json!({ "server": server, "proxy-url": proxy });
        cases.check(Forbids, cluster, json!(null)).await;
    }
}

/// One that is not the CA which it claims to be by its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_is_trusted_issues_nothing() {
    let mut cases = Cases::new();
    let leaf = Authority::of_leaf();
    let port = in_tls(&server().url(), &leaf.leaf()).await;
    let cluster = json!({
        "server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": base64(leaf.pem()),
    });
    cases
        .check(Fails, cluster, user(&json!({ "token": "unknown" })))
        .await;
}
