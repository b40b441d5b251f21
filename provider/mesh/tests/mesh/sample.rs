//! The workload of the tests and the facts of its mesh.

use std::collections::BTreeMap;

use mesh::facts::{ControlPlane, Facts, Pem};
use mesh::workload::{Interception, Proxy, Runtime, Service, ServicePort, Sidecar, Workload};
use serde_json::json;

/// Parses a valid value.
pub(crate) fn p<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn workload() -> Workload {
    Workload {
        id: p("bookinfo/ratings-vm-1"),
        address: Some(p("203.0.113.7")),
        instance_ip: Some(p("10.99.1.10")),
        labels: BTreeMap::from([(p("app"), p("ratings")), (p("version"), p("v2"))]),
        annotations: BTreeMap::new(),
        service_account: p("bookinfo-ratings"),
        network: None,
        locality: None,
        weight: None,
        ports: BTreeMap::new(),
        fleet: None,
        services: BTreeMap::from([(p("ratings"), service("ratings.vm.bookinfo", 9080))]),
        sidecar: Some(Sidecar {
            egress_hosts: vec![p("./*"), p("istio-system/*")],
            ..Sidecar::default()
        }),
        env: BTreeMap::new(),
        health_check: None,
        proxy: Proxy {
            runtime: Runtime::Systemd,
            image: None,
            pull_policy: None,
            interception: Interception::Redirect,
            install: None,
            version: None,
            exclude_inbound_ports: vec![],
            exclude_cidrs: vec![],
            dns_capture: None,
            config: None,
            token_command: None,
        },
    }
}

pub(crate) fn service(host: &str, number: u16) -> Service {
    Service {
        hosts: vec![p(host)],
        ports: BTreeMap::from([(p("http"), port(number))]),
        ..Service::default()
    }
}

pub(crate) fn port(number: u16) -> ServicePort {
    ServicePort::new(number.try_into().unwrap(), p("HTTP"))
}

pub(crate) fn facts() -> Facts {
    Facts {
        revision: "default".into(),
        cluster_id: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
        mesh_id: "cluster.local".into(),
        mesh_config: json!({ "trustDomain": "cluster.local", "defaultConfig": {} }),
        root: Pem("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".into()),
        control_plane: ControlPlane {
            host: "istiod.istio-system.svc".into(),
            san: None,
            port: 15012,
            address: Some(p("10.99.0.2")),
        },
        ca_address: None,
        version: None,
        releases: mesh::names::ReleaseUrl::default(),
        service_account_exists: Some(true),
        entry_uid: Some("5f0c".into()),
    }
}
