//! The provider block: what is wrong with it is reported before anything is planned with it.

use std::fs;
use std::path::Path;

use cluster::ClusterError;
use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};

use super::{HOST_KEY, in_memory};
use crate::messages;

/// Configures a provider with the block; `folder` in what it says becomes FOLDER.
async fn check(block: Json, folder: &Path, expected: Expect) {
    let reported = in_memory().await.configure(&block).await.unwrap();
    let lines: String = reported
        .diagnostics
        .iter()
        .map(|reported| format!("{reported}\n"))
        .collect();
    expected.assert_eq(&lines.replace(folder.to_str().unwrap(), "FOLDER"));
}

#[tokio::test]
async fn identities_that_cannot_be_used_are_reported_before_a_plan() {
    let block = json!({ "ssh": { "identities": {
        "public": { "private_key": HOST_KEY },
        "empty": { "private_key": "" },
        "text": { "private_key": "hello" },
    } } });
    check(block, Path::new("FOLDER"), expect![[r#"
        Error: The SSH identity cannot be used at ssh.identities.empty.private_key: ssh.identities.empty.private_key: this is not a private key: it must begin with a line such as `-----BEGIN OPENSSH PRIVATE KEY-----`.

        [ssh-identity] docs/guides/troubleshooting.md#ssh-identity
        Error: The SSH identity cannot be used at ssh.identities.public.private_key: ssh.identities.public.private_key: this is a public key; give the private key, the file without .pub.

        [ssh-identity] docs/guides/troubleshooting.md#ssh-identity
        Error: The SSH identity cannot be used at ssh.identities.text.private_key: ssh.identities.text.private_key: this is not a private key: it must begin with a line such as `-----BEGIN OPENSSH PRIVATE KEY-----`.

        [ssh-identity] docs/guides/troubleshooting.md#ssh-identity
    "#]]).await;
}

#[tokio::test]
async fn every_attribute_of_the_kubernetes_block_that_does_not_fit_is_reported_before_a_plan() {
    let block = json!({ "kubernetes": {
        "host": "ftp://k8s.example.com", "cluster_ca_certificate": "LS0tLS1CRUdJTg==", "client_certificate": "x",
        "username": "operator",
    } });
    check(block, Path::new("FOLDER"), expect![[r#"
        Error: The kubernetes block cannot be used at kubernetes.cluster_ca_certificate: kubernetes.cluster_ca_certificate must be a PEM certificate: its text, e.g. file("ca.pem"), decoded if it was base64.

        [cluster-settings] docs/guides/troubleshooting.md#cluster-settings
        Error: The kubernetes block cannot be used at kubernetes.client_certificate: kubernetes.client_certificate must be a PEM certificate: its text, e.g. file("ca.pem"), decoded if it was base64.

        [cluster-settings] docs/guides/troubleshooting.md#cluster-settings
        Error: The kubernetes block cannot be used at kubernetes.client_certificate: kubernetes.client_certificate and client_key must be set together.

        [cluster-settings] docs/guides/troubleshooting.md#cluster-settings
        Error: The kubernetes block cannot be used at kubernetes.username: kubernetes.username and password must be set together.

        [cluster-settings] docs/guides/troubleshooting.md#cluster-settings
        Error: The kubernetes block cannot be used at kubernetes.host: kubernetes.host must be a URL such as https://192.0.2.1:6443, got "ftp://k8s.example.com".

        [cluster-settings] docs/guides/troubleshooting.md#cluster-settings
    "#]]).await;
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_reported_before_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text"), "clusters: {{ secret").unwrap();
    fs::write(at("empty"), "").unwrap();
    let context = "contexts: [{ name: prod, context: { cluster: prod } }]";
    fs::write(
        at("dangling"),
        format!("current-context: prod\n{context}\n"),
    )
    .unwrap();
    let cases = [
        (
            json!({ "config_path": at("text") }),
            expect![[r#"
                Error: The kubeconfig cannot be used at kubernetes.config_path: kubernetes.config_path: kubeconfig FOLDER/text cannot be used: it is not a valid kubeconfig (line 1, column 11). Correct the file or the path.

                [cluster-kubeconfig] docs/guides/troubleshooting.md#cluster-kubeconfig
            "#]],
        ),
        (
            json!({ "config_path": folder.path() }),
            expect![[r#"
                Error: The kubeconfig cannot be used at kubernetes.config_path: kubernetes.config_path: kubeconfig FOLDER cannot be used: it cannot be read: it is not a regular file. Correct the file or the path.

                [cluster-kubeconfig] docs/guides/troubleshooting.md#cluster-kubeconfig
            "#]],
        ),
        (
            json!({ "config_paths": [at("empty")] }),
            expect![[r#"
                Error: The kubeconfig cannot be used at kubernetes.config_paths: kubernetes.config_paths: kubeconfig FOLDER/empty cannot be used: it has no current context: set kubernetes.config_context; it has none at all. Correct the file or the path.

                [cluster-kubeconfig] docs/guides/troubleshooting.md#cluster-kubeconfig
            "#]],
        ),
        (
            json!({ "config_path": at("dangling") }),
            expect![[r#"
                Error: The kubeconfig cannot be used at kubernetes.config_path: kubernetes.config_path: kubeconfig FOLDER/dangling (context prod) cannot be used: it has no cluster prod; it has none at all. Correct the file or the path.

                [cluster-kubeconfig] docs/guides/troubleshooting.md#cluster-kubeconfig
            "#]],
        ),
        (
            json!({ "config_path": at("dangling"), "config_context": "test" }),
            expect![[r#"
                Error: The kubeconfig cannot be used at kubernetes.config_path: kubernetes.config_path: kubeconfig FOLDER/dangling cannot be used: it has no context test; it has prod. Correct the file or the path.

                [cluster-kubeconfig] docs/guides/troubleshooting.md#cluster-kubeconfig
            "#]],
        ),
    ];
    for (kubernetes, expected) in cases {
        check(json!({ "kubernetes": kubernetes }), folder.path(), expected).await;
    }
}

#[tokio::test]
async fn an_empty_text_of_the_kubernetes_block_counts_as_unset() {
    let folder = tempfile::tempdir().unwrap();
    let block = json!({ "kubernetes": {
        "config_path": "", "config_paths": [""], "config_context": "", "host": "", "token": "", "username": "",
        "password": "", "cluster_ca_certificate": "", "client_certificate": "", "client_key": "",
        "tls_server_name": "", "proxy_url": "",
    } });
    check(block, folder.path(), expect![""]).await;
}

#[test]
fn a_missing_plugin_is_named_with_its_install_hint() {
    let error = ClusterError::NoPlugin {
        command: "aws".into(),
        origin: "kubeconfig /home/me/config (context prod)".into(),
        install_hint: Some("Install the AWS CLI:\n  brew install awscli".into()),
    };
    expect![[r#"
        the exec plugin aws of kubeconfig /home/me/config (context prod) is not installed: no such program was found. Install it, or correct its name.

        Its install hint:
          Install the AWS CLI:
            brew install awscli

        [cluster-credentials] docs/guides/troubleshooting.md#cluster-credentials"#]].assert_eq(&messages::cluster(&error).detail);
}

#[test]
fn all_that_a_plugin_printed_is_shown() {
    let error = ClusterError::Plugin {
        command: "aws".into(),
        origin: "kubeconfig /home/me/config (context prod)".into(),
        reason: "ended with exit status: 255".into(),
        printed: vec![
            "Unable to locate credentials.".into(),
            "Run aws configure.".into(),
        ],
    };
    expect![[r#"
        the exec plugin aws of kubeconfig /home/me/config (context prod) ended with exit status: 255. Run it by hand with the same arguments to see what it needs; it gets no terminal here.

        It printed:
          Unable to locate credentials.
          Run aws configure.

        [cluster-credentials] docs/guides/troubleshooting.md#cluster-credentials"#]].assert_eq(&messages::cluster(&error).detail);
}

#[tokio::test]
async fn a_kubeconfig_that_may_still_be_made_is_no_error_before_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let block = json!({ "kubernetes": { "config_path": folder.path().join("later") } });
    check(block, folder.path(), expect![[r#"
        Warning: The kubeconfig is not there yet at kubernetes.config_path: kubernetes.config_path: kubeconfig FOLDER/later does not exist. It must be there when the apply needs the cluster.

        [cluster-kubeconfig] docs/guides/troubleshooting.md#cluster-kubeconfig
    "#]]).await;
}

/// Terraform drops a misspelt name, and a variable may be null: the environment would choose another cluster.
#[tokio::test]
async fn a_kubernetes_block_in_which_nothing_is_set_is_refused() {
    let folder = Path::new("FOLDER");
    check(
        json!({ "kubernetes": { "config_path": null } }),
        folder,
        expect![[r#"
            Error: The kubernetes block sets nothing at kubernetes: kubernetes: Each attribute of the block is null, so the environment of Terraform would choose the cluster. Either a name in the block is misspelt, which Terraform does not report, or a variable is null. Set config_path or host. If the environment is meant to choose, remove the block.

            [kubernetes-unset] docs/guides/troubleshooting.md#kubernetes-unset
        "#]],
    )
    .await;
    check(json!({ "kubernetes": {} }), folder, expect![[r#"
        Error: The kubernetes block sets nothing at kubernetes: kubernetes: Each attribute of the block is null, so the environment of Terraform would choose the cluster. Either a name in the block is misspelt, which Terraform does not report, or a variable is null. Set config_path or host. If the environment is meant to choose, remove the block.

        [kubernetes-unset] docs/guides/troubleshooting.md#kubernetes-unset
    "#]]).await;
    check(json!({ "kubernetes": null }), folder, expect![[""]]).await;
    check(
        json!({ "kubernetes": { "host": "" } }),
        folder,
        expect![[""]],
    )
    .await;
    check(
        json!({ "kubernetes": { "host": contract::UNKNOWN } }),
        folder,
        expect![[""]],
    )
    .await;
}
