//! Import: what is in the cluster, as the user would have written it.

use std::collections::BTreeMap;

use mesh::names::{Id, Name, Port, PortName};
use mesh::workload::{EgressListener, Interception, Service, ServicePort, Sidecar, Workload};
use plugin::{Diagnostic, Diagnostics, ImportId, Paths, Text, Value};

use super::input::{
    EgressListenerInput, ServiceInput, ServicePortInput, SidecarInput, WorkloadInput,
};
use super::leaf::PortNumber;
use super::output::WorkloadOutput;
use crate::context::Context;
use crate::diagnose;

/// Imports the workload that an id or an identity names.
pub(super) async fn import(
    context: &Context,
    id: &ImportId,
) -> Result<(WorkloadInput, WorkloadOutput), Diagnostics> {
    let id = parse(id)?;
    let cluster = context.cluster().await?;
    let told = |error| diagnose::cluster(&error);
    let selecting = cluster.selecting(&id).await.map_err(told)?;
    let observed = cluster.observe(&id, &selecting).await.map_err(told)?;
    if observed.entry.is_none() {
        return Err(missing(&id).into());
    }
    let imported = mesh::import::workload_from_objects(&observed)
        .map_err(|p| diagnose::problems(p, &Paths::default()))?;
    for note in &imported.notes {
        tracing::warn!(%id, "{note}");
    }
    Ok((input(imported.workload), WorkloadOutput::default()))
}

/// Reads `namespace/name`.
pub(crate) fn parse(id: &ImportId) -> Result<Id, Diagnostic> {
    let text = match id {
        ImportId::Text(text) => text.clone(),
        ImportId::Identity(parts) => {
            let part = |name: &str| parts.get(name).map(String::as_str).unwrap_or_default();
            format!("{}/{}", part("namespace"), part("name"))
        }
    };
    text.parse().map_err(|error| {
        Diagnostic::error(
            "The import ID is not valid",
            format!("It must be namespace/name: {error}."),
        )
    })
}

fn missing(id: &Id) -> Diagnostic {
    Diagnostic::error(
        "There is nothing to import",
        diagnose::coded(
            "import-missing",
            &format!("There is no WorkloadEntry {id}. Check namespace and name."),
        ),
    )
}

/// Writes the workload as an input. What is a default stays unset, as most users leave it.
fn input(workload: Workload) -> WorkloadInput {
    let default_account = workload.service_account.as_str() == "default";
    WorkloadInput {
        namespace: Value::Known(Text(workload.id.namespace)),
        name: Value::Known(Text(workload.id.name)),
        address: workload.address.map(Text).into(),
        instance_ip: workload.instance_ip.map(Text).into(),
        labels: text_map(workload.labels),
        annotations: some(workload.annotations),
        service_account: Some(Text(workload.service_account))
            .filter(|_| !default_account)
            .into(),
        network: workload.network.map(Text).into(),
        locality: workload.locality.map(Text).into(),
        weight: workload.weight.into(),
        ports: ports(workload.ports),
        fleet: workload.fleet.map(Text).into(),
        services: services(workload.services),
        sidecar: workload.sidecar.map(sidecar).into(),
        proxy: proxy(workload.proxy.interception),
        ..WorkloadInput::default()
    }
}

/// A `Sidecar` that tells of a proxy without interception is all that the cluster knows of the proxy.
fn proxy(interception: Interception) -> Value<super::input::ProxyInput> {
    match interception {
        Interception::Redirect | Interception::Tproxy => Value::Null,
        Interception::None => Value::Known(super::input::ProxyInput {
            interception: Value::Known(Text(interception)),
            ..super::input::ProxyInput::default()
        }),
    }
}

/// Returns services as they are declared.
pub(crate) fn services(
    services: BTreeMap<Name, Service>,
) -> Value<BTreeMap<Text<Name>, ServiceInput>> {
    let services = services.into_iter();
    some(
        services
            .map(|(name, of)| (Text(name), service(of)))
            .collect(),
    )
}

/// Returns the ports of an entry as they are declared.
pub(crate) fn ports(
    ports: BTreeMap<PortName, Port>,
) -> Value<BTreeMap<Text<PortName>, PortNumber>> {
    let ports = ports.into_iter();
    some(
        ports
            .map(|(name, port)| (Text(name), PortNumber(port)))
            .collect(),
    )
}

fn service(service: Service) -> ServiceInput {
    ServiceInput {
        object_name: service.object_name.map(Text).into(),
        hosts: texts(service.hosts),
        addresses: texts(service.addresses),
        ports: Value::Known(
            service
                .ports
                .into_iter()
                .map(|(name, of)| (Text(name), port(of)))
                .collect(),
        ),
        export_to: texts(service.export_to),
        subject_alt_names: list(service.subject_alt_names),
    }
}

fn port(port: ServicePort) -> ServicePortInput {
    ServicePortInput {
        number: Value::Known(PortNumber(port.number)),
        protocol: Value::Known(Text(port.protocol)),
        target_port: port.target_port.map(PortNumber).into(),
        app_port: port.app_port.map(PortNumber).into(),
        app_address: port.app_address.map(Text).into(),
        bind: port.bind.map(Text).into(),
        capture: port.capture.map(Text).into(),
    }
}

/// Returns a Sidecar as it is declared.
pub(crate) fn sidecar(sidecar: Sidecar) -> SidecarInput {
    let listeners = sidecar.egress_listeners.into_iter();
    SidecarInput {
        name: sidecar.name.map(Text).into(),
        egress_hosts: texts(sidecar.egress_hosts),
        egress_listeners: some(
            listeners
                .map(|(name, of)| (Text(name), egress_listener(of)))
                .collect(),
        ),
        outbound_traffic: sidecar.outbound_traffic.map(Text).into(),
    }
}

fn egress_listener(listener: EgressListener) -> EgressListenerInput {
    EgressListenerInput {
        bind: listener.bind.map(Text).into(),
        port: listener.port.map(PortNumber).into(),
        protocol: Value::Known(Text(listener.protocol)),
        hosts: Value::Known(listener.hosts.into_iter().map(Text).collect()),
        capture: listener.capture.map(Text).into(),
    }
}

/// Returns a map of texts; null if it is empty.
pub(crate) fn text_map<K: Ord, V>(map: BTreeMap<K, V>) -> Value<BTreeMap<Text<K>, Text<V>>> {
    let texts = map.into_iter();
    some(texts.map(|(key, text)| (Text(key), Text(text))).collect())
}

/// Returns a map; null if it is empty.
pub(crate) fn some<K: Ord, V>(map: BTreeMap<K, V>) -> Value<BTreeMap<K, V>> {
    if map.is_empty() {
        Value::Null
    } else {
        Value::Known(map)
    }
}

fn texts<T>(items: Vec<T>) -> Value<Vec<Text<T>>> {
    list(items.into_iter().map(Text).collect())
}

fn list<T>(items: Vec<T>) -> Value<Vec<T>> {
    if items.is_empty() {
        Value::Null
    } else {
        Value::Known(items)
    }
}
