//! The bed's network: one bridge on the host, a network namespace per machine.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::command::{PATIENCE, checked, quick};

/// A bed's own network 10.99.N.0/24. Two beds at a time have different N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet(pub(crate) u8);

/// How many networks there are to choose from.
pub(crate) const SUBNETS: u8 = 16;
/// How many VMs, and how many pods, a bed has room for.
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

    /// Returns the name of a machine's namespace, which is also that of its cable on the host.
    pub(crate) fn link(self, machine: &str) -> String {
        format!("mesh{}-{machine}", self.0)
    }

    /// Returns its addresses in CIDR form.
    pub(crate) fn cidr(self) -> String {
        format!("10.99.{}.0/24", self.0)
    }

    /// Says whether an interface of the host has an address in it.
    pub(crate) fn in_use(self) -> Result<bool> {
        let prefix = format!(" 10.99.{}.", self.0);
        Ok(quick("ip", &["-4", "-brief", "address"])?.contains(&prefix))
    }

    /// Makes the bridge.
    pub(crate) fn create(self) -> Result<()> {
        let (bridge, gateway) = (self.bridge(), self.gateway());
        // A fixed address: else the bridge takes that of its ports, which come and go.
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

    /// Makes the namespace of a machine and connects it to the bridge.
    pub(crate) fn connect(self, machine: &str, address: Ipv4Addr) -> Result<()> {
        let link = self.link(machine);
        quick("ip", &["netns", "add", &link])?;
        self.cable(machine, &link, "eth0", address)?;
        // With a default route, calls to service addresses get as far as interception.
        let inside = format!("link set lo up\nroute add default via {}\n", self.gateway());
        ip(&inside, Some(&link))
    }

    /// Connects a namespace that exists to the bridge, by an interface with that name there.
    pub(crate) fn cable(
        self,
        machine: &str,
        namespace: &str,
        interface: &str,
        address: Ipv4Addr,
    ) -> Result<()> {
        let link = self.link(machine);
        // The same hardware address after each start: neighbours keep theirs for a while.
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

    /// Removes the namespace of a machine and its cable.
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

/// Returns the file that stands for a network namespace.
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
    fn no_address_is_given_twice() {
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
