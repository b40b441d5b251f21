//! Import: what is in the cluster, as the user would have written it.

use mesh::fleet::Group;
use mesh::health::{HealthCheck, Probe};
use plugin::{Diagnostic, Diagnostics, ImportId, Text, Value};

use super::input::{FleetInput, GroupInput};
use super::output::FleetOutput;
use crate::context::Context;
use crate::diagnose;
use crate::workload::import::{parse, ports, services, sidecar, some, text_map};
use crate::workload::input::{HealthCheckInput, HttpCheckInput, TcpCheckInput};
use crate::workload::leaf::PortNumber;

/// Imports the fleet that an id or an identity names.
pub(super) async fn import(
    context: &Context,
    id: &ImportId,
) -> Result<(FleetInput, FleetOutput), Diagnostics> {
    let id = parse(id)?;
    let cluster = context.cluster().await?;
    let told = |error| diagnose::cluster(&error);
    let names = cluster.selecting(&id).await.map_err(told)?;
    let observed = cluster.observe_fleet(&id, &names).await.map_err(told)?;
    let imported = mesh::import::fleet_from_objects(&id, &observed).ok_or_else(|| missing(&id))?;
    for note in &imported.notes {
        tracing::warn!(%id, "{note}");
    }
    let fleet = imported.fleet;
    let input = FleetInput {
        namespace: Value::Known(Text(fleet.id.namespace)),
        name: Value::Known(Text(fleet.id.name)),
        services: services(fleet.services),
        sidecar: fleet.sidecar.map(sidecar).into(),
        group: fleet.group.map(group).into(),
        ..FleetInput::default()
    };
    Ok((input, FleetOutput::default()))
}

fn missing(id: &mesh::names::Id) -> Diagnostic {
    Diagnostic::error(
        "There is nothing to import",
        diagnose::coded(
            "import-missing",
            &format!(
                "There is no WorkloadGroup and no Sidecar {id}, and no ServiceEntry that is called {}-<service>. Check \
                 namespace and name.",
                id.name
            ),
        ),
    )
}

fn group(group: Group) -> GroupInput {
    let default_account = group.service_account.as_str() == "default";
    GroupInput {
        labels: text_map(group.labels),
        annotations: some(group.annotations),
        service_account: Some(Text(group.service_account))
            .filter(|_| !default_account)
            .into(),
        network: group.network.map(Text).into(),
        locality: group.locality.map(Text).into(),
        weight: group.weight.into(),
        ports: ports(group.ports),
        health_check: group.health_check.map(health_check).into(),
    }
}

fn health_check(check: HealthCheck) -> HealthCheckInput {
    let mut input = HealthCheckInput {
        initial_delay_seconds: check.initial_delay.into(),
        timeout_seconds: check.timeout.into(),
        period_seconds: check.period.into(),
        success_threshold: check.success_threshold.into(),
        failure_threshold: check.failure_threshold.into(),
        ..HealthCheckInput::default()
    };
    match check.methods.into_iter().next() {
        Some(Probe::Http {
            host,
            port,
            path,
            scheme,
            headers,
        }) => {
            input.http = Value::Known(HttpCheckInput {
                host: host.map(Text).into(),
                port: Value::Known(PortNumber(port)),
                path: path.into(),
                scheme: scheme.map(Text).into(),
                headers: some(headers),
            });
        }
        Some(Probe::Tcp { host, port }) => {
            input.tcp = Value::Known(TcpCheckInput {
                host: host.map(Text).into(),
                port: Value::Known(PortNumber(port)),
            });
        }
        Some(Probe::Exec(command)) => input.exec = Value::Known(command),
        // No WorkloadGroup asks so.
        Some(Probe::Grpc { .. }) | None => {}
    }
    input
}
