use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use mesh::conflicts::taken_objects;
use mesh::desired::Kind;
use mesh::drift::of_objects;
use mesh::fleet::{Fleet, Group};
use mesh::health::{HealthCheck, Probe};
use mesh::import::fleet_from_objects;
use mesh::objects::fleet_objects;
use mesh::observed::ObservedObjects;
use mesh::render::render;
use mesh::rollout::{OnFailure, Rollout};
use mesh::validate::{validate, validate_fleet};
use mesh::workload::{Sidecar, Workload};
use serde_json::{Value, json};

use crate::drift::texts;
use crate::sample::{facts, p, service, workload};

fn fleet() -> Fleet {
    Fleet {
        id: p("bookinfo/ratings"),
        services: BTreeMap::from([(p("http"), service("ratings.vm.bookinfo", 9080))]),
        sidecar: Some(Sidecar {
            egress_hosts: vec![p("./*")],
            ..Sidecar::default()
        }),
        rollout: Some(Rollout {
            max_unavailable: p("25%"),
            on_failure: OnFailure::Continue,
        }),
        group: Some(Group {
            labels: BTreeMap::from([(p("app"), p("ratings"))]),
            annotations: BTreeMap::from([("example.com/team".into(), "books".into())]),
            service_account: p("bookinfo-ratings"),
            network: Some(p("gcp-vms")),
            locality: Some(p("eu/a")),
            weight: Some(3),
            ports: BTreeMap::new(),
            health_check: Some(HealthCheck {
                methods: vec![Probe::Http {
                    host: None,
                    port: p("9080"),
                    path: Some("/health".into()),
                    scheme: None,
                    headers: BTreeMap::from([("X-Probe".into(), "1".into())]),
                }],
                period: Some(5),
                ..HealthCheck::default()
            }),
        }),
    }
}

#[test]
fn a_group_has_at_most_as_many_labels_and_annotations_as_its_definition_allows() {
    let rules = |labels: usize, annotations: usize| {
        let mut fleet = fleet();
        let group = fleet.group.as_mut().unwrap();
        let names = |count| (0..count).map(|n: usize| format!("n{n}"));
        group.labels = names(labels).map(|name| (p(&name), p("v"))).collect();
        group.annotations = names(annotations).map(|name| (name, "v".into())).collect();
        let problems = validate_fleet(&fleet);
        let rules = problems
            .iter()
            .map(|of| format!("{}: {}", of.rule, of.concerns.join(", ")));
        rules.collect::<Vec<_>>().join("; ")
    };
    assert_eq!(rules(255, 256), "");
    assert_eq!(
        rules(256, 257),
        "too-many: group.labels; too-many: group.annotations"
    );
}

fn member() -> Workload {
    Workload {
        fleet: Some(p("bookinfo/ratings")),
        services: BTreeMap::new(),
        sidecar: None,
        ..workload()
    }
}

/// The objects of a fleet as the API server returns them.
fn observed(of: &Fleet) -> ObservedObjects {
    let mut objects = ObservedObjects::default();
    for object in fleet_objects(of) {
        match object.kind {
            Kind::WorkloadEntry => panic!("a fleet has no entry"),
            Kind::WorkloadGroup => objects.group = Some(object.body),
            Kind::Lease => objects.lease = Some(object.body),
            Kind::ServiceEntry => drop(objects.services.insert(object.id.name, object.body)),
            Kind::Sidecar => drop(objects.sidecars.insert(object.id.name, object.body)),
        }
    }
    objects
}

#[test]
fn objects_of_a_fleet_select_its_members_by_the_providers_label() {
    let objects = fleet_objects(&fleet()).into_iter();
    let text = objects.map(|of| format!("{} {}\n{}\n", of.kind, of.id, of.body));
    expect![[r#"
        ServiceEntry bookinfo/ratings-http
        {"metadata":{"labels":{"app.kubernetes.io/managed-by":"terraform-provider-mesh","mesh.vm/fleet":"ratings"}},"spec":{"hosts":["ratings.vm.bookinfo"],"location":"MESH_INTERNAL","ports":[{"name":"http","number":9080,"protocol":"HTTP","targetPort":9080}],"resolution":"STATIC","workloadSelector":{"labels":{"mesh.vm/fleet":"ratings"}}}}
        Sidecar bookinfo/ratings
        {"metadata":{"labels":{"app.kubernetes.io/managed-by":"terraform-provider-mesh","mesh.vm/fleet":"ratings"}},"spec":{"egress":[{"hosts":["./*"]}],"ingress":[{"defaultEndpoint":"127.0.0.1:9080","port":{"name":"http","number":9080,"protocol":"HTTP"}}],"workloadSelector":{"labels":{"mesh.vm/fleet":"ratings"}}}}
        Lease bookinfo/mesh-vm-fleet-ratings
        {"metadata":{"annotations":{"mesh.vm/max-unavailable":"25%","mesh.vm/on-failure":"continue"},"labels":{"app.kubernetes.io/managed-by":"terraform-provider-mesh","mesh.vm/fleet":"ratings"}},"spec":{}}
        WorkloadGroup bookinfo/ratings
        {"metadata":{"labels":{"app.kubernetes.io/managed-by":"terraform-provider-mesh","mesh.vm/fleet":"ratings"}},"spec":{"metadata":{"annotations":{"example.com/team":"books"},"labels":{"app":"ratings","mesh.vm/fleet":"ratings"}},"probe":{"httpGet":{"host":"127.0.0.1","httpHeaders":[{"name":"X-Probe","value":"1"}],"path":"/health","port":9080},"periodSeconds":5},"template":{"locality":"eu/a","network":"gcp-vms","serviceAccount":"bookinfo-ratings","weight":3}}}
    "#]].assert_eq(&text.collect::<String>());
}

#[test]
fn the_entry_and_the_proxy_of_a_member_carry_the_fleets_label() {
    let (of_fleet, alone) = (
        member(),
        Workload {
            fleet: None,
            ..member()
        },
    );
    assert_eq!(validate(&of_fleet), []);
    let (with, without) = (render(&of_fleet, &facts()), render(&alone, &facts()));
    let (with, without) = (with.unwrap(), without.unwrap());
    let proxy = |of: &mesh::desired::Desired| {
        let text = String::from_utf8(of.bundle.files[0].content.clone()).unwrap();
        text.contains(r#""mesh.vm/fleet":"ratings""#)
    };
    assert_eq!((proxy(&with), proxy(&without)), (true, false));
    let labels = |of: &mesh::desired::Desired| of.entry.body["spec"]["labels"].clone();
    assert_eq!(labels(&with)["mesh.vm/fleet"], "ratings");
    assert_eq!(labels(&without)["mesh.vm/fleet"], Value::Null);
    assert_eq!(
        with.objects().len(),
        1,
        "services and Sidecar are the fleet's"
    );
}

fn check(problems: &[mesh::change::Problem], expected: &Expect) {
    let lines = problems.iter();
    let lines = lines.map(|of| format!("{} {:?}\n", of.rule, of.concerns));
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn all_problems_of_a_member_are_reported_at_once() {
    let wrong = Workload {
        fleet: Some(p("other/ratings")),
        address: Some(p("vm.example.com")),
        ..workload()
    };
    check(
        &validate(&wrong),
        &expect![[r#"
            fleet-namespace ["fleet", "namespace"]
            fleet-declares ["services", "fleet"]
            fleet-declares ["sidecar", "fleet"]
            fleet-needs-ip ["address", "fleet"]
        "#]],
    );
}

#[test]
fn all_problems_of_a_fleet_are_reported_at_once() {
    assert_eq!(validate_fleet(&fleet()), []);
    let empty = Fleet {
        id: p(&format!("bookinfo/{}", "a".repeat(64))),
        services: BTreeMap::new(),
        sidecar: None,
        group: None,
        rollout: None,
    };
    check(
        &validate_fleet(&empty),
        &expect![[r#"
            fleet-name ["name"]
            fleet-empty ["services", "sidecar", "group"]
        "#]],
    );
    let mut wrong = fleet();
    wrong.services.insert(p("again"), service("again.vm", 9080));
    let group = wrong.group.as_mut().unwrap();
    group.labels.insert(p("mesh.vm/fleet"), p("x"));
    let annotation = ("istio.io/connectedAt".to_owned(), "now".to_owned());
    group.annotations.extend([annotation]);
    group.health_check.as_mut().unwrap().methods = vec![Probe::Grpc {
        port: p("9080"),
        service: None,
    }];
    check(
        &validate_fleet(&wrong),
        &expect![[r#"
            same-port-twice ["services.http.ports.http.target_port", "services.again.ports.http.target_port"]
            label-is-ours ["group.labels.mesh.vm/fleet"]
            annotation-reserved ["group.annotations.istio.io/connectedAt", "group.annotations"]
            group-grpc ["group.health_check.grpc"]
        "#]],
    );
}

#[test]
fn written_objects_have_no_drift_and_are_imported_as_declared() {
    let (fleet, found) = (fleet(), observed(&fleet()));
    assert_eq!(
        texts(&of_objects(&fleet_objects(&fleet), &found, &fleet.mark())),
        [""; 0]
    );
    let imported = fleet_from_objects(&fleet.id, &found).unwrap();
    assert_eq!(imported.notes, [""; 0]);
    assert_eq!(imported.fleet, fleet);
    let nothing = ObservedObjects::default();
    assert_eq!(fleet_from_objects(&fleet.id, &nothing), None);
}

#[test]
fn a_member_is_imported_with_its_fleet() {
    let imported = mesh::import::workload_from_objects(&crate::import::objects(&member())).unwrap();
    assert_eq!(
        imported.workload,
        Workload {
            instance_ip: None,
            ..member()
        }
    );
}

#[test]
fn a_fleet_whose_declaration_changed_has_drift() {
    let (fleet, mut found) = (fleet(), observed(&fleet()));
    let template = &mut found.group.as_mut().unwrap()["spec"]["template"];
    template["labels"] = json!({ "app": "other" });
    let sidecar = found.sidecars.get_mut(&p("ratings")).unwrap();
    sidecar["spec"]["egress"] = json!([]);
    let mut old = found.services[&p("ratings-http")].clone();
    old["spec"]["hosts"] = json!(["old"]);
    found.services.insert(p("ratings-old"), old);
    expect![[r#"
        Sidecar bookinfo/ratings: spec.egress[*] is missing, should be '{"hosts":["./*"]}'
        WorkloadGroup bookinfo/ratings: spec.template.labels.app is 'other', should not be there
        ServiceEntry bookinfo/ratings-old is not wanted any more"#]]
    .assert_eq(&texts(&of_objects(&fleet_objects(&fleet), &found, &fleet.mark())).join("\n"));
}

#[test]
fn objects_of_a_workload_are_neither_taken_over_nor_imported() {
    let mut theirs = Fleet {
        id: p("bookinfo/ratings"),
        ..fleet()
    };
    theirs.group = None;
    let mut found = observed(&theirs);
    let labels = json!({ "app.kubernetes.io/managed-by": "terraform-provider-mesh", "mesh.vm/workload": "ratings" });
    for object in found
        .services
        .values_mut()
        .chain(found.sidecars.values_mut())
    {
        object["metadata"]["labels"] = labels.clone();
    }
    check(
        &taken_objects(&fleet(), &found),
        &expect![[r#"
            service-entry-taken ["services.http"]
            sidecar-taken ["sidecar"]
        "#]],
    );
    assert_eq!(fleet_from_objects(&p("bookinfo/ratings"), &found), None);
}

#[test]
fn every_probe_of_a_group_is_imported_as_declared() {
    let tcp = Probe::Tcp {
        host: Some(p("10.0.0.7")),
        port: p("9080"),
    };
    for method in [tcp, Probe::Exec(vec!["/bin/true".into(), "now".into()])] {
        let mut fleet = fleet();
        fleet.group.as_mut().unwrap().health_check = Some(HealthCheck {
            methods: vec![method],
            initial_delay: Some(1),
            timeout: Some(2),
            period: None,
            success_threshold: Some(3),
            failure_threshold: Some(4),
        });
        let imported = fleet_from_objects(&fleet.id, &observed(&fleet)).unwrap();
        assert_eq!(imported.fleet, fleet);
    }
    let mut strange = observed(&fleet());
    strange.group.as_mut().unwrap()["spec"]["probe"] = json!({ "grpc": { "port": 1 } });
    let imported = fleet_from_objects(&fleet().id, &strange).unwrap();
    assert_eq!(
        imported.notes,
        ["spec.probe has a kind that cannot be declared."]
    );
}
