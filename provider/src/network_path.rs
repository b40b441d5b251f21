//! The data source `mesh_network_path`: which way traffic takes between pods and a VM.

use mesh::names::{Name, Namespace};
use mesh::{Id, Way};
use plugin::{DataSource, Diagnostic, Diagnostics, Found, Paths, Text, object};
use tokio::time::Instant;

use crate::context::Context;
use crate::diagnose;

object! {
    /// The way of traffic between the pods of the cluster and a VM: directly, or through the gateways of the target's
    /// network. It is read from the mesh as it is now, hop by hop, with what is missing.
    ///
    /// Gateways may be in any namespace: the credential needs the rights of the ClusterRole in `examples/rbac.yaml`; what it
    /// may not read is told in `missing`.
    pub struct NetworkPathInput {
        /// Namespace of the workload.
        Required namespace: Text<Namespace>,
        /// Name of the workload: of its WorkloadEntry, whoever wrote that.
        Required name: Text<Name>,
    }
}

object! {
    /// What was found.
    pub struct NetworkPathOutput {
        /// Network of the VM; null: it names none.
        Computed network: String,
        /// Network of the cluster's pods; null: it has no name.
        Computed cluster_network: String,
        /// The way of a pod's call to the VM.
        Computed to_vm: WayOutput,
        /// The way of the VM's call to a pod.
        Computed to_pod: WayOutput,
    }
}

object! {
    /// The way of one direction.
    pub struct WayOutput {
        /// Whether it leads through a gateway.
        Computed through_gateway: bool,
        /// From the caller to the target; the caller alone where Istio drops the target. Of several gateways the first
        /// is named; istiod spreads connections over all.
        Computed hops: Vec<String>,
        /// What stands against it, each with the way out, and what the credential may not look at; empty: nothing is
        /// known to.
        Computed missing: Vec<String>,
    }
}

/// The data source `mesh_network_path`.
pub(crate) struct NetworkPath;

impl DataSource for NetworkPath {
    const NAME: &'static str = "mesh_network_path";

    type Input = NetworkPathInput;
    type Output = NetworkPathOutput;
    type Context = Context;

    fn check(_: &NetworkPathInput, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    async fn read(
        context: &Context,
        input: &NetworkPathInput,
        _: Instant,
    ) -> Result<Found<NetworkPathOutput>, Diagnostics> {
        let (Some(namespace), Some(name)) = (input.namespace.known(), input.name.known()) else {
            return Ok(Found::new(NetworkPathOutput::default()));
        };
        let id = Id {
            namespace: namespace.0.clone(),
            name: name.0.clone(),
        };
        let cluster = context.cluster().await?;
        let found = tokio::try_join!(cluster.endpoint(&id), cluster.networks());
        let (endpoint, networks) = found.map_err(|error| diagnose::cluster(&error))?;
        let endpoint = endpoint.ok_or_else(|| absent(&id))?;
        Ok(Found::new(NetworkPathOutput {
            to_vm: way(networks.to_vm(&endpoint)).into(),
            to_pod: way(networks.to_pod(&endpoint)).into(),
            network: endpoint.network.into(),
            cluster_network: networks.cluster.into(),
        }))
    }
}

fn way(way: Way) -> WayOutput {
    WayOutput {
        through_gateway: way.through_gateway.into(),
        hops: plain_lines(way.hops).into(),
        missing: plain_lines(way.missing).into(),
    }
}

/// What is called so in the cluster is anybody's choice.
fn plain_lines(lines: Vec<String>) -> Vec<String> {
    let line = |line: String| mesh::plain::line(&line, 400);
    lines.into_iter().map(line).collect()
}

fn absent(id: &Id) -> Diagnostic {
    let text = format!(
        "There is no WorkloadEntry {id}. If the same apply makes it, let `name` come from that resource, e.g. \
         mesh_vm_workload.NAME.name with depends_on."
    );
    Diagnostic::error("No such workload", diagnose::coded("no-workload", &text)).at("name")
}
