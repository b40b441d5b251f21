use expect_test::{Expect, expect};
use mesh::network::{Announced, Endpoint, NetworkRoute, Networks};
use serde_json::{Value, json};

/// A Service that announces a gateway.
fn service(name: &str, network: &str, address: &str) -> Value {
    json!({
        "metadata": { "namespace": "istio-system", "name": name, "labels": { "topology.istio.io/network": network } },
        "spec": { "selector": { "app": name, "istio": "eastwestgateway" } },
        "status": { "loadBalancer": { "ingress": [{ "ip": address }] } },
    })
}

fn passing(name: &str, hosts: &[&str]) -> Value {
    json!({ "spec": { "selector": { "app": name }, "servers": [
        { "port": { "number": 15443 }, "tls": { "mode": "AUTO_PASSTHROUGH" }, "hosts": hosts },
        { "port": { "number": 15012 }, "tls": { "mode": "PASSTHROUGH" }, "hosts": ["istiod"] },
    ] } })
}

/// Name, network and address of a gateway's Service.
type GatewayService = (&'static str, &'static str, &'static str);
const INTO_PODS: GatewayService = ("east", "k8s", "203.0.113.1");
const INTO_VMS: GatewayService = ("vm", "vms", "203.0.113.2");

/// A cluster on the network `k8s` with these gateways.
fn mesh(gateways: &[GatewayService]) -> Announced {
    let mut announced = Announced {
        namespace: json!({ "metadata": { "labels": { "topology.istio.io/network": "k8s" } } }),
        gateways: Some(vec![passing("east", &["*.local"]), passing("vm", &["*"])]),
        ..Announced::default()
    };
    let services = gateways.iter();
    let services = services.map(|(name, network, address)| service(name, network, address));
    announced.services = services.collect();
    announced
}

fn entry() -> Value {
    json!({ "spec": { "address": "10.1.0.5", "network": "vms", "serviceAccount": "ratings", "labels": { "app": "ratings" } } })
}

fn vm(entry: &Value) -> Endpoint {
    let entry_of = |labels: Value, host: &str| json!({ "spec": { "hosts": [host], "workloadSelector": { "labels": labels } } });
    let services = [
        entry_of(json!({ "app": "ratings" }), "ratings.corp"),
        entry_of(json!({ "app": "other" }), "other.corp"),
        entry_of(json!({}), "nobody.corp"),
    ];
    Endpoint::from_objects(entry, &services)
}

fn display(route: &NetworkRoute) -> String {
    let lines = route.missing.iter().map(|line| format!("\n  {line}"));
    format!("{}{}\n", route.hops.join(" > "), lines.collect::<String>())
}

fn check(announced: &Announced, entry: &Value, expected: &Expect) {
    let (networks, vm) = (Networks::from_objects(announced), vm(entry));
    let routes = display(&networks.route_to_vm(&vm)) + &display(&networks.route_to_pod(&vm));
    expected.assert_eq(&routes);
}

#[test]
fn the_gateways_of_the_targets_network_determine_the_route() {
    for gateways in [
        &[] as &[_],
        &[INTO_VMS],
        &[INTO_PODS],
        &[INTO_PODS, INTO_VMS],
    ] {
        let networks = Networks::from_objects(&mesh(gateways));
        let vm = vm(&entry());
        let [into_pods, into_vms] = [INTO_PODS, INTO_VMS].map(|of| gateways.contains(&of));
        assert_eq!(networks.route_to_vm(&vm).through_gateway, into_vms);
        assert_eq!(networks.route_to_pod(&vm).through_gateway, into_pods);
    }
    check(
        &mesh(&[]),
        &entry(),
        &expect![[r#"
            a pod > VM 10.1.0.5
              The network vms has no gateway, so callers on k8s connect to VM 10.1.0.5 directly: there must be a route. To use a gateway, label its Service topology.istio.io/network=vms.
            VM 10.1.0.5 > a pod
              The network k8s has no gateway, so callers on vms connect to a pod directly: there must be a route. To use a gateway, label its Service topology.istio.io/network=k8s.
        "#]],
    );
    check(
        &mesh(&[INTO_PODS, INTO_VMS]),
        &entry(),
        &expect![[r#"
            a pod > gateway 203.0.113.2:15443 (Service istio-system/vm) > VM 10.1.0.5
            VM 10.1.0.5 > gateway 203.0.113.1:15443 (Service istio-system/east) > a pod
        "#]],
    );
}

#[test]
fn targets_on_the_same_or_an_unnamed_network_are_reached_directly() {
    for network in [json!("k8s"), Value::Null, json!("")] {
        let mut entry = entry();
        entry["spec"]["network"] = network;
        let networks = Networks::from_objects(&mesh(&[INTO_PODS, INTO_VMS]));
        let route = networks.route_to_vm(&vm(&entry));
        assert_eq!((route.through_gateway, route.missing), (false, vec![]));
    }
}

#[test]
fn the_route_of_a_caller_on_an_unnamed_network_depends_on_the_version() {
    let mut entry = entry();
    entry["spec"]["network"] = Value::Null;
    check(
        &mesh(&[INTO_PODS, INTO_VMS]),
        &entry,
        &expect![[r#"
            a pod > VM 10.1.0.5
            VM 10.1.0.5 > gateway 203.0.113.1:15443 (Service istio-system/east) > a pod
              The network of VM 10.1.0.5 has no name. With istiod before 1.30 it connects directly, with later versions through the gateway. Set `network` of the workload, or the label topology.istio.io/network on the control plane's namespace.
        "#]],
    );
}

#[test]
fn problems_at_a_gateway_are_reported_with_a_fix() {
    let mut plain = entry();
    plain["spec"]["serviceAccount"] = Value::Null;
    let mut announced = mesh(&[INTO_PODS, INTO_VMS]);
    announced.gateways = Some(vec![
        passing("vm", &["*.local", "bookinfo/reviews.corp"]),
        passing("east", &["ratings.corp"]),
    ]);
    check(
        &announced,
        &plain,
        &expect![[r#"
            a pod
              Gateways forward only mutual TLS, and istiod treats the target as plain text, so it is dropped (503, no healthy upstream). Give the workload a service account, and do not set the label security.istio.io/tlsMode.
              ratings.corp does not pass through the gateway: Service istio-system/vm exposes *.local, bookinfo/reviews.corp. Add the host to a Gateway's server on port 15443 with tls.mode AUTO_PASSTHROUGH.
            VM 10.1.0.5 > gateway 203.0.113.1:15443 (Service istio-system/east) > a pod
              *.svc.cluster.local does not pass through the gateway: Service istio-system/east exposes ratings.corp. Add the host to a Gateway's server on port 15443 with tls.mode AUTO_PASSTHROUGH.
        "#]],
    );
    announced.gateways = Some(vec![]);
    let mut labelled = entry();
    labelled["spec"]["labels"]["security.istio.io/tlsMode"] = json!("disabled");
    check(
        &announced,
        &labelled,
        &expect![[r#"
            a pod
              Gateways forward only mutual TLS, and istiod treats the target as plain text, so it is dropped (503, no healthy upstream). Give the workload a service account, and do not set the label security.istio.io/tlsMode.
              ratings.corp does not pass through the gateway: Service istio-system/vm exposes nothing. Add the host to a Gateway's server on port 15443 with tls.mode AUTO_PASSTHROUGH.
            VM 10.1.0.5 > gateway 203.0.113.1:15443 (Service istio-system/east) > a pod
              *.svc.cluster.local does not pass through the gateway: Service istio-system/east exposes nothing. Add the host to a Gateway's server on port 15443 with tls.mode AUTO_PASSTHROUGH.
        "#]],
    );
    announced.services[1]["status"] = Value::Null;
    check(
        &announced,
        &labelled,
        &expect![[r#"
            a pod > VM 10.1.0.5
              The network vms has no gateway, so callers on k8s connect to VM 10.1.0.5 directly: there must be a route. To use a gateway, label its Service topology.istio.io/network=vms.
              Service istio-system/vm has no address yet, so it is not used as a gateway.
            VM 10.1.0.5 > gateway 203.0.113.1:15443 (Service istio-system/east) > a pod
              *.svc.cluster.local does not pass through the gateway: Service istio-system/east exposes nothing. Add the host to a Gateway's server on port 15443 with tls.mode AUTO_PASSTHROUGH.
        "#]],
    );
}

#[test]
fn networks_are_read_from_all_kinds_of_announcements() {
    let announced = Announced {
        cluster_id: "Kubernetes".into(),
        mesh_networks: json!({ "networks": {
            "k8s": { "endpoints": [{ "fromRegistry": "Kubernetes" }], "gateways": [{ "address": "203.0.113.3", "port": 443 }] },
            "vms": { "endpoints": [{ "fromCidr": "10.1.0.0/16" }], "gateways": [{ "registryServiceName": "vm.istio-system.svc.cluster.local" }] },
        } }),
        gateway_api: vec![json!({
            "metadata": { "namespace": "istio-system", "name": "remote", "labels": { "topology.istio.io/network": "vms" } },
            "spec": { "gatewayClassName": "istio-remote", "listeners": [{ "port": 15012 }, { "port": 15443, "tls": { "mode": "Passthrough" } }],
                "addresses": [{ "value": "gw.example.com" }] },
        })],
        ..Announced::default()
    };
    check(
        &announced,
        &entry(),
        &expect![[r#"
            a pod > gateway gw.example.com:15443 (Gateway istio-system/remote) > VM 10.1.0.5
            VM 10.1.0.5 > gateway 203.0.113.3:443 (meshNetworks) > a pod
        "#]],
    );
    let mut plain = announced.clone();
    plain.gateway_api[0]["spec"]["listeners"] = json!([{ "port": 80 }, { "port": 15443 }]);
    plain.services = vec![json!({
        "metadata": { "namespace": "istio-system", "name": "vm" }, "spec": { "externalIPs": ["203.0.113.6"] },
    })];
    check(
        &plain,
        &entry(),
        &expect![[r#"
        a pod > gateway 203.0.113.6:15443 (meshNetworks) > VM 10.1.0.5
        VM 10.1.0.5 > gateway 203.0.113.3:443 (meshNetworks) > a pod
    "#]],
    );
    let mut service = service("odd", "vms", "203.0.113.4");
    service["metadata"]["labels"]["networking.istio.io/gatewayPort"] = json!("443");
    service["status"]["loadBalancer"]["ingress"] = json!([{ "hostname": "lb.example.com" }]);
    service["spec"] = json!({ "externalIPs": ["203.0.113.5"] });
    let announced = Announced {
        services: vec![service],
        ..Announced::default()
    };
    let networks = Networks::from_objects(&announced);
    let found: Vec<_> = networks
        .gateways
        .iter()
        .map(|of| format!("{:?}:{}", of.address, of.port))
        .collect();
    expect![[r#"Some("lb.example.com"):443 Some("203.0.113.5"):443"#]].assert_eq(&found.join(" "));
}

#[test]
fn unreadable_objects_are_reported_for_both_directions() {
    let mut announced = mesh(&[INTO_PODS]);
    announced.unseen = vec!["nobody may list Services".into()];
    announced.gateways = None;
    let (networks, vm) = (Networks::from_objects(&announced), vm(&entry()));
    // Nothing else is reported, e.g. a missing gateway, because it may only be unreadable.
    for route in [networks.route_to_vm(&vm), networks.route_to_pod(&vm)] {
        assert_eq!(route.missing, announced.unseen);
    }
}

#[test]
fn a_target_that_istio_drops_is_not_reached_through_a_gateway() {
    let mut plain = entry();
    plain["spec"]["serviceAccount"] = Value::Null;
    let route = Networks::from_objects(&mesh(&[INTO_PODS, INTO_VMS])).route_to_vm(&vm(&plain));
    assert_eq!(
        (route.through_gateway, route.hops),
        (false, vec!["a pod".into()])
    );
    let direct = Networks::from_objects(&mesh(&[INTO_PODS])).route_to_vm(&vm(&plain));
    assert_eq!(direct.hops, ["a pod", "VM 10.1.0.5"]);
}
