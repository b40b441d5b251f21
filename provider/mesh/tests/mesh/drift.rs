use std::collections::BTreeMap;

use std::time::Duration;

use expect_test::{Expect, expect};
use mesh::change::Drift;
use mesh::desired::{Desired, Kind, Watch};
use mesh::drift::compare;
use mesh::drift::{Expectations, Finding};
use mesh::facts::Facts;
use mesh::observed::{ObservedObjects, ObservedVm, Seen, SeenRuntime, UnitState};
use mesh::render::render;
use mesh::workload::{Install, Interception, Runtime, Workload};
use serde_json::{Value, json};

use crate::sample::{facts, p, workload};

const ENV: &str = "/var/lib/istio/envoy/cluster.env";
const MESH: &str = "/etc/istio/config/mesh";
const ROOT: &str = "/etc/certs/root-cert.pem";

/// The actual state of the cluster and the VM without any drift.
fn observed(desired: &Desired) -> (ObservedObjects, ObservedVm) {
    let mut objects = ObservedObjects::default();
    for object in &desired.objects() {
        let mut whole = object.body.clone();
        whole["metadata"]["uid"] = json!("u");
        whole["status"] = json!({});
        match object.kind {
            Kind::WorkloadEntry => objects.entry = Some(whole),
            Kind::ServiceEntry => drop(objects.services.insert(object.id.name.clone(), whole)),
            Kind::WorkloadGroup => objects.group = Some(whole),
            Kind::Lease => objects.lease = Some(whole),
            Kind::Sidecar => drop(objects.sidecars.insert(object.id.name.clone(), whole)),
        }
    }
    let bundle = &desired.bundle;
    let files = bundle.files.iter().map(|file| {
        let (owner, content) = (file.owner.to_owned(), file.content.clone());
        (
            file.path.clone(),
            Seen::File {
                owner,
                mode: file.mode,
                content,
            },
        )
    });
    let unit = UnitState {
        active: "active".into(),
        enabled: "enabled".into(),
    };
    let vm = ObservedVm {
        machine_id: "m1".into(),
        owner: Some(bundle.owner.clone()),
        files: files.collect(),
        changed: vec![],
        hosts_lines: bundle.hosts_line.clone().into_iter().collect(),
        runtime: SeenRuntime {
            kind: bundle.proxy.runtime,
            image: bundle.proxy.image.as_ref().map(ToString::to_string),
            unit,
            version: Some("1.31.0".into()),
            ready: true,
        },
        certificate: Some((p("2027-01-01T00:00:00Z"), p("2030-01-01T00:00:00Z"))),
        jumps: vec![
            "nft/nat/OUTPUT/ISTIO_OUTPUT".into(),
            "nft/nat/PREROUTING/ISTIO_INBOUND".into(),
            "nft/nat/PREROUTING/MESH_IN".into(),
        ],
        lost_jumps: vec![],
        unfinished: None,
    };
    (objects, vm)
}

/// Expectations of a VM whose certificate must be valid for another six hours.
pub(crate) fn expectations() -> Expectations<'static> {
    Expectations {
        machine_id: Some("m1"),
        version: Some("1.31.0"),
        now: p("2029-01-01T00:00:00Z"),
        rotate_before: Duration::from_hours(6),
    }
}

/// Drift as stored in state.
#[derive(Debug, Default, PartialEq)]
struct Texts {
    objects: Vec<String>,
    vm: Vec<String>,
}

impl From<Drift> for Texts {
    fn from(drift: Drift) -> Self {
        Self {
            objects: texts(&drift.objects),
            vm: texts(&drift.vm),
        }
    }
}

/// The text of each finding. Parsing it must return the same finding.
pub(crate) fn texts(findings: &[Finding]) -> Vec<String> {
    let text = |finding: &Finding| {
        let text = finding.to_string();
        assert_eq!(Finding::from(text.as_str()), *finding, "{text}");
        text
    };
    findings.iter().map(text).collect()
}

fn drift(
    of: &Workload,
    facts: &Facts,
    change: impl FnOnce(&mut ObservedObjects, &mut ObservedVm),
) -> Texts {
    let desired = render(of, facts).unwrap();
    let (mut objects, mut vm) = observed(&desired);
    change(&mut objects, &mut vm);
    compare(&desired, &objects, Some(&vm), &expectations()).into()
}

fn check_objects(change: impl FnOnce(&mut ObservedObjects), expected: &Expect) {
    let drift = drift(&workload(), &facts(), |objects, _| change(objects));
    assert_eq!(drift.vm, [""; 0]);
    expected.assert_eq(&drift.objects.join("\n"));
}

fn check_vm(change: impl FnOnce(&mut ObservedVm), expected: &Expect) {
    let drift = drift(&workload(), &facts(), |_, vm| change(vm));
    assert_eq!(drift.objects, [""; 0]);
    expected.assert_eq(&drift.vm.join("\n"));
}

fn edit(vm: &mut ObservedVm, path: &str, from: &str, to: &str) {
    let Some(Seen::File { content, .. }) = vm.files.get_mut(path) else {
        panic!("{path} is not there")
    };
    let text = String::from_utf8(content.clone()).unwrap();
    assert!(text.contains(from), "{text}");
    *content = text.replace(from, to).into_bytes();
}

#[test]
fn the_desired_state_has_no_drift() {
    check_objects(|_| {}, &expect![""]);
    check_vm(|_| {}, &expect![""]);
}

/// A repair would be lost with the object: the next apply must wait until it is deleted.
#[test]
fn an_object_that_is_being_deleted_is_reported_with_its_finalizers() {
    let doom = |object: &mut serde_json::Value, finalizers: serde_json::Value| {
        object["metadata"]["deletionTimestamp"] = json!("2029-01-01T00:00:00Z");
        object["metadata"]["finalizers"] = finalizers;
    };
    check_objects(
        |objects| {
            let entry = objects.entry.as_mut().unwrap();
            entry["spec"]["address"] = json!("192.0.2.99");
            doom(
                entry,
                json!(["example.com/backup", "example.com/b\u{1b}[2J"]),
            );
            let mut pruned = objects.services.values().next().unwrap().clone();
            for service in objects.services.values_mut() {
                doom(service, json!([]));
            }
            doom(&mut pruned, json!(["example.com/backup"]));
            pruned["metadata"]["name"] = json!("old");
            objects.services.insert("old".parse().unwrap(), pruned);
        },
        &expect![[r#"
            WorkloadEntry bookinfo/ratings-vm-1 is being deleted and held by its finalizers example.com/backup, example.com/b\u{1b}[2J
            ServiceEntry bookinfo/ratings-vm-1-ratings is being deleted
            ServiceEntry bookinfo/old is not wanted any more, is being deleted and held by its finalizers example.com/backup"#]],
    );
}

#[test]
fn fields_of_istiod_and_of_others_are_not_drift() {
    let theirs = |objects: &mut ObservedObjects| {
        let entry = objects.entry.as_mut().unwrap();
        entry["metadata"]["annotations"]["istio.io/connectedAt"] = json!("2029-01-01T00:00:00Z");
        entry["metadata"]["labels"]["team"] = json!("a");
        entry["status"] = json!({ "conditions": [{ "type": "Healthy" }] });
        entry["spec"]["weight"] = json!(7);
        objects.services.insert(p("foreign"), json!({}));
        let service = objects
            .services
            .get_mut(&p("ratings-vm-1-ratings"))
            .unwrap();
        service["spec"]["exportTo"] = json!(["*"]);
        service["spec"]["ports"][0]["number"] = json!(9080.0);
        service["spec"]["ports"][0]["x"] = json!(1);
    };
    check_objects(theirs, &expect![""]);
}

#[test]
fn a_service_that_is_no_longer_declared_is_drift_if_it_has_the_workloads_mark() {
    let marked = |of: &str| json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "terraform-provider-mesh", "mesh.vm/workload": of } } });
    let left = |objects: &mut ObservedObjects| {
        objects
            .services
            .insert(p("ratings-vm-1-old"), marked("ratings-vm-1"));
        objects
            .services
            .insert(p("ratings-vm-1-b-c"), marked("ratings-vm-1-b"));
    };
    check_objects(
        left,
        &expect!["ServiceEntry bookinfo/ratings-vm-1-old is not wanted any more"],
    );
}

#[test]
fn an_edited_object_is_reported_with_both_values() {
    let edited = |objects: &mut ObservedObjects| {
        let entry = objects.entry.as_mut().unwrap();
        entry["spec"]["labels"]["version"] = json!("v9\u{1b}[31m");
        entry["spec"]["serviceAccount"] = Value::Null;
        entry["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"] = json!("true");
        let service = objects
            .services
            .get_mut(&p("ratings-vm-1-ratings"))
            .unwrap();
        service["spec"]["hosts"] = json!(["ratings.vm.bookinfo", "more"]);
        service["spec"]["ports"][0]["number"] = json!(80);
    };
    check_objects(
        edited,
        &expect![[r#"
            WorkloadEntry bookinfo/ratings-vm-1: metadata.annotations.proxy.istio.io/health-checks-enabled is 'true', should be 'false'
            WorkloadEntry bookinfo/ratings-vm-1: spec.labels.version is 'v9\u{1b}[31m', should be 'v2'
            WorkloadEntry bookinfo/ratings-vm-1: spec.serviceAccount is missing, should be 'bookinfo-ratings'
            ServiceEntry bookinfo/ratings-vm-1-ratings: spec.ports[name="http"].number is '80', should be '9080'
            ServiceEntry bookinfo/ratings-vm-1-ratings: spec.hosts is '["ratings.vm.bookinfo","more"]', should be '["ratings.vm.bookinfo"]'"#]],
    );
}

#[test]
fn a_selector_with_a_foreign_label_is_drift() {
    let more = |objects: &mut ObservedObjects| {
        let service = objects.services.get_mut(&p("ratings-vm-1-ratings"));
        service.unwrap()["spec"]["workloadSelector"]["labels"]["app"] = json!("ratings");
    };
    check_objects(
        more,
        &expect![
            "ServiceEntry bookinfo/ratings-vm-1-ratings: spec.workloadSelector.labels.app is 'ratings', should not be there"
        ],
    );
}

#[test]
fn a_port_that_somebody_adds_removes_or_renames_is_drift_and_their_order_is_not() {
    let port = |name: &str| json!({ "name": name, "number": 9080, "protocol": "HTTP", "targetPort": 9080 });
    let check = |ports: Value, expected: &expect_test::Expect| {
        let set = |objects: &mut ObservedObjects| {
            let service = objects.services.get_mut(&p("ratings-vm-1-ratings"));
            service.unwrap()["spec"]["ports"] = ports;
        };
        check_objects(set, expected);
    };
    check(
        json!([port("more"), port("http")]),
        &expect![[
            r#"ServiceEntry bookinfo/ratings-vm-1-ratings: spec.ports[name="more"] is '{"name":"more","number":9080,"protocol":"HTTP","targetPort":9080}', should not be there"#
        ]],
    );
    check(
        json!([port("web")]),
        &expect![[r#"
        ServiceEntry bookinfo/ratings-vm-1-ratings: spec.ports[name="http"] is missing, should be '{"name":"http","number":9080,"protocol":"HTTP","targetPort":9080}'
        ServiceEntry bookinfo/ratings-vm-1-ratings: spec.ports[name="web"] is '{"name":"web","number":9080,"protocol":"HTTP","targetPort":9080}', should not be there"#]],
    );
    check(
        json!([]),
        &expect![[
            r#"ServiceEntry bookinfo/ratings-vm-1-ratings: spec.ports[name="http"] is missing, should be '{"name":"http","number":9080,"protocol":"HTTP","targetPort":9080}'"#
        ]],
    );
    check(
        Value::Null,
        &expect![[
            r#"ServiceEntry bookinfo/ratings-vm-1-ratings: spec.ports[name="http"] is missing, should be '{"name":"http","number":9080,"protocol":"HTTP","targetPort":9080}'"#
        ]],
    );
}

#[test]
fn long_values_are_cut_around_their_first_difference() {
    let edited = |objects: &mut ObservedObjects| {
        let sidecar = objects.sidecars.get_mut(&p("ratings-vm-1")).unwrap();
        let hosts = sidecar["spec"]["egress"][0]["hosts"].as_array_mut();
        hosts.unwrap().push(json!("more/*"));
    };
    let mut long = workload();
    let hosts = (0..50).map(|n| p(&format!("namespace-{n}/*")));
    long.sidecar.as_mut().unwrap().egress_hosts = hosts.collect();
    let drift = drift(&long, &facts(), |objects, _| edited(objects));
    expect![[r#"Sidecar bookinfo/ratings-vm-1: spec.egress[*].hosts is '…/*","namespace-49/*","more/*"]', should be '…/*","namespace-49/*"]'"#]].assert_eq(&drift.objects.join("\n"));
}

#[test]
fn missing_objects_are_reported() {
    check_objects(
        |objects| *objects = ObservedObjects::default(),
        &expect![[r"
            WorkloadEntry bookinfo/ratings-vm-1 is missing
            ServiceEntry bookinfo/ratings-vm-1-ratings is missing
            Sidecar bookinfo/ratings-vm-1 is missing"]],
    );
}

#[test]
fn values_of_annotations_are_not_shown() {
    let mut secret = workload();
    secret
        .annotations
        .insert("a.io/key".into(), "c4nary".into());
    let drift = drift(&secret, &facts(), |objects, _| {
        objects.entry.as_mut().unwrap()["metadata"]["annotations"]["a.io/key"] = json!("other");
    });
    assert_eq!(
        drift.objects,
        ["WorkloadEntry bookinfo/ratings-vm-1: metadata.annotations.a.io/key differs"]
    );
}

#[test]
fn a_variable_edited_on_the_vm_is_reported() {
    check_vm(
        |vm| {
            edit(
                vm,
                ENV,
                "ISTIO_INBOUND_PORTS='*'",
                "ISTIO_INBOUND_PORTS='9080'",
            );
        },
        &expect![
            "configuration: /var/lib/istio/envoy/cluster.env: ISTIO_INBOUND_PORTS is '9080', should be '*'"
        ],
    );
}

#[test]
fn files_are_compared_by_their_values() {
    check_vm(
        |vm| {
            edit(
                vm,
                ENV,
                "POD_NAME=ratings-vm-1\n",
                "# mine\n\nPOD_NAME=\"ratings-vm-1\"\n",
            );
            edit(
                vm,
                MESH,
                "\"POD_NAME\": \"ratings-vm-1\"",
                "POD_NAME: 'ratings-vm-1'",
            );
        },
        &expect![""],
    );
    let mut facts = facts();
    facts.mesh_config = json!({ "defaultConfig": { "concurrency": 2, "drainDuration": "5s" } });
    let same_number = drift(&workload(), &facts, |_, vm| {
        edit(vm, MESH, "\"concurrency\": 2", "concurrency: 2.0");
    });
    assert_eq!(same_number, Texts::default());
}

#[test]
fn empty_maps_and_lists_are_values_and_an_empty_document_has_none() {
    let named = "\"POD_NAME\": ";
    check_vm(
        |vm| {
            let with_empty = format!("\"EMPTY\": {{}}, \"NULL\": null, {named}");
            edit(vm, MESH, named, &with_empty);
        },
        &expect![[r#"
            mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.EMPTY is not wanted
            mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.NULL is not wanted"#]],
    );
    check_vm(
        |vm| {
            let Some(Seen::File { content, .. }) = vm.files.get_mut(MESH) else {
                panic!("the mesh config is not there")
            };
            content.clear();
        },
        &expect![[r#"
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.CANONICAL_REVISION is missing, should be 'v2'
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.CANONICAL_SERVICE is missing, should be 'ratings'
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_METAJSON_LABELS is missing, should be '{"app":"ratings","mesh.vm/workload":"ratings-vm-1","service.istio.io/canonical-n…'
            mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_META_CLUSTER_ID is missing, should be 'Kubernetes'
            mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_META_MESH_ID is missing, should be 'cluster.local'
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_META_NETWORK is missing, should be ''
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_META_WORKLOAD_ENTRY is missing, should be 'ratings-vm-1'
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_META_WORKLOAD_NAME is missing, should be 'ratings-vm-1'
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.POD_NAME is missing, should be 'ratings-vm-1'
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.POD_NAMESPACE is missing, should be 'bookinfo'
            configuration: /etc/istio/config/mesh: defaultConfig.proxyMetadata.SERVICE_ACCOUNT is missing, should be 'bookinfo-ratings'
            mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.TRUST_DOMAIN is missing, should be 'cluster.local'"#]],
    );
}

#[test]
fn a_file_with_more_than_assignments_is_reported_without_its_content() {
    check_vm(
        |vm| {
            edit(vm, ENV, "POD_NAME=", "export S=c4nary\nPOD_NAME=");
            edit(vm, MESH, "\"defaultConfig\":", "defaultConfig: [c4nary");
        },
        &expect![[r#"
            files: /var/lib/istio/envoy/cluster.env: content differs
            files: /etc/istio/config/mesh: content differs"#]],
    );
}

/// The path of each value below a long name contains this name.
#[test]
fn a_document_with_too_long_paths_is_compared_as_a_whole() {
    check_vm(
        |vm| {
            let Some(Seen::File { content, .. }) = vm.files.get_mut(MESH) else {
                panic!("the mesh config is not there")
            };
            let values: Vec<String> = (0..2000).map(|at| format!("\"{at}\": {at}")).collect();
            let (name, values) = ("k".repeat(100_000), values.join(", "));
            let document = format!("? {name}\n: {{ {values} }}\n");
            *content = document.into_bytes();
        },
        &expect!["files: /etc/istio/config/mesh: content differs"],
    );
}

#[test]
fn only_values_that_the_provider_computes_are_shown() {
    let mut facts = facts();
    facts.mesh_config = json!({ "defaultConfig": {
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "tracing": { "token": "c4nary" },
        "proxyMetadata": { "OF_MESH": "c4nary", "LOST": "c4nary" },
    } });
    let mut own = workload();
    own.env.insert(p("OF_USER"), "c4nary".into());
    let drift = drift(&own, &facts, |_, vm| {
        for (name, path) in [
            ("OF_MESH=c4nary", ENV),
            ("OF_USER=c4nary", ENV),
            ("OF_MESH\": \"c4nary", MESH),
            ("token\": \"c4nary", MESH),
        ] {
            edit(vm, path, name, &name.replace("c4nary", "other-c4nary"));
        }
        edit(vm, ENV, "LOST=c4nary\n", "ADDED=c4nary\n");
        edit(vm, ENV, "POD_NAME=ratings-vm-1", "POD_NAME=other");
        edit(vm, MESH, "15012", "15010");
    });
    let lines = drift.vm.join("\n");
    assert!(!lines.contains("c4nary"), "{lines}");
    expect![[r#"
        mesh: /var/lib/istio/envoy/cluster.env: ADDED is not wanted
        mesh: /var/lib/istio/envoy/cluster.env: LOST is missing
        mesh: /var/lib/istio/envoy/cluster.env: OF_MESH differs
        configuration: /var/lib/istio/envoy/cluster.env: OF_USER differs
        configuration: /var/lib/istio/envoy/cluster.env: POD_NAME is 'other', should be 'ratings-vm-1'
        mesh: /etc/istio/config/mesh: defaultConfig.discoveryAddress is 'istiod.istio-system.svc:15010', should be 'istiod.istio-system.svc:15012'
        mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.OF_MESH differs
        mesh: /etc/istio/config/mesh: defaultConfig.tracing.token differs"#]].assert_eq(&lines);
}

#[test]
fn findings_are_limited_in_number_and_length() {
    let drift = drift(&workload(), &facts(), |_, vm| {
        let long = "x".repeat(500);
        let more: Vec<_> = (0..50).map(|n| format!("A{n}={long}\n")).collect();
        edit(
            vm,
            ENV,
            "POD_NAME=ratings-vm-1",
            &format!("{}POD_NAME={long}", more.concat()),
        );
    });
    assert_eq!(drift.vm.len(), 22);
    // Counted by cause: findings that are left out must not bootstrap a VM if their cause is held back.
    assert_eq!(
        drift.vm[20..],
        ["configuration: and 1 more", "mesh: and 30 more"]
    );
    assert!(drift.vm.iter().all(|line| line.len() < 250));
}

#[test]
fn owner_mode_and_existence_of_files_are_compared() {
    check_vm(
        |vm| {
            let Some(Seen::File { owner, mode, .. }) = vm.files.get_mut(ENV) else {
                panic!()
            };
            (*owner, *mode) = ("istio-proxy".into(), 0o100_666);
            vm.files.insert(MESH.into(), Seen::Missing);
        },
        &expect![[r#"
            files: /var/lib/istio/envoy/cluster.env: owner is 'istio-proxy', should be 'root'
            files: /var/lib/istio/envoy/cluster.env: mode is 0666, should be 0644
            files: /etc/istio/config/mesh is missing"#]],
    );
}

/// A bootstrap replaces the file, whatever it is.
#[test]
fn a_file_that_cannot_be_read_is_drift() {
    check_vm(
        |vm| {
            let link = Seen::Odd("is a link".into());
            vm.files.insert(ROOT.into(), link);
            let large = Seen::Odd("has 314572800 bytes\u{1b}[2J".into());
            vm.files.insert(MESH.into(), large);
        },
        &expect![[r#"
            files: /etc/istio/config/mesh has 314572800 bytes\u{1b}[2J
            files: /etc/certs/root-cert.pem is a link"#]],
    );
}

#[test]
fn a_trust_root_that_the_agent_rewrote_is_not_drift() {
    let root = |owner: &str, mode, content: &str| {
        let seen = Seen::File {
            owner: owner.to_owned(),
            mode,
            content: content.as_bytes().to_vec(),
        };
        move |vm: &mut ObservedVm| drop(vm.files.insert(ROOT.into(), seen))
    };
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    check_vm(root("istio-proxy", 0o600, pem), &expect![""]);
    check_vm(root("root", 0o604, pem), &expect![""]);
    check_vm(
        root("istio-proxy", 0o040, pem),
        &expect!["files: /etc/certs/root-cert.pem: istio-proxy cannot read it"],
    );
    check_vm(
        root("root", 0o600, ""),
        &expect![[r#"
            files: /etc/certs/root-cert.pem: holds no certificate
            files: /etc/certs/root-cert.pem: istio-proxy cannot read it"#]],
    );
    let watched: Vec<_> = render(&workload(), &facts()).unwrap().bundle.files;
    assert_eq!(
        watched
            .iter()
            .filter(|file| file.watch == Watch::No)
            .count(),
        1
    );
}

/// If the user configures no version, another installed version is not drift.
#[test]
fn another_version_than_the_configured_one_is_reported() {
    let mut certain = workload();
    certain.proxy.install = Some(Install {
        url: "https://packages.example/istio.deb".into(),
        sha256: p(&"0".repeat(64)),
    });
    let mut of_a_release = workload();
    of_a_release.proxy.version = Some(p("1.31.0"));
    let line = "proxy: package istio-sidecar";
    let cases = [
        (Some("1.31.0"), None),
        (
            Some("1.30.2"),
            Some(format!("{line} is '1.30.2', should be '1.31.0'")),
        ),
        (None, Some(format!("{line} is missing, should be '1.31.0'"))),
    ];
    for (version, expected) in cases {
        let found = |of: &Workload| {
            let version = version.map(str::to_owned);
            drift(of, &facts(), |_, vm| vm.runtime.version = version).vm
        };
        let expected = Vec::from_iter(expected);
        assert_eq!(found(&certain), expected, "{version:?}");
        assert_eq!(found(&of_a_release), expected, "{version:?}");
        assert_eq!(found(&workload()), [""; 0], "{version:?}");
    }
}

#[test]
fn machine_owner_and_unit_are_compared() {
    check_vm(
        |vm| {
            vm.machine_id = "m2".into();
            vm.owner = None;
            vm.hosts_lines = vec!["10.99.0.9 istiod.istio-system.svc".into()];
            vm.runtime.unit = UnitState {
                active: "failed".into(),
                enabled: "disabled".into(),
            };
            vm.unfinished = Some("start".into());
            vm.certificate = Some((p("2027-01-01T00:00:00Z"), p("2028-01-01T00:00:00Z")));
        },
        &expect![[r#"
            a bootstrap stopped at the step start
            machine: another machine: its id is m2, it was m1
            machine: the mark of who owns the proxy is missing
            mesh: /etc/hosts: istiod's line is '10.99.0.9 istiod.istio-system.svc', should be '10.99.0.2 istiod.istio-system.svc'
            proxy: the unit istio is 'failed', should be 'active'
            proxy: the unit istio is 'disabled', should be 'enabled'
            certificate: the workload's certificate expired at 2028-01-01T00:00:00Z"#]],
    );
    check_vm(
        |vm| vm.runtime.unit = UnitState::default(),
        &expect!["proxy: the unit istio is missing"],
    );
    let half = |active: &str, enabled: &str| UnitState {
        active: active.into(),
        enabled: enabled.into(),
    };
    check_vm(
        |vm| vm.runtime.unit = half("inactive", ""),
        &expect![[r#"
        proxy: the unit istio is 'inactive', should be 'active'
        proxy: the unit istio is '', should be 'enabled'"#]],
    );
    check_vm(
        |vm| vm.runtime.unit = half("", "enabled"),
        &expect!["proxy: the unit istio is '', should be 'active'"],
    );
}

#[test]
fn another_runtime_and_another_image_are_reported() {
    let mut contained = workload();
    contained.proxy.runtime = Runtime::Docker;
    contained.proxy.image = Some(p("istio/proxyv2:1.31.0"));
    for (kind, image, line) in [
        (Runtime::Docker, Some("istio/proxyv2:1.31.0"), ""),
        // There is no container: the state of the unit is reported instead.
        (Runtime::Docker, None, ""),
        (
            Runtime::Docker,
            Some("istio/proxyv2:1.30.0"),
            "proxy: image is 'istio/proxyv2:1.30.0', should be 'istio/proxyv2:1.31.0'",
        ),
        (
            Runtime::Systemd,
            None,
            "proxy: the runtime is 'systemd', should be 'docker'",
        ),
    ] {
        let drift = drift(&contained, &facts(), |_, vm| {
            vm.runtime.kind = kind;
            vm.runtime.image = image.map(str::to_owned);
        });
        assert_eq!(drift.vm.join("\n"), line, "{kind}: {image:?}");
    }
}

#[test]
fn changed_units_and_scripts_are_reported() {
    check_vm(
        |vm| vm.changed = vec!["/var/lib/istio/mesh/proxy".into(), "/a\u{1b}b".into()],
        &expect![[r#"
            proxy: /var/lib/istio/mesh/proxy is not as the bootstrap left it
            proxy: /a\u{1b}b is not as the bootstrap left it"#]],
    );
}

#[test]
fn a_certificate_that_was_not_renewed_in_time_is_reported_before_it_expires() {
    const LONG: &str = "2028-12-01T00:00:00Z";
    for (begin, end, line) in [
        (LONG, "2029-01-01T06:00:01Z", ""),
        (
            LONG,
            "2029-01-01T06:00:00Z",
            "certificate: the workload's certificate ends at 2029-01-01T06:00:00Z and was not renewed",
        ),
        (
            LONG,
            "2029-01-01T00:00:00Z",
            "certificate: the workload's certificate expired at 2029-01-01T00:00:00Z",
        ),
        // The certificate is valid for four hours: the proxy renews it two hours before it expires.
        ("2028-12-31T22:00:01Z", "2029-01-01T02:00:01Z", ""),
        (
            "2028-12-31T22:00:00Z",
            "2029-01-01T02:00:00Z",
            "certificate: the workload's certificate ends at 2029-01-01T02:00:00Z and was not renewed",
        ),
    ] {
        let drift = drift(&workload(), &facts(), |_, vm| {
            vm.certificate = Some((p(begin), p(end)));
        });
        assert_eq!(drift.vm.join("\n"), line);
    }
}

#[test]
fn what_a_bootstrap_does_not_repair_is_not_drift() {
    check_vm(
        |vm| {
            vm.runtime.ready = false;
            vm.runtime.unit.active = "activating".into();
            vm.machine_id = String::new();
            vm.certificate = None;
            vm.jumps.clear();
        },
        &expect![""],
    );
}

#[test]
fn the_marker_identifies_the_owner_of_the_proxy() {
    let owner = |uid: &str, id: &str| mesh::desired::Owner {
        uid: uid.into(),
        id: p(id),
    };
    check_vm(
        |vm| vm.owner = Some(owner("1", "bookinfo/other")),
        &expect!["machine: the proxy belongs to bookinfo/other"],
    );
    check_vm(
        |vm| vm.owner = Some(owner("1", "bookinfo/ratings-vm-1")),
        &expect![
            "machine: the proxy was bootstrapped for an earlier WorkloadEntry bookinfo/ratings-vm-1"
        ],
    );
    let gone = Facts {
        entry_uid: None,
        ..facts()
    };
    let without_entry = drift(&workload(), &gone, |_, vm| {
        vm.owner = Some(owner("1", "bookinfo/ratings-vm-1"));
    });
    assert_eq!(
        without_entry.vm,
        ["the proxy has no WorkloadEntry bookinfo/ratings-vm-1 to report to"]
    );
}

#[test]
fn interception_rules_are_compared_with_the_declaration() {
    check_vm(
        |vm| vm.jumps = vec!["nft/raw/OUTPUT/ISTIO_OUTPUT_DNS".into()],
        &expect!["proxy: no rules intercept traffic, and they should"],
    );
    // Rules for one address family do not count for the other, and rules that exclude sshd intercept nothing.
    check_vm(
        |vm| {
            for jump in &mut vm.jumps {
                *jump = format!("6{jump}");
            }
            vm.jumps.push("nft/nat/OUTPUT/MESH_OUT".into());
        },
        &expect!["proxy: no rules intercept traffic, and they should"],
    );
    check_vm(
        |vm| vm.jumps.retain(|jump| jump.contains("/OUTPUT/")),
        &expect!["proxy: no rules intercept inbound traffic, and they should"],
    );
    check_vm(
        |vm| vm.jumps.retain(|jump| jump.contains("/PREROUTING/")),
        &expect!["proxy: no rules intercept outbound traffic, and they should"],
    );
    check_vm(
        |vm| {
            let lost = ["6/nat/OUTPUT/ISTIO_OUTPUT", "4/nat/PREROUTING/MESH_IN"];
            vm.lost_jumps = lost.map(str::to_owned).to_vec();
        },
        &expect![
            "proxy: rules are gone: IPv6 nat, OUTPUT to ISTIO_OUTPUT, IPv4 nat, PREROUTING to MESH_IN"
        ],
    );
    check_vm(
        |vm| vm.lost_jumps = vec!["4/nat/PREROUTING/DOCKER/ISTIO_INBOUND".into()],
        &expect![
            "proxy: rules are out of order: IPv4 nat, PREROUTING to DOCKER should come before ISTIO_INBOUND"
        ],
    );
    let mut tproxy = workload();
    tproxy.proxy.interception = Interception::Tproxy;
    tproxy.sidecar = None;
    let redirected = drift(&tproxy, &facts(), |_, _| {});
    assert_eq!(
        redirected.vm,
        ["proxy: no rules intercept inbound traffic, and they should"]
    );
    // With tproxy, root runs the proxy and owns the trust root.
    let of_root = drift(&tproxy, &facts(), |_, vm| {
        vm.jumps.push("nft/mangle/PREROUTING/ISTIO_INBOUND".into());
        let root = vm.files.get_mut("/etc/certs/root-cert.pem").unwrap();
        if let Seen::File { owner, mode, .. } = root {
            "root".clone_into(owner);
            *mode = 0o600;
        }
    });
    assert_eq!(of_root, Texts::default());
    let mut none = workload();
    none.proxy.interception = Interception::None;
    let left = drift(&none, &facts(), |_, _| {});
    assert_eq!(
        left.vm,
        ["proxy: traffic is intercepted by rules in nft/nat, and should not be"]
    );
    let many = drift(&none, &facts(), |_, vm| {
        let table = |number| format!("nft/{number}{}/OUTPUT/ISTIO_OUTPUT", "x".repeat(200));
        vm.jumps.extend((0..1000).map(table));
    });
    assert!(many.vm[0].len() < 2000, "{}", many.vm[0]);
    let clean = drift(&none, &facts(), |_, vm| vm.jumps.clear());
    assert_eq!(clean, Texts::default());
    // The proxy creates the rules when it starts, so missing rules count only if it is running.
    for (ready, active) in [(false, "active"), (true, "activating")] {
        check_vm(
            |vm| {
                vm.jumps.clear();
                vm.runtime.ready = ready;
                vm.runtime.unit.active = active.into();
            },
            &expect![""],
        );
    }
}

#[test]
fn a_changed_mesh_fact_is_drift_on_the_vm() {
    let before = render(&workload(), &facts()).unwrap();
    let (objects, vm) = observed(&before);
    let mut now = facts();
    now.cluster_id = "east".into();
    now.control_plane.address = Some(p("10.99.0.3"));
    let after = render(&workload(), &now).unwrap();
    let drift = compare(&after, &objects, Some(&vm), &expectations());
    expect![[r#"
        mesh: /etc/hosts: istiod's line is '10.99.0.2 istiod.istio-system.svc', should be '10.99.0.3 istiod.istio-system.svc'
        mesh: /var/lib/istio/envoy/cluster.env: ISTIO_META_CLUSTER_ID is 'Kubernetes', should be 'east'
        mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_META_CLUSTER_ID is 'Kubernetes', should be 'east'"#]].assert_eq(&texts(&drift.vm).join("\n"));
}

#[test]
fn a_vm_that_was_not_checked_has_no_drift() {
    let desired = render(&workload(), &facts()).unwrap();
    let (objects, _) = observed(&desired);
    assert_eq!(
        compare(&desired, &objects, None, &expectations()),
        Drift::default()
    );
    let unread = drift(&workload(), &facts(), |_, vm| vm.files = BTreeMap::new());
    assert_eq!(unread, Texts::default());
}

/// Only fields that a plan showed may be taken back from another manager.
#[test]
fn a_finding_shows_its_own_field_and_no_other() {
    let desired = render(&workload(), &facts()).unwrap();
    let (mut objects, vm) = observed(&desired);
    let entry = objects.entry.as_mut().unwrap();
    entry["spec"]["labels"]["app"] = json!("other");
    objects
        .services
        .values_mut()
        .for_each(|service| service["spec"]["hosts"] = json!(["a.b"]));
    let lines = compare(&desired, &objects, Some(&vm), &expectations()).objects;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let [entry, service] = [&desired.entry, &desired.others[0]];
    for (object, field, shown) in [
        (entry, ".spec.labels.app", true),
        (entry, ".spec.labels.application", false),
        (entry, ".spec.labels", true),
        (entry, ".spec.weight", false),
        (entry, ".spec.hosts", false),
        (service, ".spec.hosts", true),
        (service, ".spec.hosts[0]", true),
        (service, ".spec.labels.app", false),
    ] {
        assert_eq!(mesh::drift::shows(&lines, object, field), shown, "{field}");
    }
}

/// A connected proxy follows the rotation. With another certificate authority than istiod, its root always differs.
#[test]
fn a_root_that_was_rotated_while_the_proxy_was_disconnected_is_reported() {
    let root = |of: &str| format!("-----BEGIN CERTIFICATE-----\n{of}\n-----END CERTIFICATE-----\n");
    let lines = |on_vm: &str, connected: bool, disconnected: bool| {
        let found = drift(&workload(), &facts(), |objects, vm| {
            let annotations = &mut objects.entry.as_mut().unwrap()["metadata"]["annotations"];
            if connected {
                annotations["istio.io/connectedAt"] = json!("2029-01-01T00:00:00Z");
            }
            if disconnected {
                annotations["istio.io/disconnectedAt"] = json!("2029-01-01T00:00:00Z");
            }
            let file = vm.files.get_mut("/etc/certs/root-cert.pem").unwrap();
            if let Seen::File { content, .. } = file {
                *content = on_vm.as_bytes().to_vec();
            }
        });
        found.vm
    };
    let expected = [
        "certificate: /etc/certs/root-cert.pem: the mesh's root was rotated while the proxy was away",
    ];
    let (old, both) = (root("MIIA"), root("MIIA") + root("MI\nIB").trim_end());
    assert_eq!(lines(&old, false, true), expected);
    assert_eq!(lines(&old, true, true), expected);
    assert_eq!(lines(&old, false, false), expected);
    assert_eq!(lines(&old, true, false), [""; 0]);
    assert_eq!(lines(&both, false, true), [""; 0]);
}

/// It is what the user wrote: an edit of it that is held back for its cause is found under the same cause.
#[test]
fn a_token_command_that_differs_is_of_the_configuration() {
    let mut with = workload();
    with.proxy.token_command = Some("cat /a".into());
    let path = mesh::bundle::TOKEN_COMMAND;
    let edited = drift(&with, &facts(), |_, vm| edit(vm, path, "/a", "/b"));
    assert_eq!(
        edited.vm,
        [format!("configuration: {path}: content differs")]
    );
    let missing = drift(&with, &facts(), |_, vm| {
        vm.files.insert(path.into(), Seen::Missing);
    });
    assert_eq!(missing.vm, [format!("configuration: {path} is missing")]);
}
