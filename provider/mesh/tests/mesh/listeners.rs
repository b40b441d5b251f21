use expect_test::{Expect, expect};
use mesh::desired::Kind;
use mesh::drift::of_objects;
use mesh::import::left_out;
use mesh::observed::ObservedObjects;
use serde_json::{Value, json};

use crate::sample::{facts, workload};

/// Changes the observed Sidecar of the workload, and returns how it differs then.
fn found(change: impl Fn(&mut Value)) -> (String, String) {
    let workload = workload();
    let objects = mesh::render::render(&workload, &facts()).unwrap().objects();
    let mut observed = ObservedObjects::default();
    for object in &objects {
        let (name, mut body) = (object.id.name.clone(), object.body.clone());
        match object.kind {
            Kind::Sidecar => {
                change(&mut body["spec"]);
                observed.sidecars.insert(name, body);
            }
            Kind::ServiceEntry => drop(observed.services.insert(name, body)),
            _ => observed.entry = Some(body),
        }
    }
    let text = |findings: Vec<mesh::drift::Finding>| {
        let lines = findings.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    };
    let mark = workload.mark();
    let drift = text(of_objects(&objects, &observed, &mark));
    (drift, text(left_out(&objects, &observed, &mark)))
}

fn check(change: impl Fn(&mut Value), expected: &Expect) {
    let (drift, left_out) = found(change);
    expected.assert_eq(&drift);
    assert_eq!(left_out, drift, "an import reports the same");
}

#[test]
fn a_part_of_a_listener_that_is_not_ours_has_a_line_of_its_own() {
    check(
        |spec| spec["ingress"][0]["connectionPool"] = json!({ "tcp": { "maxConnections": 7 } }),
        &expect![[
            r#"Sidecar bookinfo/ratings-vm-1: spec.ingress[9080].connectionPool is '{"tcp":{"maxConnections":7}}', should not be there"#
        ]],
    );
    check(
        |spec| spec["ingress"][0]["port"]["targetPort"] = json!(7),
        &expect![
            "Sidecar bookinfo/ratings-vm-1: spec.ingress[9080].port.targetPort is '7', should not be there"
        ],
    );
    check(
        |spec| spec["egress"][0]["bind"] = json!("127.0.0.9"),
        &expect![
            "Sidecar bookinfo/ratings-vm-1: spec.egress[*].bind is '127.0.0.9', should not be there"
        ],
    );
}

#[test]
fn a_listener_that_is_not_ours_has_a_line_of_its_own() {
    let more = json!({ "port": { "name": "admin", "number": 7, "protocol": "HTTP" } });
    check(
        |spec| {
            spec["ingress"]
                .as_array_mut()
                .unwrap()
                .insert(0, more.clone());
        },
        &expect![[
            r#"Sidecar bookinfo/ratings-vm-1: spec.ingress[7] is '{"port":{"name":"admin","number":7,"protocol":"HTTP"}}', should not be there"#
        ]],
    );
}

#[test]
fn a_value_of_a_listener_that_differs_is_named() {
    check(
        |spec| spec["ingress"][0]["defaultEndpoint"] = json!("127.0.0.1:7"),
        &expect![
            "Sidecar bookinfo/ratings-vm-1: spec.ingress[9080].defaultEndpoint is '127.0.0.1:7', should be '127.0.0.1:9080'"
        ],
    );
}

#[test]
fn the_order_of_listeners_and_defaults_are_no_difference() {
    check(
        |spec| {
            spec["ingress"][0]["captureMode"] = json!("DEFAULT");
            spec["ingress"][0]["tls"] = json!({});
            spec["egress"][0]["bind"] = json!("");
        },
        &expect![""],
    );
}

#[test]
fn a_listener_that_is_missing_is_named_and_no_import_reports_it() {
    let (drift, left_out) = found(|spec| spec["ingress"] = json!([]));
    assert!(
        drift.starts_with("Sidecar bookinfo/ratings-vm-1: spec.ingress[9080] is missing"),
        "{drift}"
    );
    assert_eq!(left_out, "");
}
