//! Typical mistakes of a new user, and what validate and plan say of each: one text to read, `mistakes.txt`. With
//! `UPDATE_EXPECT=1`, the test writes it.

use std::fmt::Write as _;

use contract::Diagnostic;
use expect_test::expect_file;
use serde_json::{Value as Json, json};

use super::{HOST_KEY, PRIVATE_KEY, block, in_memory, usual, with_any};

/// What a user writes into one of the blocks.
enum Place {
    Provider,
    Workload,
    Fleet,
    Bundle,
}
use Place::{Bundle, Fleet, Provider, Workload};

/// Where, at which attribute, and the value.
type Mistake = (Place, &'static str, Json);

/// Of values: each is of the wrong type or form.
fn of_values() -> Vec<Mistake> {
    vec![
        (Workload, "/namespace", json!("Book Info")),
        (Workload, "/name", json!("ratings_vm")),
        (Workload, "/name", json!("ratings.vm.1")),
        (Workload, "/address", json!("10.0.0.256")),
        (Workload, "/address", json!("https://10.0.0.20")),
        (Workload, "/address", json!("10.0.0.20:9080")),
        (Workload, "/address", json!("127.0.0.1")),
        (Workload, "/address", json!("vm.example.com")),
        (Workload, "/instance_ip", json!("here")),
        (Workload, "/labels/version", json!("a value")),
        (Workload, "/labels/bad key!", json!("x")),
        (Workload, "/service_account", json!("Bookinfo Ratings")),
        (Workload, "/locality", json!("europe//b")),
        (Workload, "/weight", json!(-1)),
        (Workload, "/ports", json!({ "http": 70000 })),
        (Workload, "/env", json!({ "MY VAR": "x" })),
        (
            Workload,
            "/env",
            json!({ "ISTIO_META_DNS_CAPTURE": "true" }),
        ),
        (Workload, "/fleet", json!("ratings")),
        (Workload, "/rebootstrap_on", json!(["reboot"])),
        (Workload, "/rotate_before", json!("6 hours")),
        (Workload, "/on_destroy", json!("delete")),
        (Workload, "/timeouts", json!({ "create": "soon" })),
    ]
}

/// Of services and the Sidecar.
fn of_services() -> Vec<Mistake> {
    let services = "/services/ratings";
    let at = |rest: &str| -> &'static str { String::leak(format!("{services}{rest}")) };
    vec![
        (Workload, at("/hosts"), json!(["*"])),
        (Workload, at("/hosts"), json!(["http://ratings"])),
        (Workload, at("/hosts"), json!([null])),
        (Workload, at("/addresses"), json!(["240.240.1"])),
        (Workload, at("/ports"), json!({})),
        (Workload, at("/ports/http/number"), json!(0)),
        (Workload, at("/ports/http/number"), json!(9080.5)),
        (Workload, at("/ports/http/number"), json!(22)),
        (Workload, at("/ports/http/number"), json!(15001)),
        (Workload, at("/ports/http/protocol"), json!("http/1.1")),
        (Workload, at("/ports/http/app_address"), json!("localhost")),
        (Workload, at("/export_to"), json!(["*", "bookinfo"])),
        (Workload, "/sidecar/egress_hosts", json!([])),
        (
            Workload,
            "/sidecar/egress_hosts",
            json!(["ratings.bookinfo"]),
        ),
        (Workload, "/sidecar/outbound_traffic", json!("ALLOW_ALL")),
    ]
}

/// Of the machine: SSH, the proxy, the health check.
fn of_the_machine() -> Vec<Mistake> {
    vec![
        (Workload, "/ssh", json!({})),
        (Workload, "/ssh", json!(null)),
        (Workload, "/ssh/host_key", json!("~/.ssh/known_hosts")),
        (
            Workload,
            "/ssh/host_key",
            json!("SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDWiVDpQcmr1cWlTQE"),
        ),
        (Workload, "/ssh/host_key", json!(PRIVATE_KEY)),
        (Workload, "/ssh/host_ca", json!(HOST_KEY)),
        (Workload, "/ssh/identity", json!("deploy")),
        (Workload, "/ssh/port", json!(0)),
        (Workload, "/ssh/insecure_ignore_host_key", json!(true)),
        (Workload, "/bundle", json!({ "path": "out/ratings.tar.gz" })),
        (Workload, "/objects_only", json!(true)),
        (Workload, "/proxy", json!({ "interception": "iptables" })),
        (Workload, "/proxy", json!({ "runtime": "docker" })),
        (Workload, "/proxy", json!({ "config": "concurency: 2" })),
        (
            Workload,
            "/proxy",
            json!({ "exclude_cidrs": ["0.0.0.0/0"] }),
        ),
        (
            Workload,
            "/proxy",
            json!({ "exclude_inbound_ports": [9080] }),
        ),
        (
            Workload,
            "/proxy",
            json!({ "install": { "url": "s3://me:geheim@bucket/istio.deb?sig=geheim", "sha256": "12" } }),
        ),
        (Workload, "/health_check", json!({})),
        (
            Workload,
            "/health_check",
            json!({ "http": { "port": 9080, "path": "health" } }),
        ),
    ]
}

/// Of the provider block and the other kinds.
fn of_the_rest() -> Vec<Mistake> {
    let key = |text: &str| json!({ "deploy": { "private_key": text } });
    vec![
        (Provider, "/kubernetes", json!({ "config_path": null })),
        (
            Provider,
            "/kubernetes",
            json!({ "config_path": "/nowhere/config" }),
        ),
        (
            Provider,
            "/kubernetes",
            json!({ "host": "ftp://k8s.example.com" }),
        ),
        (
            Provider,
            "/kubernetes",
            json!({ "host": "https://k8s", "username": "me", "token": "geheim" }),
        ),
        (
            Provider,
            "/kubernetes",
            json!({ "host": "https://k8s", "proxy_url": "proxy:3128:geheim" }),
        ),
        (
            Provider,
            "/istio",
            json!({ "control_plane_address": "istiod:15012" }),
        ),
        (Provider, "/ssh/identities", key("~/.ssh/id_ed25519")),
        (Provider, "/ssh/identities", key(HOST_KEY)),
        (Provider, "/ssh/identity", json!("deploy")),
        (Provider, "/ssh/check_on_refresh", json!("sometimes")),
        (Fleet, "/services", json!(null)),
        (Fleet, "/services/ratings/ports/http/number", json!(22)),
        (Fleet, "/sidecar", json!({ "egress_hosts": [] })),
        (Bundle, "/token_command", json!("")),
        (Bundle, "/instance_ip", json!("10.0.0")),
    ]
}

/// What the user writes besides.
fn configuration(place: &Place) -> Json {
    let services = usual()["services"].clone();
    match place {
        Provider => block(),
        Workload => usual(),
        Fleet => json!({ "namespace": "bookinfo", "name": "ratings", "services": services }),
        Bundle => {
            json!({ "namespace": "bookinfo", "name": "ratings-vm-1", "token_command": "cat /token" })
        }
    }
}

/// Returns what validate says, and if that is no error, what a plan says.
async fn reported((place, pointer, value): &Mistake) -> Vec<Diagnostic> {
    let config = with_any(configuration(place), pointer, value.clone());
    let client = in_memory().await;
    if matches!(place, Provider) {
        return client.configure(&config).await.unwrap().diagnostics;
    }
    client.configure(&block()).await.unwrap().ok().unwrap();
    if matches!(place, Bundle) {
        let source = client.data_source("mesh_vm_bundle").unwrap();
        return source.validate(&config).await.unwrap().diagnostics;
    }
    let name = match place {
        Fleet => "mesh_vm_fleet",
        _ => "mesh_vm_workload",
    };
    let resource = client.resource(name).unwrap();
    let validated = resource.validate(&config).await.unwrap();
    if !validated.errors().is_empty() {
        return validated.diagnostics;
    }
    let plan = resource.plan(None, &config).await.unwrap();
    plan.diagnostics
}

fn shown((place, pointer, value): &Mistake) -> String {
    let place = match place {
        Provider => "provider",
        Workload => "workload",
        Fleet => "fleet",
        Bundle => "bundle",
    };
    let value = value.to_string();
    let value: String = value.chars().take(120).collect();
    format!("{place}: {} = {value}", pointer[1..].replace('/', "."))
}

/// Returns what a diagnostic lacks: its path at the beginning of the text, and where to read on at the end.
fn lacks(diagnostic: &Diagnostic) -> Option<&'static str> {
    let detail = &diagnostic.detail;
    let (_, place) = detail.rsplit_once("\n\n").unwrap_or_default();
    let path = diagnostic.path.as_ref().map(ToString::to_string);
    let written = detail.replace("[\"", ".").replace("\"]", "");
    if !place.contains("] docs/guides/troubleshooting.md#") {
        Some("where to read on")
    } else if !path.is_some_and(|path| written.starts_with(&path)) {
        Some("its path")
    } else {
        None
    }
}

#[tokio::test]
async fn each_mistake_is_reported_where_it_is_and_with_where_to_read_on() {
    let (mut text, mut wrong) = (String::new(), vec![]);
    let all = [of_values(), of_services(), of_the_machine(), of_the_rest()];
    for mistake in all.iter().flatten() {
        let title = shown(mistake);
        let found = reported(mistake).await;
        if found.is_empty() {
            wrong.push(format!("{title}: nothing is said"));
        }
        _ = writeln!(text, "{title}");
        for diagnostic in &found {
            let detail = &diagnostic.detail;
            let lacking = lacks(diagnostic).map(|what| format!("{title}: {what} is missing"));
            wrong.extend(lacking);
            if detail.contains("geheim") {
                wrong.push(format!("{title}: a secret is shown"));
            }
            let lines = detail.replace("\n\n", "\n").replace('\n', "\n    ");
            let severity = diagnostic.severity;
            _ = writeln!(text, "  {severity:?}: {}\n    {lines}", diagnostic.summary);
        }
        text.push('\n');
    }
    expect_file!["mistakes.txt"].assert_eq(&text);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
