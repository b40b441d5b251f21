use expect_test::{Expect, expect};
use mesh::desired::Manifest;
use mesh::render::render;
use mesh::withdrawal::{Operation, Withdrawal};
use mesh::workload::Workload;
use serde_json::json;

use crate::sample::{facts, p, port, service, workload};

fn text(objects: &[Manifest]) -> String {
    let of = |object: &Manifest| {
        let mut body = object.body.clone();
        body.sort_all_objects();
        let body = serde_yaml_ng::to_string(&body).unwrap();
        format!("{} {}\n{body}", object.kind, object.id)
    };
    objects.iter().map(of).collect::<Vec<_>>().concat()
}

fn check(workload: &Workload, expected: &Expect) {
    expected.assert_eq(&text(&render(workload, &facts()).unwrap().objects()));
}

#[test]
fn a_workload_has_an_entry_a_service_entry_and_a_sidecar() {
    check(
        &workload(),
        &expect![[r"
        WorkloadEntry bookinfo/ratings-vm-1
        metadata:
          annotations:
            proxy.istio.io/health-checks-enabled: 'false'
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          address: 203.0.113.7
          labels:
            app: ratings
            mesh.vm/workload: ratings-vm-1
            version: v2
          serviceAccount: bookinfo-ratings
        ServiceEntry bookinfo/ratings-vm-1-ratings
        metadata:
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          hosts:
          - ratings.vm.bookinfo
          location: MESH_INTERNAL
          ports:
          - name: http
            number: 9080
            protocol: HTTP
            targetPort: 9080
          resolution: STATIC
          workloadSelector:
            labels:
              mesh.vm/workload: ratings-vm-1
        Sidecar bookinfo/ratings-vm-1
        metadata:
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          egress:
          - hosts:
            - ./*
            - istio-system/*
          ingress:
          - bind: 10.99.1.10
            defaultEndpoint: 127.0.0.1:9080
            port:
              name: http
              number: 9080
              protocol: HTTP
          workloadSelector:
            labels:
              mesh.vm/workload: ratings-vm-1
    "]],
    );
}

#[test]
fn all_settings_are_in_the_objects() {
    let mut all = workload();
    all.address = Some(p("vm.example.com"));
    all.annotations.insert("a.io/b".into(), "c".into());
    all.network = Some(p("gcp-vms"));
    all.locality = Some(p("eu/a"));
    all.weight = Some(0);
    all.ports.insert(p("grpc"), p("7001"));
    let ratings = all.services.get_mut(&p("ratings")).unwrap();
    ratings.addresses = vec![p("240.240.1.1")];
    let http = ratings.ports.get_mut(&p("http")).unwrap();
    (http.target_port, http.app_port) = (Some(p("9081")), Some(p("9082")));
    ratings.ports.insert(
        p("grpc"),
        mesh::workload::ServicePort {
            protocol: p("grpc"),
            ..port(7000)
        },
    );
    let mut admin = service("admin.vm.bookinfo", 8080);
    admin.ports = [(p("admin"), port(8080))].into();
    all.services.insert(p("admin"), admin);
    all.ports
        .extend([(p("http"), p("9081")), (p("admin"), p("8080"))]);
    all.sidecar = Some(mesh::workload::Sidecar::default());
    check(
        &all,
        &expect![[r"
        WorkloadEntry bookinfo/ratings-vm-1
        metadata:
          annotations:
            a.io/b: c
            proxy.istio.io/health-checks-enabled: 'false'
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          address: vm.example.com
          labels:
            app: ratings
            mesh.vm/workload: ratings-vm-1
            version: v2
          locality: eu/a
          network: gcp-vms
          ports:
            admin: 8080
            grpc: 7001
            http: 9081
          serviceAccount: bookinfo-ratings
          weight: 0
        ServiceEntry bookinfo/ratings-vm-1-admin
        metadata:
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          hosts:
          - admin.vm.bookinfo
          location: MESH_INTERNAL
          ports:
          - name: admin
            number: 8080
            protocol: HTTP
            targetPort: 8080
          resolution: DNS
          workloadSelector:
            labels:
              mesh.vm/workload: ratings-vm-1
        ServiceEntry bookinfo/ratings-vm-1-ratings
        metadata:
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          addresses:
          - 240.240.1.1
          hosts:
          - ratings.vm.bookinfo
          location: MESH_INTERNAL
          ports:
          - name: grpc
            number: 7000
            protocol: GRPC
            targetPort: 7001
          - name: http
            number: 9080
            protocol: HTTP
            targetPort: 9081
          resolution: DNS
          workloadSelector:
            labels:
              mesh.vm/workload: ratings-vm-1
        Sidecar bookinfo/ratings-vm-1
        metadata:
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          ingress:
          - bind: 10.99.1.10
            defaultEndpoint: 127.0.0.1:8080
            port:
              name: admin
              number: 8080
              protocol: HTTP
          - bind: 10.99.1.10
            defaultEndpoint: 127.0.0.1:7001
            port:
              name: grpc
              number: 7001
              protocol: GRPC
          - bind: 10.99.1.10
            defaultEndpoint: 127.0.0.1:9082
            port:
              name: http
              number: 9081
              protocol: HTTP
          workloadSelector:
            labels:
              mesh.vm/workload: ratings-vm-1
    "]],
    );
}

#[test]
fn all_settings_of_services_and_the_sidecar_are_in_the_objects() {
    let mut all = workload();
    let ratings = all.services.get_mut(&p("ratings")).unwrap();
    ratings.object_name = Some(p("stars"));
    ratings.export_to = vec![p("."), p("shop")];
    ratings.subject_alt_names = vec!["spiffe://a/b".into()];
    let http = ratings.ports.get_mut(&p("http")).unwrap();
    http.app_address = Some(p("::1"));
    (http.bind, http.capture) = (Some(p("10.99.1.11")), Some(mesh::workload::Capture::None));
    let mut socket = service("admin", 8080);
    socket.hosts.clear();
    socket.ports.get_mut(&p("http")).unwrap().app_address = Some(p("unix:///run/admin.sock"));
    all.services.insert(p("admin"), socket);
    let listener = |bind, port: Option<&str>| mesh::workload::EgressListener {
        bind: Some(p(bind)),
        port: port.map(p),
        protocol: p("MYSQL"),
        hosts: vec![p("./db.corp")],
        capture: port.map(|_| mesh::workload::Capture::None),
    };
    all.sidecar = Some(mesh::workload::Sidecar {
        name: Some(p("own")),
        egress_hosts: vec![],
        egress_listeners: [
            (p("mysql"), listener("127.0.0.2", Some("3306"))),
            (p("local"), listener("unix:///run/db.sock", None)),
        ]
        .into(),
        outbound_traffic: Some(mesh::workload::OutboundTraffic::RegistryOnly),
    });
    let objects = render(&all, &facts()).unwrap().objects();
    assert_eq!(
        objects
            .iter()
            .map(|of| (of.kind, of.id.clone()))
            .collect::<Vec<_>>(),
        mesh::objects::object_ids(&all)
    );
    expect![[r#"
        ServiceEntry bookinfo/stars
        metadata:
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          exportTo:
          - .
          - shop
          hosts:
          - ratings.vm.bookinfo
          location: MESH_INTERNAL
          ports:
          - name: http
            number: 9080
            protocol: HTTP
            targetPort: 9080
          resolution: STATIC
          subjectAltNames:
          - spiffe://a/b
          workloadSelector:
            labels:
              mesh.vm/workload: ratings-vm-1
        Sidecar bookinfo/own
        metadata:
          labels:
            app.kubernetes.io/managed-by: terraform-provider-mesh
            mesh.vm/workload: ratings-vm-1
        spec:
          egress:
          - bind: unix:///run/db.sock
            hosts:
            - ./db.corp
            port:
              name: local
              protocol: MYSQL
          - bind: 127.0.0.2
            captureMode: NONE
            hosts:
            - ./db.corp
            port:
              name: mysql
              number: 3306
              protocol: MYSQL
          - hosts:
            - '*/*'
          ingress:
          - bind: 10.99.1.10
            defaultEndpoint: unix:///run/admin.sock
            port:
              name: http
              number: 8080
              protocol: HTTP
          - bind: 10.99.1.11
            captureMode: NONE
            defaultEndpoint: '[::1]:9080'
            port:
              name: http
              number: 9080
              protocol: HTTP
          outboundTrafficPolicy:
            mode: REGISTRY_ONLY
          workloadSelector:
            labels:
              mesh.vm/workload: ratings-vm-1
    "#]]
    .assert_eq(&text(&objects[1..]));
}

#[test]
fn listeners_have_no_bind_address_if_the_machine_has_the_entrys_address() {
    let mut direct = workload();
    direct.instance_ip = Some(p("203.0.113.7"));
    assert!(!text(&render(&direct, &facts()).unwrap().objects()).contains("bind"));
}

#[test]
fn a_workload_without_services_has_only_an_entry() {
    let mut alone = workload();
    alone.services.clear();
    alone.sidecar = None;
    let objects = render(&alone, &facts()).unwrap().objects();
    assert_eq!(
        objects
            .iter()
            .map(|object| object.kind.to_string())
            .collect::<Vec<_>>(),
        ["WorkloadEntry"]
    );
}

#[test]
fn a_withdrawn_entry_differs_only_in_the_annotations_that_stop_its_traffic() {
    const CHECKED: &str = "proxy.istio.io/health-checks-enabled";
    let desired = render(&workload(), &facts()).unwrap();
    let mut withdrawn = desired.withdrawn(&mark(Operation::Destroy));
    let annotations = &mut withdrawn[0].body["metadata"]["annotations"];
    assert_eq!(
        *annotations,
        json!({ CHECKED: "true", "mesh.vm/withdrawn": "by=destroy run=3f renewal=0" })
    );
    *annotations = json!({ CHECKED: "false" });
    assert_eq!(withdrawn, desired.objects());
}

#[test]
fn only_a_healthy_entry_has_a_condition_to_clear() {
    use mesh::observed::without_health;
    let entry = |status: &str| {
        json!({ "status": { "conditions": [
            { "type": "Healthy", "status": status, "message": "no route" }, { "type": "Other", "status": "True" },
        ] } })
    };
    let other = json!({ "type": "Other", "status": "True" });
    assert_eq!(without_health(&entry("True")), Some(vec![other]));
    assert_eq!(without_health(&entry("False")), None);
    assert_eq!(without_health(&json!({})), None);
    let seen = mesh::observed::Connection::from_entry(&entry("False"));
    assert_eq!(
        (seen.healthy, seen.unhealthy.as_deref()),
        (Some(false), Some("no route"))
    );
}

fn mark(by: Operation) -> Withdrawal {
    Withdrawal {
        by: Some(by),
        run: "3f".into(),
        renewal: 0,
        leaves: None,
    }
}
