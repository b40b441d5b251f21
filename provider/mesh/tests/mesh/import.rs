use expect_test::expect;
use mesh::desired::Kind;
use mesh::import::workload_from_objects;
use mesh::observed::{Connection, ObservedObjects};
use mesh::render::render;
use mesh::workload::{EgressListener, Service, ServicePort, Workload};
use serde_json::json;

use crate::sample::{facts, p, workload};

/// The objects of a workload as the API server returns them.
pub(crate) fn objects(of: &Workload) -> ObservedObjects {
    let mut objects = ObservedObjects::default();
    for object in render(of, &facts()).unwrap().objects() {
        let mut whole = object.body;
        whole["metadata"]["name"] = json!(object.id.name.as_str());
        whole["metadata"]["namespace"] = json!(object.id.namespace.as_str());
        match object.kind {
            Kind::WorkloadEntry => objects.entry = Some(whole),
            Kind::ServiceEntry => drop(objects.services.insert(object.id.name, whole)),
            Kind::WorkloadGroup => objects.group = Some(whole),
            Kind::Lease => objects.lease = Some(whole),
            Kind::Sidecar => drop(objects.sidecars.insert(object.id.name, whole)),
        }
    }
    objects
}

#[test]
fn objects_written_by_the_provider_are_imported_as_declared() {
    let mut all = workload();
    all.annotations.insert("a.io/b".into(), "c".into());
    all.network = Some(p("gcp-vms"));
    all.locality = Some(p("eu/a"));
    all.weight = Some(3);
    all.ports
        .extend([(p("http"), p("9081")), (p("stars"), p("2"))]);
    let http = all
        .services
        .get_mut(&p("ratings"))
        .unwrap()
        .ports
        .get_mut(&p("http"))
        .unwrap();
    (http.target_port, http.app_port) = (Some(p("9081")), Some(p("8080")));
    let service = all.services.get_mut(&p("ratings")).unwrap();
    service.export_to = vec![p(".")];
    service.subject_alt_names = vec!["a".into()];
    let mut socket = ServicePort::new(p("1"), p("TCP"));
    (socket.app_address, socket.capture) = (
        Some(p("unix:///run/a")),
        Some(mesh::workload::Capture::None),
    );
    service.ports.insert(p("socket"), socket);
    let named = Service {
        object_name: Some(p("stars")),
        hosts: vec![p("stars.vm")],
        ports: [(p("stars"), ServicePort::new(p("2"), p("HTTP")))].into(),
        ..Service::default()
    };
    all.services.insert(p("stars"), named);
    let listener = EgressListener {
        bind: Some(p("127.0.0.2")),
        port: Some(p("3306")),
        protocol: p("MYSQL"),
        hosts: vec![p("./db.corp")],
        capture: Some(mesh::workload::Capture::None),
    };
    let sidecar = all.sidecar.as_mut().unwrap();
    sidecar.name = Some(p("own"));
    sidecar.egress_listeners = [(p("mysql"), listener)].into();
    sidecar.outbound_traffic = Some(mesh::workload::OutboundTraffic::AllowAny);
    let mut found = objects(&all);
    found.entry.as_mut().unwrap()["metadata"]["annotations"]["istio.io/connectedAt"] = json!("x");
    let imported = workload_from_objects(&found).unwrap();
    assert_eq!(imported.notes, [""; 0]);
    assert_eq!(imported.workload, all);
}

#[test]
fn an_entry_created_by_hand_is_imported_with_notes_on_what_cannot_be_declared() {
    let found = ObservedObjects {
        entry: Some(json!({
            "metadata": { "namespace": "bookinfo", "name": "ratings", "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "own": "x" } },
            "spec": { "address": "10.0.0.7", "labels": { "app": "ratings", "bad label": "x" }, "locality": "a/b/c/d", "weight": 1 },
        })),
        services: [
            (p("ratings-http"), json!({ "spec": { "workloadSelector": { "labels": { "app": "ratings" } }, "hosts": ["ratings.vm"], "ports": [{ "name": "http", "number": 80, "protocol": "http", "targetPort": 8080 }] } })),
            (p("ratings-any"), json!({ "spec": { "workloadSelector": { "labels": { "app": "ratings" } }, "hosts": ["*"], "ports": [] } })),
            (p("reviews"), json!({ "spec": { "workloadSelector": { "labels": { "app": "ratings" } }, "hosts": ["a"] } })),
            (p("ratings-other"), json!({ "spec": { "workloadSelector": { "labels": { "app": "other" } }, "hosts": ["a"] } })),
        ]
        .into(),
        sidecars: [].into(),
        group: None,
        lease: None,
    };
    let imported = workload_from_objects(&found).unwrap();
    expect![[r#"
        The entry has no service account: default is assumed.
        spec.labels: must be a label key (an optional DNS name and '/', then 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit), got "bad label", so it cannot be declared.
        spec.locality: must be a locality (region, region/zone or region/zone/subzone, each of letters, digits, '-', '_' and '.'), got "a/b/c/d", so it cannot be declared.
        ServiceEntry bookinfo/ratings-any is not imported: hosts: must be a service host (a domain name whose first part may be '*' if others follow), got "*". It is left unchanged.
        ServiceEntry bookinfo/reviews selects this workload but is not imported: its name is not ratings-<service>. It is left unchanged."#]].assert_eq(&imported.notes.join("\n"));
    let carried = imported.workload;
    assert_eq!(
        carried
            .services
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["http"]
    );
    assert_eq!(
        carried.services[&p("http")].ports[&p("http")].target_port,
        Some(p("8080"))
    );
    assert_eq!(
        (
            carried.weight,
            carried.labels.len(),
            carried.annotations.len()
        ),
        (Some(1), 1, 1)
    );
    assert_eq!(carried.service_account, p("default"));
    // The imported workload can be planned.
    assert!(render(&carried, &facts()).is_ok());
}

#[test]
fn listeners_without_a_service_are_noted() {
    let mut found = objects(&workload());
    let sidecar = found.sidecars.values_mut().next().unwrap();
    sidecar["spec"]["ingress"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "port": { "number": 7 }, "defaultEndpoint": "unix:///x" }));
    sidecar["spec"]["egress"] =
        json!([{ "port": { "number": 1, "protocol": "TCP" }, "hosts": ["./*"] }]);
    let imported = workload_from_objects(&found).unwrap();
    expect!["Sidecar bookinfo/ratings-vm-1: the ingress listener on 7 cannot be declared: no service has its port."]
        .assert_eq(&imported.notes.join("\n"));
}

#[test]
fn registered_and_missing_entries_cannot_be_imported() {
    let mut found = objects(&workload());
    found.entry.as_mut().unwrap()["metadata"]["annotations"]["istio.io/autoRegistrationGroup"] =
        json!("g");
    assert_eq!(
        workload_from_objects(&found).unwrap_err()[0].rule.name(),
        "importable"
    );
    assert_eq!(
        workload_from_objects(&ObservedObjects::default()).unwrap_err()[0]
            .rule
            .name(),
        "importable"
    );
}

#[test]
fn the_connection_is_read_from_the_entry() {
    let entry = json!({ "metadata": { "annotations": { "istio.io/connectedAt": "t1", "istio.io/workloadController": "istiod-0" } } });
    let connection = Connection::from_entry(&entry);
    assert_eq!(connection.connected_at.as_deref(), Some("t1"));
    assert_eq!(Connection::from_entry(&json!({})), Connection::default());
}
