//! Bad input: each mistake is reported at its attribute, all at once.

use contract::UNKNOWN;
use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};

use super::{HOST_KEY, PRIVATE_KEY, provider, usual, with};

async fn check(config: Json, expected: Expect) {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let reported = resource.validate(&config).await.unwrap();
    let lines: String = reported
        .diagnostics
        .iter()
        .map(|reported| format!("{reported}\n"))
        .collect();
    expected.assert_eq(&lines);
}

#[tokio::test]
async fn every_mistake_is_reported_at_once() {
    let config = json!({
        "namespace": "Book Info",
        "name": "a..b",
        "address": "10.0.0.256",
        "instance_ip": "here",
        "labels": { "bad key!": "x", "version": "a value" },
        "ports": { "http": 70000 },
        "services": { "ratings": { "hosts": ["*"], "ports": { "http": { "number": 0, "protocol": "SPDY" } } } },
        "ssh": { "host_key": "not a key", "port": 0 },
        "proxy": { "interception": "magic", "install": { "url": "x", "sha256": "12" } },
        "timeouts": { "create": "soon" },
    });
    check(config, expect![[r#"
        Error: Invalid value at namespace: namespace: must be a namespace (1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit), got "Book Info".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at name: name: must be a Kubernetes name (1 to 253 lower-case letters, digits, '-' and '.', each part between dots beginning and ending with a letter or digit), got "a..b".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at address: address: must be an address (an IP address or a domain name without wildcard, port or scheme), got "10.0.0.256".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at instance_ip: instance_ip: must be an IP address such as 10.0.0.20, got "here".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid key at labels.bad key!: labels["bad key!"]: must be a label key (an optional DNS name and '/', then 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit), got "bad key!".

        [invalid-key] docs/guides/troubleshooting.md#invalid-key
        Error: Invalid value at labels.version: labels.version: must be a label value (at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit), got "a value".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at ports.http: ports.http: must be a port (a whole number from 1 to 65535), got "70000".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at services.ratings.hosts[0]: services.ratings.hosts[0]: must be a service host (a domain name whose first part may be '*' if others follow), got "*".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at services.ratings.ports.http.number: services.ratings.ports.http.number: must be a port (a whole number from 1 to 65535), got "0".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at services.ratings.ports.http.protocol: services.ratings.ports.http.protocol: must be a protocol (one of TCP, UDP, GRPC, GRPC-WEB, HTTP, HTTP_PROXY, HTTP2, HTTPS, TLS, MONGO, REDIS, MYSQL), got "SPDY".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at ssh.port: ssh.port: must be a port (a whole number from 1 to 65535), got "0".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at ssh.host_key: ssh.host_key: must be a public host key, type and key as in /etc/ssh/ssh_host_ed25519_key.pub, got "not a key": Base64 encoding error: invalid Base64 encoding.

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at proxy.interception: proxy.interception: must be an interception mode ("redirect", "tproxy" or "none"), got "magic".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at proxy.install.sha256: proxy.install.sha256: must be a SHA-256 hash in hex (64 digits and letters from a to f, with or without sha256: in front), got "12".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
        Error: Invalid value at timeouts.create: timeouts.create: must be a length of time such as "30s", "20m" or "1h30m", got "soon".

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
    "#]]).await;
}

#[tokio::test]
async fn an_unknown_address_hides_no_other_mistake() {
    let config = with(usual(), "/address", json!(UNKNOWN));
    let config = with(
        config,
        "/services/ratings/ports/http",
        json!({ "number": 22, "protocol": "HTTP" }),
    );
    let mut config = config;
    config["services"]["again"] =
        json!({ "hosts": ["again.vm"], "ports": { "web": { "number": 22, "protocol": "HTTP" } } });
    check(config, expect![[r#"
        Error: Invalid workload at services.ratings.ports.http.target_port: services.ratings.ports.http.target_port: services.again.ports.web and services.ratings.ports.http both forward to port 22 of the VM, and its proxy supports only one service per port. Give one of them another target_port.

        [same-port-twice] docs/guides/troubleshooting.md#same-port-twice
        Error: Invalid workload at services.again.ports.web.number: services.again.ports.web.number: Traffic to port 22 of the VM bypasses the proxy, because sshd listens on it. The service would answer in plain text. Set a port that the proxy captures.

        [port-not-captured] docs/guides/troubleshooting.md#port-not-captured
        Error: Invalid workload at services.ratings.ports.http.number: services.ratings.ports.http.number: Traffic to port 22 of the VM bypasses the proxy, because sshd listens on it. The service would answer in plain text. Set a port that the proxy captures.

        [port-not-captured] docs/guides/troubleshooting.md#port-not-captured
    "#]]).await;
}

#[tokio::test]
async fn the_port_of_sshd_is_no_port_of_a_service() {
    let mut config = usual();
    config["ssh"]["port"] = json!(9080);
    check(config, expect![[r#"
        Error: Invalid workload at services.ratings.ports.http.number: services.ratings.ports.http.number: Traffic to port 9080 of the VM bypasses the proxy, because sshd listens on it (ssh.port). The service would answer in plain text. Set a port that the proxy captures.

        [port-not-captured] docs/guides/troubleshooting.md#port-not-captured
    "#]]).await;
}

#[tokio::test]
async fn a_range_that_excludes_every_destination_warns() {
    let mut config = usual();
    config["proxy"] = json!({ "exclude_cidrs": ["10.0.0.0/8", "0.0.0.0/0"] });
    check(config, expect![[r#"
        Warning: All outbound traffic bypasses the proxy at proxy.exclude_cidrs: proxy.exclude_cidrs contains 0.0.0.0/0, which is every destination of its IP version: no request of the VM uses mutual TLS, routes or policies of the mesh. Exclude only what must bypass the proxy.

        [everything-bypasses] docs/guides/troubleshooting.md#everything-bypasses
    "#]]).await;
}

#[tokio::test]
async fn a_private_key_is_no_host_key() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n";
    check(with(usual(), "/ssh/host_key", json!(key)), expect![[r#"
        Error: Invalid value at ssh.host_key: ssh.host_key: must be a public host key, type and key as in /etc/ssh/ssh_host_ed25519_key.pub, got "…": this is a private key.

        [invalid-value] docs/guides/troubleshooting.md#invalid-value
    "#]]).await;
}

#[tokio::test]
async fn a_host_key_that_is_not_verified_warns() {
    let mut config = usual();
    config["ssh"] = json!({ "insecure_ignore_host_key": true });
    check(config, expect![[r#"
        Warning: Host keys are not verified at ssh.insecure_ignore_host_key: ssh.insecure_ignore_host_key: An attacker between here and the host can read the VM's token and run programs as root. Set its key with host_key, host_ca or known_hosts.

        [ssh-insecure] docs/guides/troubleshooting.md#ssh-insecure
    "#]]).await;
}

/// Wherever a hop is declared: the way is as safe as its weakest part.
#[tokio::test]
async fn each_hop_whose_key_is_not_verified_warns() {
    let insecure = json!({ "host": "b", "insecure_ignore_host_key": true });
    let mut bastion = insecure.clone();
    bastion["through"] = json!([{ "host": "a", "host_key": HOST_KEY }, insecure]);
    let mut config = usual();
    config["ssh"]["bastion"] = bastion.clone();
    let at = |reported: &[contract::Diagnostic]| -> Vec<String> {
        assert!(
            reported
                .iter()
                .all(|reported| reported.summary == "Host keys are not verified")
        );
        reported
            .iter()
            .map(|reported| reported.path.as_ref().unwrap().to_string())
            .collect()
    };
    let paths = [
        "ssh.bastion.through[1].insecure_ignore_host_key",
        "ssh.bastion.insecure_ignore_host_key",
    ];
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    assert_eq!(
        at(&resource.validate(&config).await.unwrap().diagnostics),
        paths
    );
    // A destroy sends no configuration that could be checked.
    let prior = super::state(&resource, &config, &json!({ "objects": [], "vm": [] })).await;
    let reported = resource.plan_destroy(&prior).await.unwrap();
    assert_eq!(at(&reported.diagnostics), paths);
    let block = json!({ "ssh": { "bastion": bastion } });
    let reported = super::in_memory().await.configure(&block).await.unwrap();
    assert_eq!(at(&reported.diagnostics), paths);
}

#[tokio::test]
async fn a_leaf_that_does_not_parse_is_reported_once() {
    check(
        with(usual(), "/address", json!("10.0.0.300")),
        expect![[r#"
            Error: Invalid value at address: address: must be an address (an IP address or a domain name without wildcard, port or scheme), got "10.0.0.300".

            [invalid-value] docs/guides/troubleshooting.md#invalid-value
        "#]],
    )
    .await;
}

/// What both sides show is refused before any machine is created.
#[tokio::test]
async fn a_plan_refuses_what_the_provider_block_does_not_have() {
    let ssh = |ssh: Json| with(usual(), "/ssh", ssh);
    let two = json!({ "ssh": { "identities": {
        "one": { "private_key": PRIVATE_KEY }, "two": { "private_key": PRIVATE_KEY },
    } } });
    let proven = json!({ "ssh": { "known_hosts": "vm ssh-ed25519 AAAA" } });
    let unproven = json!({ "host": UNKNOWN, "bastion": { "host": "b" } });
    let mut text = String::new();
    for (about, block, config) in [
        ("no proof", json!({}), ssh(unproven.clone())),
        ("the block's proof", proven, ssh(unproven)),
        (
            "an unknown proof",
            json!({}),
            ssh(json!({ "host_ca": UNKNOWN })),
        ),
        (
            "an unknown block",
            json!({ "ssh": { "known_hosts": UNKNOWN } }),
            ssh(json!({})),
        ),
        (
            "another identity",
            two.clone(),
            ssh(json!({ "identity": "three", "host_key": HOST_KEY })),
        ),
        ("no identity named", two.clone(), usual()),
        (
            "an unknown identity",
            two,
            ssh(json!({ "identity": UNKNOWN, "host_key": HOST_KEY })),
        ),
    ] {
        let client = provider(&block).await;
        let resource = client.resource("mesh_vm_workload").unwrap();
        let plan = resource.plan(None, &config).await.unwrap();
        text.push_str(&format!("{about}\n"));
        for reported in &plan.diagnostics {
            text.push_str(&format!("  {reported}\n"));
        }
    }
    expect![[r#"
        no proof
          Error: No host key is configured at ssh.host_key: ssh.host_key: The provider does not trust on first use. Set host_key, host_ca or known_hosts here, or known_hosts or config_file in the provider block's ssh. The guide "host trust" shows how to know a key in advance.

        [host-key-unknown] docs/guides/troubleshooting.md#host-key-unknown
          Error: No host key is configured at ssh.bastion.host_key: ssh.bastion.host_key: The provider does not trust on first use. Set host_key, host_ca or known_hosts here, or known_hosts or config_file in the provider block's ssh. The guide "host trust" shows how to know a key in advance.

        [host-key-unknown] docs/guides/troubleshooting.md#host-key-unknown
        the block's proof
        an unknown proof
        an unknown block
        another identity
          Error: There is no such SSH identity at ssh.identity: ssh.identity: The provider block's ssh.identities has no "three"; it has: one, two. Add it there.

        [ssh-identity-name] docs/guides/troubleshooting.md#ssh-identity-name
        no identity named
          Error: The SSH identity is ambiguous at ssh.identity: ssh.identity: The provider block's ssh has several identities. Name one of them in ssh.identity.

        [ssh-identity-name] docs/guides/troubleshooting.md#ssh-identity-name
        an unknown identity
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn a_host_has_one_proof() {
    let bastion = json!({
        "host": "b", "host_key": HOST_KEY, "host_ca": HOST_KEY,
        "through": [{ "host": "a", "host_key": UNKNOWN, "host_ca": HOST_KEY }],
    });
    let ssh = json!({ "host_key": HOST_KEY, "host_ca": HOST_KEY, "bastion": bastion });
    check(with(usual(), "/ssh", ssh), expect![[r#"
        Error: host_key and host_ca are both set at ssh.host_ca: ssh.host_ca: host_key pins one key, and host_ca accepts every key that an authority signs. Remove one of them.

        [host-key-or-ca] docs/guides/troubleshooting.md#host-key-or-ca
        Error: host_key and host_ca are both set at ssh.bastion.host_ca: ssh.bastion.host_ca: host_key pins one key, and host_ca accepts every key that an authority signs. Remove one of them.

        [host-key-or-ca] docs/guides/troubleshooting.md#host-key-or-ca
    "#]]).await;
}

/// A misspelt name must not have a default that lets everything through. That both must be set is the schema's.
#[tokio::test]
async fn an_empty_list_of_hosts_to_reach_does_not_mean_every_host() {
    let mut config = usual();
    config["sidecar"]["egress_hosts"] = json!([]);
    config["services"]["ratings"]["hosts"] = json!([]);
    check(config.clone(), expect![[r#"
        Error: Invalid workload at sidecar.egress_hosts: sidecar.egress_hosts: The list must name at least one host, got []. ["*/*"] means every host, ["~/*"] none.

        [egress-hosts-required] docs/guides/troubleshooting.md#egress-hosts-required
    "#]]).await;
    config["sidecar"]["egress_hosts"] = json!(UNKNOWN);
    config["services"]["ratings"]["hosts"] = json!(UNKNOWN);
    check(config, expect![[""]]).await;
}

/// An entry takes traffic from the start, whether or not there is a proxy.
#[tokio::test]
async fn a_vm_that_nothing_joins_warns_unless_that_is_meant() {
    let mut config = usual();
    config["ssh"] = Json::Null;
    check(config.clone(), expect![[r#"
        Warning: Nothing joins the VM to the mesh at ssh: ssh: None of ssh, bundle and health_check is set, so the mesh sends traffic to a VM on which perhaps no proxy runs. Set ssh or bundle. If the VM joins by other means, such as its user data, set objects_only = true.

        [nothing-joins] docs/guides/troubleshooting.md#nothing-joins
    "#]]).await;
    let tcp = json!({ "tcp": { "port": 9080 } });
    for (name, value) in [
        ("objects_only", json!(true)),
        ("objects_only", json!(UNKNOWN)),
        ("ssh", json!(UNKNOWN)),
        ("bundle", json!(UNKNOWN)),
        ("health_check", tcp),
    ] {
        let mut config = config.clone();
        config[name] = value;
        check(config, expect![[""]]).await;
    }
}

#[tokio::test]
async fn objects_only_excludes_what_changes_the_vm() {
    let mut config = usual();
    config["objects_only"] = json!(true);
    check(config.clone(), expect![[r#"
        Error: objects_only excludes ssh and bundle at objects_only: objects_only = true says that nothing is done on the VM, and ssh is set. Remove one of them.

        [objects-only] docs/guides/troubleshooting.md#objects-only
    "#]]).await;
    config["ssh"] = Json::Null;
    config["bundle"] = json!({ "path": "x.tar.gz" });
    check(config, expect![[r#"
        Error: objects_only excludes ssh and bundle at objects_only: objects_only = true says that nothing is done on the VM, and bundle is set. Remove one of them.

        [objects-only] docs/guides/troubleshooting.md#objects-only
    "#]]).await;
}
