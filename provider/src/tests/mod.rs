//! The provider without any cluster or VM: rules, plans, bad input.

mod api_server;
mod codes;
mod fleet;
mod hostile;
mod input;
mod last_requests;
mod lint;
mod lost_answers;
mod made_of;
mod meaning;
mod mistakes;
mod network_path;
mod offload;
mod ownership;
mod plans;
mod provider_config;
mod reservations;
mod rules;
mod runner;
mod steps;
mod traffic;
mod vm_address;

use contract::{Client, Resource, State};
use serde_json::{Value as Json, json};

/// A provider in memory, with a block that can connect to nothing.
async fn provider(block: &Json) -> Client {
    let client = in_memory().await;
    client.configure(block).await.unwrap().ok().unwrap();
    client
}

/// A provider in memory, not configured yet.
async fn in_memory() -> Client {
    let (near, far) = tokio::io::duplex(1 << 20);
    tokio::spawn(tfplugin::serve_on(crate::provider::Mesh, far));
    Client::in_memory(near).await.unwrap()
}

/// A provider block with the identity that `full` names.
fn block() -> Json {
    json!({ "ssh": { "identity": "main", "identities": {
        "main": { "private_key": PRIVATE_KEY }, "other": { "private_key": PRIVATE_KEY },
    } } })
}

/// A workload in which every attribute is set, but for the proofs of a host that exclude each other.
fn full() -> Json {
    json!({
        "namespace": "bookinfo",
        "name": "ratings-vm-1",
        "address": "203.0.113.5",
        "instance_ip": "10.0.0.5",
        "labels": { "app": "ratings", "version": "v1" },
        "annotations": { "example.com/team": "books" },
        "service_account": "bookinfo-ratings",
        "network": "gcp-vms",
        "locality": "europe/west1/b",
        "weight": 10,
        "ports": { "http": 9080 },
        "env": { "ISTIO_AGENT_FLAGS": "--log_output_level=default:debug" },
        "triggers": { "vm": "4711" },
        "fleet": null,
        "services": {
            "ratings": {
                "hosts": ["ratings.vm.bookinfo"],
                "addresses": ["240.240.1.1"],
                "ports": { "http": {
                    "number": 9080, "protocol": "HTTP", "target_port": 9080, "app_port": 9081,
                    "app_address": "::1", "bind": "10.0.0.6", "capture": "NONE",
                } },
                "export_to": ["*"], "subject_alt_names": ["ratings.example.com"], "object_name": "ratings",
            },
        },
        "sidecar": {
            "name": "ratings", "egress_hosts": ["./*"], "outbound_traffic": "REGISTRY_ONLY",
            "egress_listeners": { "mysql": {
                "bind": "127.0.0.2", "port": 3306, "protocol": "MYSQL", "hosts": ["./mysql.corp"], "capture": "NONE",
            } },
        },
        "ssh": {
            "host": "vm.example.com", "port": 22, "user": "ubuntu", "identity": "main", "host_key": HOST_KEY,
            "host_ca": null, "known_hosts": "vm ssh-ed25519 AAAA", "insecure_ignore_host_key": false,
            "bastion": {
                "host": "bastion.example.com", "port": 22, "user": "jump", "host_key": null, "host_ca": HOST_KEY,
                "known_hosts": "b ssh-ed25519 AAAA", "insecure_ignore_host_key": false,
                "through": [gate()],
            },
        },
        "bundle": null,
        "objects_only": false,
        "health_check": {
            "http": { "host": "127.0.0.1", "port": 9080, "path": "/health", "scheme": "HTTP", "headers": { "X-Probe": "1" } },
            "initial_delay_seconds": 1, "timeout_seconds": 2, "period_seconds": 5, "success_threshold": 1, "failure_threshold": 3,
        },
        "rebootstrap_on": ["configuration", "mesh", "files", "machine", "proxy", "certificate"],
        "proxy": {
            "runtime": "systemd", "interception": "redirect", "dns_capture": true, "config": "concurrency: 2",
            "token_command": "cat /run/token",
            "install": { "url": "https://packages.example.com/istio-sidecar.deb", "sha256": "a".repeat(64) },
            "exclude_inbound_ports": [2222], "exclude_cidrs": ["10.1.0.0/16"],
        },
        "rotate_before": "6h",
        "on_destroy": "clean",
        "field_manager": { "force_conflicts": false },
        "timeouts": { "create": "20m", "read": "1m", "update": "20m", "delete": "5m" },
    })
}

/// A host on the way to a bastion.
fn gate() -> Json {
    json!({
        "host": "gate.example.com", "port": 22, "user": "gate", "host_key": HOST_KEY, "host_ca": null,
        "known_hosts": "g ssh-ed25519 AAAA", "insecure_ignore_host_key": false,
    })
}

/// A workload as most users write it.
fn usual() -> Json {
    json!({
        "namespace": "bookinfo",
        "name": "ratings-vm-1",
        "address": "10.0.0.5",
        "labels": { "app": "ratings", "version": "v1" },
        "services": {
            "ratings": {
                "hosts": ["ratings.vm.bookinfo"],
                "ports": { "http": { "number": 9080, "protocol": "HTTP" } },
            },
        },
        "sidecar": { "egress_hosts": ["*/*"] },
        "ssh": { "user": "ubuntu", "host_key": HOST_KEY },
    })
}

const HOST_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

/// A key of nobody.
const PRIVATE_KEY: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----\n\
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
QyNTUxOQAAACDIDYiWkm9VbCTkfBXOrTw6Ytb1WKy7cmeVXl4SLcVHAgAAAIgHQgjnB0II\n\
5wAAAAtzc2gtZWQyNTUxOQAAACDIDYiWkm9VbCTkfBXOrTw6Ytb1WKy7cmeVXl4SLcVHAg\n\
AAAEBw9vIIGTXvkCAZX5WCpTaBFfhQFpxKm3gH0SFE3bKCgsgNiJaSb1VsJOR8Fc6tPDpi\n\
1vVYrLtyZ5VeXhItxUcCAAAAAAECAwQF\n\
-----END OPENSSH PRIVATE KEY-----\n\
";

/// The state after a bootstrap of `config`, with what a refresh found.
async fn state(resource: &Resource<'_>, config: &Json, drift: &Json) -> State {
    let mut object = config.clone();
    let account = config["service_account"].as_str().unwrap_or("default");
    let output = json!({
        "id": "bookinfo/ratings-vm-1",
        "bundle_digest": "0123",
        "last_bootstrap_reasons": ["created"],
        "drift": drift,
        "spiffe_id": format!("spiffe://cluster.local/ns/bookinfo/sa/{account}"),
        "machine_id": "4711",
        "proxy_version": "1.31.0",
        "bootstrapped_at": "2026-01-01T00:00:00Z",
        "revision": "default",
        "cluster_id": "Kubernetes",
        "trust_domain": "cluster.local",
        "control_plane": "istiod.istio-system.svc:15012",
        "namespace_uid": "5e1f",
        "entry_uid": "5f0c",
    });
    for (name, value) in output.as_object().unwrap() {
        object[name] = value.clone();
    }
    let value = resource.upgrade(0, &object).await.unwrap().ok().unwrap();
    State {
        value,
        private: vec![],
        identity: None,
        tainted: false,
    }
}

/// No drift.
fn none() -> Json {
    json!({ "objects": [], "vm": [] })
}

/// Replaces the value at a JSON pointer.
fn with(mut object: Json, pointer: &str, value: Json) -> Json {
    *object
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("nothing at {pointer}")) = value;
    object
}

/// Sets the value at a JSON pointer, also one that is not there yet.
fn with_any(mut object: Json, pointer: &str, value: Json) -> Json {
    let (above, key) = pointer.rsplit_once('/').unwrap();
    let above = object.pointer_mut(above);
    let above = above.unwrap_or_else(|| panic!("nothing above {pointer}"));
    above[key] = value;
    object
}
