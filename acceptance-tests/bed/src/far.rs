//! A second network beside a bed's: a VM, a gateway for each of the two networks, and a configurable router.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::Result;
use crate::bed::Bed;
use crate::gateway::{FAR, Gateway, NEAR, Site};
use crate::layers::Layers;
use crate::machine::Machine;
use crate::network::{Subnet, inside};
use crate::parallel::in_parallel;
use crate::place;
use crate::servers::Servers;
use crate::vm::Vm;

const ROUTER: &str = "router";

/// A second network. `down` of its bed removes it.
#[derive(Clone, Debug)]
pub struct Far {
    subnet: Subnet,
    /// Its VM.
    pub vm: Vm,
    /// The gateway into the bed's own network. It also forwards to istiod.
    pub near_gateway: Gateway,
    /// The gateway into the second network.
    pub far_gateway: Gateway,
}

/// Initiator of connections through the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A pod of the bed's own network.
    Pods,
    /// The VM of the second network.
    Vms,
}

impl Far {
    /// Creates the second network of a bed and configures both networks in the mesh. No gateway is announced yet, and the
    /// router forwards nothing.
    pub fn up(bed: &Bed) -> Result<Self> {
        let (folder, subnet) = place::claim(&format!("{}+{FAR}", bed.name))?;
        let layers = Layers::find(&Servers::find()?)?;
        let key = bed.folder.join("id_ed25519");
        subnet.create()?;
        route(bed, subnet, &folder.join("machines").join(ROUTER))?;
        let vm = layers.vm(&folder, subnet, 1);
        let machine = |number: u8, name: &str| Machine {
            name: name.into(),
            folder: folder.join("machines").join(name),
            address: subnet.gateway_machine(number),
            ..layers.pod(&folder, subnet, number)
        };
        let gateways = [machine(1, "gw-near"), machine(2, "gw-far")];
        in_parallel(
            gateways.iter().chain([&vm]).collect(),
            |machine: &Machine| {
                machine.create(&key)?;
                machine.start()?;
                machine.wait_until_up()
            },
        )?;
        bed.kubectl.call(
            &[
                "label",
                "--overwrite",
                "namespace",
                "istio-system",
                &format!("topology.istio.io/network={NEAR}"),
            ],
            b"",
        )?;
        let [near, far] = gateways;
        let leg = |number| bed.subnet.gateway_machine(number);
        let near_gateway = Gateway::new(near, Site::Near, leg(1));
        let far_gateway = Gateway::new(far, Site::Far, leg(2));
        in_parallel(vec![&near_gateway, &far_gateway], |gateway: &Gateway| {
            gateway.join(bed)
        })?;
        let far = Self {
            subnet,
            vm: Vm::new(vm, key)?,
            near_gateway,
            far_gateway,
        };
        far.vm.shell(&format!(
            "ip route replace {} via {}",
            bed.subnet.cidr(),
            subnet.router()
        ))?;
        for pod in &bed.pods {
            pod.shell(&format!(
                "ip route replace {} via {}",
                subnet.cidr(),
                bed.subnet.router()
            ))?;
            pod.set_network(NEAR)?;
        }
        Ok(far)
    }

    /// Sets the initiators whose connections the router forwards.
    pub fn carry(&self, callers: &[Caller]) -> Result<()> {
        let namespace = self.subnet.link(ROUTER);
        let accepted = callers.iter().map(|caller| {
            let (from, to) = match caller {
                Caller::Pods => ("eth1", "eth0"),
                Caller::Vms => ("eth0", "eth1"),
            };
            format!("iptables -A FORWARD -i {from} -o {to} -j ACCEPT\n")
        });
        let script = format!(
            "set -e\niptables -P FORWARD DROP\niptables -F FORWARD\n\
             iptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n{}",
            accepted.collect::<String>()
        );
        inside(&namespace, &["sh", "-c", &script]).map(drop)
    }
}

/// Creates the router: a namespace with an interface in both networks. `down` finds it by its folder.
fn route(bed: &Bed, subnet: Subnet, folder: &PathBuf) -> Result<()> {
    fs::create_dir_all(folder).map_err(crate::Error::at("create", folder))?;
    subnet.disconnect(ROUTER)?;
    subnet.connect(ROUTER, subnet.router())?;
    let namespace = subnet.link(ROUTER);
    let leg: Ipv4Addr = bed.subnet.router();
    bed.subnet.cable(ROUTER, &namespace, "eth1", leg)?;
    inside(&namespace, &["sysctl", "-qw", "net.ipv4.ip_forward=1"]).map(drop)
}
