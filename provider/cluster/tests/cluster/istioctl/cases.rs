//! Generated cases: what istioctl is given, and the same as a workload of ours.

use std::net::IpAddr;

use mesh::health::{HealthCheck, Probe};
use mesh::names::{Id, Name};
use mesh::workload::Workload;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One case: a mesh config, a `WorkloadGroup` and the flags.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) mesh: Value,
    pub(super) revision: Option<String>,
    pub(super) group: Value,
    pub(super) ip: Flag,
    pub(super) ingress: Option<&'static str>,
    pub(super) cluster: Option<&'static str>,
    pub(super) capture_dns: bool,
}

/// The address that istioctl is given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flag {
    None,
    Internal(&'static str),
    External(&'static str),
}

/// Values that a shell, YAML or JSON could take for something else.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.:/-]{0,12}",
        Just("it's".to_owned()),
        Just("\"$HOME\" `id` \\ ; & |".to_owned()),
        Just("true".to_owned()),
        Just("0123".to_owned()),
        Just("grüße {a: b} #c".to_owned()),
        Just("two\nlines".to_owned()),
    ]
}

fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![
        4 => "[A-Z]{3}_[A-Z]{1,4}",
        1 => Just("ISTIO_META_DNS_CAPTURE".to_owned()),
        1 => Just("ISTIO_META_INTERCEPTION_MODE".to_owned()),
        1 => Just("no.variable".to_owned()),
    ];
    // Never none: istioctl itself panics over an annotation with metadata then.
    prop::collection::vec((name, hostile().prop_map(Value::from)), 1..4)
        .prop_map(|pairs| pairs.into_iter().collect())
}

/// Settings of the proxy, in each spelling that Istio reads.
fn settings() -> impl Strategy<Value = Map<String, Value>> {
    let one = prop_oneof![
        (1..9_u32).prop_map(|n| ("concurrency", json!(n))),
        prop_oneof![Just(15020), Just(15021), Just(15090), Just(15099)]
            .prop_map(|port| ("statusPort", json!(port))),
        Just(("status_port", json!(15098))),
        Just(("drainDuration", json!("45s"))),
        Just(("meshId", json!("mesh-7"))),
        Just((
            "tracing",
            json!({ "sampling": 12.5, "zipkin": { "address": "zipkin:9411" } })
        )),
        Just(("tracing", json!({ "sampling": 50 }))),
        Just(("holdApplicationUntilProxyStarts", json!(true))),
        Just(("binaryPath", Value::Null)),
        Just(("extraStatTags", json!(["a", "b"]))),
    ];
    prop::collection::vec(one, 0..4).prop_map(|pairs| {
        let own = |(key, value): (&str, Value)| (key.to_owned(), value);
        pairs.into_iter().map(own).collect()
    })
}

fn mesh() -> impl Strategy<Value = Value> {
    let parts = (
        settings(),
        metadata(),
        any::<bool>(),
        prop::option::of(Just("corp.example")),
    );
    parts.prop_map(|(mut config, metadata, probe, trust_domain)| {
        config.insert("proxyMetadata".to_owned(), metadata.into());
        // One for pods, which VMs do not take over.
        config.extend(probe.then(|| {
            (
                "readinessProbe".to_owned(),
                json!({ "tcpSocket": { "port": 1 } }),
            )
        }));
        let mut mesh = json!({ "defaultConfig": config });
        mesh.as_object_mut()
            .unwrap()
            .extend(trust_domain.map(|domain| ("trustDomain".to_owned(), json!(domain))));
        mesh
    })
}

/// What the annotation says; the metadata in it is written as `env` here.
fn annotation() -> impl Strategy<Value = Option<String>> {
    let env = prop::collection::btree_map(
        "OWN_[A-Z]",
        prop_oneof!["[a-z ]{0,8}", Just("it's $1".to_owned())],
        0..3,
    );
    prop::option::of((settings(), env)).prop_map(|config| {
        config.map(|(mut config, env)| {
            if !env.is_empty() {
                config.insert("proxyMetadata".to_owned(), json!(env));
            }
            Value::from(config).to_string()
        })
    })
}

fn probe() -> impl Strategy<Value = Value> {
    let method = prop_oneof![
        Just(("httpGet", json!({ "port": 8080 }))),
        Just((
            "httpGet",
            json!({ "port": 8443, "scheme": "HTTPS", "path": "/ready?a=b", "host": "10.0.0.9", "httpHeaders": [{ "name": "Host", "value": "a'b" }, { "name": "X-A", "value": "\"" }] })
        )),
        Just(("tcpSocket", json!({ "port": 3306 }))),
        Just(("exec", json!({ "command": ["/bin/sh", "-c", "exit '0'"] }))),
        Just(("grpc", json!({ "port": 9090, "service": "ratings" }))),
    ];
    (
        method,
        prop::option::of(1..60_u16),
        prop::option::of(1..9_u16),
    )
        .prop_map(|((method, body), period, failures)| {
            let mut probe = json!({ method: body });
            let numbers = [("periodSeconds", period), ("failureThreshold", failures)];
            let set = numbers
                .into_iter()
                .filter_map(|(key, n)| Some((key.to_owned(), json!(n?))));
            probe.as_object_mut().unwrap().extend(set);
            probe
        })
}

fn labels() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        3 => "[a-z]{1,4}",
        1 => Just("app".to_owned()),
        1 => Just("version".to_owned()),
        1 => Just("app.kubernetes.io/name".to_owned()),
        1 => Just("app.kubernetes.io/version".to_owned()),
        1 => Just("service.istio.io/canonical-name".to_owned()),
        1 => Just("service.istio.io/canonical-revision".to_owned()),
    ];
    // Kubernetes refuses a quote in a label; so do we, and istioctl does not look.
    let value = prop_oneof![60 => "[a-z0-9]{1,6}", 1 => Just("it's".to_owned()), 1 => Just("say \"x\"".to_owned())];
    prop::collection::btree_map(key, value, 0..4).prop_map(|labels| json!(labels))
}

fn group() -> impl Strategy<Value = Value> {
    let ports = prop::collection::btree_map("[a-z]{1,4}", 1..=65535_u16, 0..3);
    let network = prop::option::of(prop_oneof![Just(""), Just("vm-net")]);
    (labels(), labels(), annotation(), annotation(), ports, network, prop::option::of(probe())).prop_map(
        |(labels, of_template, of_group, of_metadata, ports, network, probe)| {
            let annotations = |config: Option<String>| config.map_or(json!({}), |config| json!({ "proxy.istio.io/config": config }));
            let mut template = json!({ "serviceAccount": "ratings", "ports": ports, "labels": of_template });
            if let Some(network) = network {
                template["network"] = json!(network);
            }
            let mut group = json!({
                "metadata": { "name": "ratings-vm-1", "namespace": "bar", "annotations": annotations(of_group) },
                "spec": { "metadata": { "labels": labels, "annotations": annotations(of_metadata) }, "template": template },
            });
            if let Some(probe) = probe {
                group["spec"]["probe"] = probe;
            }
            group
        },
    )
}

/// All cases of one mesh: each mesh config must be in the cluster before istioctl is run.
pub(super) fn cases(mesh_number: usize) -> impl Strategy<Value = Vec<Case>> {
    let ip = prop_oneof![
        Just(Flag::None),
        Just(Flag::Internal("10.10.10.10")),
        Just(Flag::Internal("fd00:10:96::1")),
        Just(Flag::External("203.0.113.5")),
    ];
    let ingress = prop::option::of(prop_oneof![Just("10.10.10.11"), Just("fd00:10:96::2")]);
    let one = (
        group(),
        ip,
        ingress,
        prop::option::of(Just("east")),
        any::<bool>(),
    );
    (mesh(), prop::collection::vec(one, 10)).prop_map(move |(mesh, all)| {
        let revision = (mesh_number > 0).then(|| format!("rev-{mesh_number}"));
        let case = |(group, ip, ingress, cluster, capture_dns)| Case {
            mesh: mesh.clone(),
            revision: revision.clone(),
            group,
            ip,
            ingress,
            cluster,
            capture_dns,
        };
        all.into_iter().map(case).collect()
    })
}

/// Returns the same as a workload of ours, or why it cannot be one.
pub(super) fn workload(case: &Case) -> Result<Workload, String> {
    let (metadata, spec) = (&case.group["metadata"], &case.group["spec"]);
    let template = &spec["template"];
    let id: Id = parsed(&format!(
        "{}/{}",
        metadata["namespace"].as_str().unwrap(),
        metadata["name"].as_str().unwrap()
    ))?;
    let account: Name = parsed(template["serviceAccount"].as_str().unwrap())?;
    let mut workload = Workload::bare(id, account);
    for labels in [&spec["metadata"]["labels"], &template["labels"]] {
        for (key, value) in entries(labels) {
            workload
                .labels
                .insert(parsed(key)?, parsed(value.as_str().unwrap())?);
        }
    }
    for (name, port) in entries(&template["ports"]) {
        workload
            .ports
            .insert(parsed(name)?, parsed(&port.to_string())?);
    }
    workload.network = template["network"]
        .as_str()
        .filter(|network| !network.is_empty())
        .map(parsed)
        .transpose()?;
    workload.proxy.dns_capture = case.capture_dns.then_some(true);
    (workload.address, workload.instance_ip) = match case.ip {
        Flag::None => (Some(parsed("10.1.1.1")?), None),
        Flag::Internal(ip) => (Some(parsed(ip)?), None),
        Flag::External(ip) => (Some(parsed(ip)?), Some(parsed::<IpAddr>("10.0.0.5")?)),
    };
    overlay(&mut workload, metadata, spec)?;
    workload.health_check = Some(&spec["probe"])
        .filter(|probe| !probe.is_null())
        .map(health_check)
        .transpose()?;
    Ok(workload)
}

/// Writes what the annotations say as `proxy.config` and `env`.
fn overlay(workload: &mut Workload, metadata: &Value, spec: &Value) -> Result<(), String> {
    let mut own = Map::new();
    for annotations in [&metadata["annotations"], &spec["metadata"]["annotations"]] {
        let Some(text) = annotations["proxy.istio.io/config"].as_str() else {
            continue;
        };
        let config: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        // Two spellings of one field: the later annotation stands, and in one the name in JSON.
        let mut fields: Vec<_> = entries(&config).collect();
        fields.sort_by_key(|(key, _)| !key.contains('_'));
        for (key, value) in fields {
            if key != "proxyMetadata" {
                own.retain(|other, _| {
                    other.replace('_', "").to_lowercase() != key.replace('_', "").to_lowercase()
                        || value.is_null()
                });
                own.insert(key.clone(), value.clone());
            }
        }
        for (key, value) in entries(&config["proxyMetadata"]) {
            workload
                .env
                .insert(parsed(key)?, value.as_str().unwrap().to_owned());
        }
    }
    own.retain(|_, value| !value.is_null());
    workload.proxy.config = (!own.is_empty())
        .then(|| parsed(&Value::from(own).to_string()))
        .transpose()?;
    Ok(())
}

fn health_check(probe: &Value) -> Result<HealthCheck, String> {
    let number = |key: &str| probe[key].as_u64().and_then(|n| u16::try_from(n).ok());
    let port = |of: &Value| parsed(&of["port"].to_string());
    let text = |of: &Value| of.as_str().map(str::to_owned);
    let method = if let Some(http) = probe.get("httpGet") {
        let headers = http["httpHeaders"].as_array().into_iter().flatten();
        Probe::Http {
            host: http["host"].as_str().map(parsed).transpose()?,
            port: port(http)?,
            path: text(&http["path"]),
            scheme: http["scheme"].as_str().map(parsed).transpose()?,
            headers: headers
                .filter_map(|header| Some((text(&header["name"])?, text(&header["value"])?)))
                .collect(),
        }
    } else if let Some(tcp) = probe.get("tcpSocket") {
        Probe::Tcp {
            host: None,
            port: port(tcp)?,
        }
    } else if let Some(exec) = probe.get("exec") {
        Probe::Exec(
            exec["command"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(text)
                .collect(),
        )
    } else {
        Probe::Grpc {
            port: port(&probe["grpc"])?,
            service: text(&probe["grpc"]["service"]),
        }
    };
    Ok(HealthCheck {
        methods: vec![method],
        period: number("periodSeconds"),
        failure_threshold: number("failureThreshold"),
        ..HealthCheck::default()
    })
}

fn entries(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flatten()
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
