//! The change rule of every attribute, proven against what is rendered.

use std::collections::BTreeSet;

use mesh::facts::{ControlPlane, Facts, Pem};
use plugin::{Attribute, Diagnostics, Object, Path, Raw, Rule, Shape, Type, rule_at};
use serde_json::{Value as Json, json};

use super::meaning::the_same;
use super::plans::planned;
use super::{full, none, with};
use crate::rule::{BOOTSTRAP, OBJECTS, REPLACE};
use crate::workload::VmWorkload;
use crate::workload::input::WorkloadInput;
use crate::workload::read::is_unseen;

/// For each leaf: another value that is allowed there.
pub(super) fn others() -> Vec<(&'static str, Json)> {
    [of_the_objects(), of_the_proxy(), of_the_vm()].concat()
}

fn of_the_objects() -> Vec<(&'static str, Json)> {
    vec![
        ("/namespace", json!("other")),
        ("/name", json!("ratings-vm-2")),
        ("/address", json!("203.0.113.6")),
        ("/instance_ip", json!("10.0.0.6")),
        ("/labels/version", json!("v2")),
        ("/annotations/example.com~1team", json!("films")),
        ("/service_account", json!("default")),
        ("/network", json!("aws-vms")),
        ("/locality", json!("europe/west1/c")),
        ("/weight", json!(20)),
        ("/ports/http", json!(9082)),
        ("/env/ISTIO_AGENT_FLAGS", json!("--concurrency=1")),
        ("/triggers/vm", json!("4712")),
        ("/fleet", json!("bookinfo/reviews")),
        ("/services/ratings/hosts", json!(["ratings.other"])),
        ("/services/ratings/addresses", json!(["240.240.1.2"])),
        ("/services/ratings/ports/http/number", json!(80)),
        ("/services/ratings/ports/http/protocol", json!("GRPC")),
        ("/services/ratings/ports/http/target_port", json!(9082)),
        ("/services/ratings/ports/http/app_port", json!(9083)),
        (
            "/services/ratings/ports/http/app_address",
            json!("127.0.0.1"),
        ),
        ("/services/ratings/ports/http/bind", json!("10.0.0.7")),
        ("/services/ratings/ports/http/capture", json!("IPTABLES")),
        ("/services/ratings/export_to", json!(["."])),
        (
            "/services/ratings/subject_alt_names",
            json!(["other.example.com"]),
        ),
        ("/services/ratings/object_name", json!("stars")),
        ("/sidecar/name", json!("stars")),
        ("/sidecar/egress_hosts", json!(["*/*"])),
        ("/sidecar/egress_listeners/mysql/bind", json!("127.0.0.3")),
        ("/sidecar/egress_listeners/mysql/port", json!(3307)),
        ("/sidecar/egress_listeners/mysql/protocol", json!("TCP")),
        (
            "/sidecar/egress_listeners/mysql/hosts",
            json!(["*/mysql.corp"]),
        ),
        ("/sidecar/egress_listeners/mysql/capture", json!("IPTABLES")),
        ("/sidecar/outbound_traffic", json!("ALLOW_ANY")),
    ]
}

fn of_the_proxy() -> Vec<(&'static str, Json)> {
    vec![
        ("/health_check/http/host", json!("10.0.0.5")),
        ("/health_check/http/port", json!(9081)),
        ("/health_check/http/path", json!("/ready")),
        ("/health_check/http/scheme", json!("HTTPS")),
        ("/health_check/http/headers/X-Probe", json!("2")),
        ("/health_check/tcp/host", json!("10.0.0.5")),
        ("/health_check/tcp/port", json!(9081)),
        ("/health_check/exec", json!(["/bin/false"])),
        ("/health_check/grpc/port", json!(9081)),
        ("/health_check/grpc/service", json!("reviews")),
        ("/health_check/initial_delay_seconds", json!(2)),
        ("/health_check/timeout_seconds", json!(3)),
        ("/health_check/period_seconds", json!(6)),
        ("/health_check/success_threshold", json!(2)),
        ("/health_check/failure_threshold", json!(4)),
        ("/rebootstrap_on", json!([])),
        ("/proxy/config", json!("concurrency: 3")),
        ("/proxy/token_command", json!("cat /run/other")),
    ]
}

fn of_the_vm() -> Vec<(&'static str, Json)> {
    let key =
        json!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBSWrK4GvEEiBJ0SWSPpqCWVBgEuY3hJEuCLGOZ0QYk");
    vec![
        ("/ssh/host", json!("vm2.example.com")),
        ("/ssh/port", json!(2222)),
        ("/ssh/user", json!("root")),
        ("/ssh/identity", json!("other")),
        ("/ssh/host_key", key.clone()),
        ("/ssh/host_ca", key.clone()),
        ("/ssh/known_hosts", json!("")),
        ("/ssh/insecure_ignore_host_key", json!(true)),
        ("/ssh/bastion/host", json!("b2.example.com")),
        ("/ssh/bastion/port", json!(2222)),
        ("/ssh/bastion/user", json!("root")),
        ("/ssh/bastion/host_key", key.clone()),
        ("/ssh/bastion/host_ca", key.clone()),
        ("/ssh/bastion/known_hosts", json!("")),
        ("/ssh/bastion/insecure_ignore_host_key", json!(true)),
        ("/ssh/bastion/through/0/host", json!("g2.example.com")),
        ("/ssh/bastion/through/0/port", json!(2222)),
        ("/ssh/bastion/through/0/user", json!("root")),
        ("/ssh/bastion/through/0/host_key", key.clone()),
        ("/ssh/bastion/through/0/host_ca", key),
        ("/ssh/bastion/through/0/known_hosts", json!("")),
        (
            "/ssh/bastion/through/0/insecure_ignore_host_key",
            json!(true),
        ),
        ("/proxy/runtime", json!("podman")),
        ("/proxy/image", json!("istio/proxyv2:1.32.0")),
        ("/proxy/pull_policy", json!("Always")),
        ("/proxy/interception", json!("none")),
        ("/proxy/dns_capture", json!(false)),
        ("/proxy/version", json!("1.32.0")),
        (
            "/proxy/install/url",
            json!("https://packages.example.com/2.deb"),
        ),
        ("/proxy/install/sha256", json!("b".repeat(64))),
        ("/proxy/exclude_inbound_ports", json!([2223])),
        ("/proxy/exclude_cidrs", json!(["10.2.0.0/16"])),
        ("/bundle/path", json!("out/other.tar.gz")),
        ("/bundle/token_version", json!(2)),
        ("/rotate_before", json!("12h")),
        ("/on_destroy", json!("keep")),
        ("/objects_only", Json::Null),
        ("/field_manager/force_conflicts", json!(true)),
        ("/timeouts/create", json!("21m")),
        ("/timeouts/read", json!("2m")),
        ("/timeouts/update", json!("21m")),
        ("/timeouts/delete", json!("6m")),
    ]
}

#[test]
fn every_leaf_has_another_value_to_try() {
    let mut leaves = BTreeSet::new();
    collect(&<WorkloadInput as Object>::attributes(), "", &mut leaves);
    let attributes = <WorkloadInput as Object>::attributes();
    let tried: BTreeSet<String> = others()
        .iter()
        .map(|(pointer, _)| attribute_path(&attributes, pointer))
        .collect();
    assert_eq!(leaves, tried);
}

#[tokio::test]
async fn the_rule_of_every_attribute_is_what_rendering_shows() {
    for (pointer, other) in others() {
        let before = sample(pointer);
        let after = with(before.clone(), pointer, other);
        let attributes = <WorkloadInput as Object>::attributes();
        let at = attribute_path(&attributes, pointer);
        let rule = rule(&attributes, pointer);
        let (old, new) = (rendered(&before), rendered(&after));
        let bundle_differs = old.bundle.digest() != new.bundle.digest();
        let objects_differ = old.objects() != new.objects();
        let asks = rule == BOOTSTRAP || rule == REPLACE;
        assert_eq!(
            bundle_differs, asks,
            "{at}: the rule is {rule:?}, the bundle says otherwise"
        );
        assert!(
            !objects_differ || rule.rank >= OBJECTS.rank,
            "{at}: the rule is {rule:?}, but the objects differ"
        );
        assert!(
            objects_differ || rule != OBJECTS,
            "{at}: the rule is {rule:?}, but the objects are the same"
        );
        let same = meant(&before) == meant(&after);
        assert!(!same || rule.rank == 0, "{at}: {rule:?}, but no edit");
    }
    for (at, before, after) in the_same() {
        let (old, new) = (rendered(&before), rendered(&after));
        let edit = format!("{at}: {} -> {}", before[at], after[at]);
        assert_eq!(old.bundle.digest(), new.bundle.digest(), "{edit}");
        assert_eq!(old.objects(), new.objects(), "{edit}");
        let plan = planned(&before, &none(), &after).await;
        assert_eq!(plan, "Update\n", "{edit}");
    }
}

/// Returns the workload in which an attribute matters most.
pub(super) fn sample(pointer: &str) -> Json {
    match pointer {
        // Of a container, which has no package.
        "/proxy/runtime" | "/proxy/image" | "/proxy/pull_policy" => {
            let mut config = with(full(), "/proxy/install", Json::Null);
            config["proxy"]["runtime"] = json!("docker");
            config["proxy"]["image"] = json!("istio/proxyv2:1.31.0");
            config["proxy"]["pull_policy"] = json!("Never");
            config
        }
        // A host has one of them.
        _ if pointer.ends_with("/host_ca") => {
            with(full(), &pointer.replace("host_ca", "host_key"), Json::Null)
        }
        _ if pointer.ends_with("/host_key") => {
            with(full(), &pointer.replace("host_key", "host_ca"), Json::Null)
        }
        // Of Istio's release, beside which no package is named.
        "/proxy/version" => {
            let mut config = with(full(), "/proxy/install", Json::Null);
            config["proxy"]["version"] = json!("1.31.0");
            config
        }
        // Only one way to ask can be set.
        _ if pointer.starts_with("/health_check/tcp") => {
            checked(json!({ "tcp": { "host": "127.0.0.1", "port": 1 } }))
        }
        "/health_check/exec" => checked(json!({ "exec": ["/bin/true"] })),
        _ if pointer.starts_with("/health_check/grpc") => {
            checked(json!({ "grpc": { "port": 1, "service": "ratings" } }))
        }
        // Behind a name, the proxy must be given its own address.
        "/instance_ip" => with(full(), "/address", json!("vm.example.com")),
        // There is no SSH then.
        _ if pointer.starts_with("/bundle") => {
            let archive = json!({ "path": "out/ratings.tar.gz", "token_version": 1 });
            with(with(full(), "/ssh", Json::Null), "/bundle", archive)
        }
        // Services and Sidecar are then the fleet's.
        "/fleet" => with(
            with(full(), "/services", Json::Null),
            "/sidecar",
            Json::Null,
        ),
        // Both name the same port; only one of them may.
        "/ports/http" => with(
            full(),
            "/services/ratings/ports/http/target_port",
            Json::Null,
        ),
        "/services/ratings/ports/http/target_port" => with(full(), "/ports", Json::Null),
        _ => full(),
    }
}

fn checked(check: Json) -> Json {
    with(full(), "/health_check", check)
}

pub(super) fn rendered(config: &Json) -> mesh::desired::Desired {
    mesh::render::render(&read(config).workload().unwrap(), &facts()).unwrap()
}

fn meant(config: &Json) -> WorkloadInput {
    <VmWorkload as plugin::Resource>::meaning(&read(config))
}

fn read(config: &Json) -> WorkloadInput {
    let raw = raw(config);
    let mut problems = Diagnostics::none();
    let input = <WorkloadInput as Shape>::read(&raw, &Path::root(), &mut problems).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    input
}

pub(super) fn raw(json: &Json) -> Raw {
    match json {
        Json::Null => Raw::Null,
        Json::Bool(value) => Raw::Bool(*value),
        Json::Number(number) => Raw::Number(number.to_string().parse().unwrap()),
        Json::String(text) => Raw::Text(text.clone()),
        Json::Array(items) => Raw::List(items.iter().map(raw).collect()),
        Json::Object(items) => Raw::Map(
            items
                .iter()
                .map(|(key, item)| (key.clone(), raw(item)))
                .collect(),
        ),
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        revision: "default".into(),
        cluster_id: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
        mesh_id: "cluster.local".into(),
        mesh_config: json!({ "defaultConfig": {} }),
        root: Pem("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into()),
        control_plane: ControlPlane {
            san: None,
            host: "istiod.istio-system.svc".into(),
            port: 15012,
            address: None,
        },
        ca_address: None,
        version: None,
        releases: mesh::names::ReleaseUrl::default(),
        service_account_exists: Some(true),
        entry_uid: None,
    }
}

pub(super) fn collect(attributes: &[Attribute], at: &str, found: &mut BTreeSet<String>) {
    for attribute in attributes {
        let at = if at.is_empty() {
            attribute.name.to_owned()
        } else {
            format!("{at}.{}", attribute.name)
        };
        match innermost(&attribute.ty) {
            Type::Object(inner) => collect(inner, &at, found),
            _ => _ = found.insert(at),
        }
    }
}

fn innermost(ty: &Type) -> &Type {
    match ty {
        Type::Map(inner) | Type::List(inner) | Type::Set(inner) => innermost(inner),
        ty => ty,
    }
}

/// Returns the attributes on the way of a pointer, without the keys of maps.
pub(super) fn attribute_path(attributes: &[Attribute], pointer: &str) -> String {
    let mut attributes = attributes.to_vec();
    let mut path = vec![];
    for step in pointer.split('/').skip(1) {
        let Some(attribute) = attributes.iter().find(|attribute| attribute.name == step) else {
            continue;
        };
        path.push(attribute.name);
        let inner = innermost(&attribute.ty).clone();
        attributes = if let Type::Object(inner) = inner {
            inner
        } else {
            vec![]
        };
    }
    path.join(".")
}

/// Returns the rule of the attribute that a pointer leads to, whether its value may be shown or not.
pub(super) fn rule(attributes: &[Attribute], pointer: &str) -> Rule {
    let at = Path::from(pointer.trim_start_matches('/').replace('/', "."));
    let rule = rule_at(attributes, &at).unwrap();
    Rule {
        hides: false,
        ..rule
    }
}

/// A refresh keeps such an edit in the drift until it is on the VM: no comparison would find it again.
#[test]
fn an_edit_of_what_no_file_holds_is_unseen() {
    for (at, unseen) in [
        ("labels.version", false),
        ("env.FLAGS", false),
        ("proxy.version", true),
        ("triggers.vm", true),
    ] {
        assert_eq!(is_unseen(at), unseen, "{at}");
    }
}
