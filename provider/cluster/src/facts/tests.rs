//! Tests of the mesh settings that the cluster knows.

use serde_json::json;

use super::*;

#[test]
fn the_gateway_address_is_the_balancers_then_an_external_one() {
    let balancer = json!({ "ingress": [{ "ip": "192.0.2.1" }] });
    let cases = [
        (
            json!({ "status": { "loadBalancer": balancer }, "spec": { "externalIPs": ["192.0.2.2"] } }),
            Some("192.0.2.1"),
        ),
        (
            json!({ "status": {}, "spec": { "externalIPs": ["192.0.2.2"] } }),
            Some("192.0.2.2"),
        ),
        (
            json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": "lb.example.com" }] } } }),
            None,
        ),
    ];
    for (service, expected) in cases {
        assert_eq!(
            gateway_address(&service),
            expected.map(|ip| ip.parse().unwrap()),
            "{service}"
        );
    }
}

#[test]
fn the_block_names_the_control_plane_then_the_mesh_then_the_gateway() {
    let own = json!({ "defaultConfig": { "discoveryAddress": "istiod.istio-system.svc:15012" } });
    let elsewhere = json!({ "defaultConfig": { "discoveryAddress": "mesh.example.com:443" } });
    let gateway = Some("192.0.2.1");
    let cases = [
        (
            None,
            &own,
            gateway,
            "istiod.istio-system.svc",
            15012,
            gateway,
        ),
        (None, &own, None, "istiod.istio-system.svc", 15012, None),
        (None, &elsewhere, gateway, "mesh.example.com", 443, None),
        (
            Some("lb.example.com"),
            &elsewhere,
            None,
            "lb.example.com",
            15012,
            None,
        ),
        (
            Some("192.0.2.2"),
            &elsewhere,
            None,
            "istiod.istio-system.svc",
            15012,
            Some("192.0.2.2"),
        ),
    ];
    let ip = |text: Option<&str>| text.map(|text| text.parse::<IpAddr>().unwrap());
    for (address, config, gateway, host, port, expected) in cases {
        let istio = IstioSettings {
            control_plane_address: address.map(|address| address.parse().unwrap()),
            control_plane_san: Some("lb.example.com".into()),
            ..IstioSettings::default()
        };
        let plane = control_plane(&istio, config, ip(gateway));
        let san = (host != "lb.example.com").then(|| "lb.example.com".to_owned());
        let wanted = ControlPlane {
            host: host.into(),
            san,
            port,
            address: ip(expected),
        };
        assert_eq!(plane, wanted, "{address:?}");
    }
}

/// Istio's chart names `istiod-remote` in a cluster whose control plane is another's.
#[test]
fn another_service_or_port_of_the_mesh_config_is_kept_and_reached_through_the_gateway() {
    let gateway = Some("192.0.2.1".parse().unwrap());
    for (address, host, port) in [
        (
            "istiod-remote.istio-system.svc:15012",
            "istiod-remote.istio-system.svc",
            15012,
        ),
        ("istiod.elsewhere.svc:15012", "istiod.elsewhere.svc", 15012),
        (
            "istiod.istio-system.svc:15013",
            "istiod.istio-system.svc",
            15013,
        ),
        (
            "istiod.istio-system.svc.cluster.local:15012",
            "istiod.istio-system.svc",
            15012,
        ),
        (
            "istiod.istio-system:15012",
            "istiod.istio-system.svc",
            15012,
        ),
    ] {
        let config = json!({ "defaultConfig": { "discoveryAddress": address } });
        for gateway in [gateway, None] {
            let plane = control_plane(&IstioSettings::default(), &config, gateway);
            let wanted = ControlPlane {
                host: host.into(),
                san: None,
                port,
                address: gateway,
            };
            assert_eq!(plane, wanted, "{address}");
        }
    }
}

#[test]
fn a_name_that_a_terminal_would_obey_is_none() {
    let named = |name: &str| Facts {
        trust_domain: name.into(),
        ..facts()
    };
    assert_eq!(check(&named("cluster.local")), Ok(()));
    for name in ["a\u{1b}[2J", "a\nb", "\u{202e}a", &"a".repeat(400_000)] {
        let reason = check(&named(name)).unwrap_err();
        assert!(plain::is_plain(&reason, 200), "{reason}");
    }
}

fn facts() -> Facts {
    Facts {
        revision: "default".into(),
        cluster_id: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
        mesh_id: String::new(),
        control_plane: control_plane(&IstioSettings::default(), &Value::Null, None),
        ca_address: None,
        version: None,
        releases: IstioSettings::default().releases,
        mesh_config: Value::Null,
        root: Pem(String::new()),
        service_account_exists: None,
        entry_uid: None,
    }
}

#[test]
fn a_cluster_id_that_is_set_beats_the_charts() {
    let global = json!({ "multiCluster": { "clusterName": "chart" } });
    let set = IstioSettings {
        cluster_id: Some("set".into()),
        ..IstioSettings::default()
    };
    assert_eq!(cluster_id(&set, &global), "set");
    assert_eq!(cluster_id(&IstioSettings::default(), &global), "chart");
    assert_eq!(
        cluster_id(&IstioSettings::default(), &Value::Null),
        "Kubernetes"
    );
}

#[test]
fn the_authority_is_the_blocks_then_the_mesh_configs_then_the_charts() {
    let mesh = json!({ "defaultConfig": { "proxyMetadata": { "CA_ADDR": "mesh.example:443" } } });
    let chart = json!({ "caAddress": "chart.example:443" });
    let block = IstioSettings {
        ca_address: "block.example:443".parse().ok(),
        ..IstioSettings::default()
    };
    let none = IstioSettings::default();
    for (istio, mesh, chart, expected) in [
        (&block, &mesh, &chart, Some("block.example:443")),
        (&none, &mesh, &chart, Some("mesh.example:443")),
        (&none, &json!({}), &chart, Some("chart.example:443")),
        (&none, &json!({}), &json!({ "caAddress": "" }), None),
    ] {
        let found = ca_address(istio, mesh, chart);
        assert_eq!(found.as_deref(), expected);
    }
}
