//! Network of the bed: a bridge on the host and a network namespace for each machine.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::command::{PATIENCE, checked, quick};

/// The network 10.99.N.0/24 of a bed. N differs among running beds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet(pub(crate) u8);

/// Number of available networks.
pub(crate) const SUBNETS: u8 = 16;
/// Maximum number of VMs, and of pods, in a bed.
pub(crate) const MOST: u8 = 80;

impl Subnet {
    /// Returns the host's own address, where istiod listens.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.0, 1)
    }

    /// Returns the address of a VM, counted from 1.
    pub(crate) fn vm(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.0, 10 + number)
    }

    /// Returns the address of a pod, counted from 1.
    pub(crate) fn pod(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.0, 100 + number)
    }

    /// Returns the address of the router to another network.
    pub(crate) fn router(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.0, 200)
    }

    /// Returns the address of a gateway machine, counted from 1.
    pub(crate) fn gateway_machine(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.0, 200 + number)
    }

    /// Returns the name of its bridge.
    pub(crate) fn bridge(self) -> String {
        format!("meshbr{}", self.0)
    }

    /// Returns the name of a machine's namespace and of its veth interface on the host.
    pub(crate) fn link(self, machine: &str) -> String {
        format!("mesh{}-{machine}", self.0)
    }

    /// Returns the network in CIDR notation.
    pub(crate) fn cidr(self) -> String {
        format!("10.99.{}.0/24", self.0)
    }

    /// Returns true if an interface of the host has an address in it.
    pub(crate) fn in_use(self) -> Result<bool> {
        let prefix = format!(" 10.99.{}.", self.0);
        Ok(quick("ip", &["-4", "-brief", "address"])?.contains(&prefix))
    }

    /// Creates the bridge.
    pub(crate) fn create(self) -> Result<()> {
        let (bridge, gateway) = (self.bridge(), self.gateway());
        // A fixed hardware address: otherwise the bridge uses that of one of its ports, which change.
        ip(
            &format!(
                "link add {bridge} address 02:99:00:00:{:02x}:01 type bridge\naddress add {gateway}/24 dev {bridge}\nlink set {bridge} up\n",
                self.0
            ),
            None,
        )
    }

    /// Removes the bridge.
    pub(crate) fn remove(self) -> Result<()> {
        if interface_exists(&self.bridge()) {
            quick("ip", &["link", "delete", &self.bridge()])?;
        }
        Ok(())
    }

    /// Creates the namespace of a machine and connects it to the bridge.
    pub(crate) fn connect(self, machine: &str, address: Ipv4Addr) -> Result<()> {
        let link = self.link(machine);
        quick("ip", &["netns", "add", &link])?;
        self.cable(machine, &link, "eth0", address)?;
        // The default route lets connections to service addresses reach the interception rules.
        let inside = format!("link set lo up\nroute add default via {}\n", self.gateway());
        ip(&inside, Some(&link))
    }

    /// Connects an existing namespace to the bridge, with an interface of this name in the namespace.
    pub(crate) fn cable(
        self,
        machine: &str,
        namespace: &str,
        interface: &str,
        address: Ipv4Addr,
    ) -> Result<()> {
        let link = self.link(machine);
        // The hardware address is the same after each start, because neighbours cache it.
        let hardware = format!("02:99:00:00:{:02x}:{:02x}", self.0, address.octets()[3]);
        ip(
            &format!(
                "link add {link} type veth peer name {interface} address {hardware} netns {namespace}\nlink set {link} master {} up\n",
                self.bridge()
            ),
            None,
        )?;
        let inside = format!("address add {address}/24 dev {interface}\nlink set {interface} up\n");
        ip(&inside, Some(namespace))
    }

    /// Removes the namespace of a machine and its veth interface.
    pub(crate) fn disconnect(self, machine: &str) -> Result<()> {
        let link = self.link(machine);
        if interface_exists(&link) {
            quick("ip", &["link", "delete", &link])?;
        }
        if namespace(&link).exists() {
            quick("ip", &["netns", "delete", &link])?;
        }
        Ok(())
    }
}

/// Returns the file of a network namespace.
pub(crate) fn namespace(link: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(link)
}

fn interface_exists(name: &str) -> bool {
    fs::exists(format!("/sys/class/net/{name}")).unwrap_or(false)
}

/// Runs a command in a network namespace.
pub(crate) fn inside(namespace: &str, words: &[&str]) -> Result<String> {
    quick("ip", &[&["netns", "exec", namespace], words].concat())
}

fn ip(batch: &str, namespace: Option<&str>) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-netns", namespace]);
    }
    checked(command.args(["-batch", "-"]), batch.as_bytes(), PATIENCE).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_assigned_twice() {
        let all = (0..2).flat_map(|n| {
            (1..=MOST)
                .flat_map(move |i| [Subnet(n).vm(i), Subnet(n).pod(i)])
                .chain((1..=2).map(move |i| Subnet(n).gateway_machine(i)))
                .chain([Subnet(n).gateway(), Subnet(n).router()])
        });
        let mut all: Vec<_> = all.collect();
        let given = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), given);
    }

    #[test]
    fn interface_names_fit_into_the_kernels_15_bytes() {
        assert!(Subnet(SUBNETS - 1).link(&format!("pod-{MOST}")).len() <= 15);
    }
}
