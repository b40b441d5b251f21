//! The data source `mesh_network_path`: the path of traffic between pods and a VM.

use mesh::names::Id;
use mesh::names::{Name, Namespace};
use mesh::network::NetworkRoute;
use plugin::{DataSource, Diagnostic, Diagnostics, Found, Paths, Text, object};
use tokio::time::Instant;

use crate::context::Context;
use crate::messages::{self, Code, Message};

object! {
    /// The path that traffic takes between the pods of the cluster and a VM: direct, or through the gateways of the
    /// target's network. It is read from the mesh's current state, hop by hop, and lists what is missing.
    ///
    /// Gateways may be in any namespace, so the credential needs the permissions of the ClusterRole in
    /// `examples/rbac.yaml`. What it is not allowed to read is reported in `missing`.
    /// It sees no firewall and no route between the machines: `not_checked` lists what these must let through.
    pub struct NetworkPathInput {
        /// Namespace of the workload.
        Required namespace: Text<Namespace>,
        /// Name of the workload's WorkloadEntry, whoever created it.
        Required name: Text<Name>,
    }
}

object! {
    /// What was found.
    pub struct NetworkPathOutput {
        /// Network of the VM; null if it names none.
        Computed network: String,
        /// Network of the cluster's pods; null if it has no name.
        Computed cluster_network: String,
        /// Path of calls from a pod to the VM.
        Computed to_vm: RouteOutput,
        /// Path of calls from the VM to a pod.
        Computed to_pod: RouteOutput,
    }
}

object! {
    /// The path of one direction.
    pub struct RouteOutput {
        /// Whether the path goes through a gateway.
        Computed through_gateway: bool,
        /// From the client to the target; only the client if Istio drops the target. If there are several gateways,
        /// the first one is listed; istiod spreads connections over all of them.
        Computed hops: Vec<String>,
        /// Problems that would break this path, each with a fix, and anything the credential is not allowed to read.
        /// Empty if none were found.
        Computed missing: Vec<String>,
        /// What this path needs and the cluster's objects do not show, such as firewalls. It is the same for every VM.
        Computed not_checked: Vec<String>,
    }
}

/// What calls from pods to a VM need and no object of the cluster shows.
const UNSEEN_TO_VM: [&str; 2] = [
    "Routes and firewalls on the way to the VM: they must let through the ports of its services, and port 15008 for \
     tunnels (HBONE).",
    "The firewall of the VM itself: it must let through TCP port 15006, to which the VM's rules redirect the ports of its \
     services, and port 15008 for tunnels (HBONE). A bootstrap over SSH warns if the VM's rules drop them.",
];
/// What calls from a VM to pods need and no object of the cluster shows.
const UNSEEN_TO_POD: [&str; 1] = [
    "Routes and firewalls on the way from the VM: they must let through the ports of the pods, or those of the gateway.",
];

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
        let (endpoint, networks) = found.map_err(|error| messages::cluster(&error))?;
        let endpoint = endpoint.ok_or_else(|| absent(&id))?;
        Ok(Found::new(NetworkPathOutput {
            to_vm: route(networks.route_to_vm(&endpoint), &UNSEEN_TO_VM).into(),
            to_pod: route(networks.route_to_pod(&endpoint), &UNSEEN_TO_POD).into(),
            network: endpoint.network.into(),
            cluster_network: networks.cluster.into(),
        }))
    }
}

fn route(route: NetworkRoute, unseen: &[&str]) -> RouteOutput {
    RouteOutput {
        through_gateway: route.through_gateway.into(),
        hops: plain_lines(route.hops).into(),
        missing: plain_lines(route.missing).into(),
        not_checked: unseen
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .into(),
    }
}

/// Names in the cluster may contain anything.
fn plain_lines(lines: Vec<String>) -> Vec<String> {
    let line = |line: String| plain::line(&line, 400);
    lines.into_iter().map(line).collect()
}

fn absent(id: &Id) -> Diagnostic {
    let text = format!(
        "There is no WorkloadEntry {id}. If the same apply creates it, take `name` from that resource, e.g. \
         mesh_vm_workload.NAME.name with depends_on."
    );
    Message::new(Code::NoWorkload).text(text).at("name").error()
}
