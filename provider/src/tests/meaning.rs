//! Edits that change nothing.

use serde_json::{Value as Json, json};

use super::{full, usual};

/// Pairs of configurations that mean the same, each with its name.
pub(super) fn the_same() -> Vec<(&'static str, Json, Json)> {
    let mut pairs = of_what_is_unset();
    pairs.extend(of_defaults());
    pairs.extend(of_notations());
    pairs.extend(of_services());
    pairs
}

/// What is set to nothing.
fn of_what_is_unset() -> Vec<(&'static str, Json, Json)> {
    vec![
        unset("env", json!({})),
        unset("triggers", json!({})),
        unset("ports", json!({})),
        unset("annotations", json!({})),
        unset("proxy", json!({})),
        unset("proxy", json!({ "exclude_inbound_ports": [] })),
        unset("proxy", json!({ "exclude_cidrs": [] })),
        unset("proxy", json!({ "config": "{}" })),
        unset("proxy", json!({ "config": "concurrency: null" })),
    ]
}

/// What is set to its default.
fn of_defaults() -> Vec<(&'static str, Json, Json)> {
    let check = |more: Json| {
        let mut check = json!({ "tcp": { "port": 9080 } });
        merge(&mut check, more);
        check
    };
    let docker = |more: Json| {
        let mut docker = json!({ "runtime": "docker", "image": "istio/proxyv2:1.31.0" });
        merge(&mut docker, more);
        docker
    };
    vec![
        unset("service_account", json!("default")),
        unset("instance_ip", json!("10.0.0.5")),
        unset("proxy", json!({ "runtime": "systemd" })),
        unset("proxy", json!({ "interception": "redirect" })),
        unset("proxy", json!({ "exclude_inbound_ports": [22] })),
        unset("proxy", json!({ "exclude_cidrs": ["169.254.169.254"] })),
        // A VM cannot use it, and the plan warns of it.
        unset("env", json!({ "OUTPUT_CERTS": "/etc/certs-out" })),
        of(
            "proxy",
            docker(json!({})),
            docker(json!({ "pull_policy": "IfNotPresent" })),
        ),
        of(
            "health_check",
            check(json!({})),
            check(json!({ "timeout_seconds": 0 })),
        ),
        of("ssh", ssh(Json::Null), ssh(json!("10.0.0.5"))),
    ]
}

/// What is written in two ways.
fn of_notations() -> Vec<(&'static str, Json, Json)> {
    let install =
        |digest: String| json!({ "install": { "url": "file:///a.deb", "sha256": digest } });
    let config = |text: &str| json!({ "config": text });
    vec![
        of("address", json!("fd00::5"), json!("FD00:0::5")),
        of(
            "proxy",
            install("a".repeat(64)),
            install(format!("sha256:{}", "A".repeat(64))),
        ),
        of(
            "proxy",
            config("concurrency: 2"),
            config("# of the node\nconcurrency:  2"),
        ),
        of(
            "proxy",
            config("statusPort: 15030"),
            config("status_port: 15030"),
        ),
        of(
            "proxy",
            json!({ "exclude_inbound_ports": [9999] }),
            json!({ "exclude_inbound_ports": [9999, 9999] }),
        ),
        of(
            "proxy",
            json!({ "exclude_cidrs": ["10.1.0.1"] }),
            json!({ "exclude_cidrs": ["10.1.0.1/32"] }),
        ),
    ]
}

fn of_services() -> Vec<(&'static str, Json, Json)> {
    let service = |more: Json| {
        let mut service = usual()["services"]["ratings"].clone();
        merge(&mut service, more);
        json!({ "ratings": service })
    };
    let port = |more: Json| {
        let mut port = json!({ "number": 9080, "protocol": "HTTP" });
        merge(&mut port, more);
        service(json!({ "ports": { "http": port } }))
    };
    let same = |more: Json| of("services", service(json!({})), service(more));
    let same_port = |more: Json| of("services", port(json!({})), port(more));
    vec![
        same(json!({ "addresses": [], "export_to": [], "subject_alt_names": [] })),
        same(json!({ "object_name": "ratings-vm-1-ratings" })),
        same_port(json!({ "target_port": 9080 })),
        same_port(json!({ "app_port": 9080, "app_address": "127.0.0.1" })),
        of(
            "sidecar",
            json!({ "egress_hosts": ["./*"] }),
            json!({ "egress_hosts": ["./*"], "name": "ratings-vm-1", "egress_listeners": {} }),
        ),
    ]
}

fn unset(name: &'static str, value: Json) -> (&'static str, Json, Json) {
    of(name, Json::Null, value)
}

/// Returns the usual configuration with each of two values of an attribute.
fn of(name: &'static str, before: Json, after: Json) -> (&'static str, Json, Json) {
    let with = |value: Json| {
        let mut config = usual();
        config["sidecar"] = json!({ "egress_hosts": ["./*"] });
        config[name] = value;
        config
    };
    (name, with(before), with(after))
}

fn ssh(host: Json) -> Json {
    let mut ssh = usual()["ssh"].clone();
    ssh["host"] = host;
    ssh
}

fn merge(object: &mut Json, more: Json) {
    let Json::Object(more) = more else { return };
    for (name, value) in more {
        object[name] = value;
    }
}

/// An edit that changes nothing is not among the reasons of a bootstrap, and holds nothing back.
#[tokio::test]
async fn what_changes_nothing_is_no_reason() {
    let mut after = full();
    after["labels"]["version"] = json!("v2");
    after["proxy"]["config"] = json!("{concurrency: 2}");
    let planned = super::plans::planned(&full(), &super::none(), &after).await;
    let reasons = r#"last_bootstrap_reasons: ["created"] -> ["labels.version: v1 -> v2"]"#;
    assert!(planned.contains(reasons), "{planned}");
    after["labels"]["version"] = json!("v1");
    after["rebootstrap_on"] = json!([]);
    let planned = super::plans::planned(&full(), &super::none(), &after).await;
    assert_eq!(planned, "Update\n");
}
