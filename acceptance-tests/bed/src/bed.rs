//! A running bed, used by the process that brought it up or by another one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::layers::Layers;
use crate::machine::Machine;
use crate::network::{MOST, Subnet};
use crate::place::{self, SERVERS, down};
use crate::pod::Pod;
use crate::process::Recorded;
use crate::servers::Servers;
use crate::vm::Vm;
use crate::{Error, Result, istiod};

/// Options of a bed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the bed. Beds with different names can run at the same time.
    pub name: String,
    /// Number of VMs, named `vm-1` and so on.
    pub vms: u8,
    /// Number of pods, named `pod-1` and so on.
    pub pods: u8,
}

/// A running bed. It keeps running if this value is dropped; [`Bed::down`] stops it.
#[derive(Clone, Debug)]
pub struct Bed {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) subnet: Subnet,
    pub(crate) kubectl: Kubectl,
    /// The VMs, by number.
    pub vms: Vec<Vm>,
    /// The pods, by number.
    pub pods: Vec<Pod>,
    pub(crate) document: Value,
}

impl Bed {
    /// Attaches to a bed that another process brought up.
    pub fn attach(name: &str) -> Result<Self> {
        let folder = place::folder(name);
        let path = folder.join("document.json");
        let text = fs::read_to_string(&path).map_err(|_| {
            Error::Refused(format!(
                "no bed `{name}` is up: run `cargo xtask testbed up`"
            ))
        })?;
        let document: Value = serde_json::from_str(&text)
            .map_err(|error| Error::Refused(format!("{}: {error}", path.display())))?;
        let counts = ["vms", "pods"].map(|part| document[part].as_array().map_or(0, Vec::len));
        let subnet = place::subnet_of(&folder).ok_or_else(|| {
            Error::Refused(format!(
                "{} has no network: run `cargo xtask testbed down`",
                folder.display()
            ))
        })?;
        let servers = Servers::find()?;
        let layers = Layers::find(&servers)?;
        let [vms, pods] = counts.map(|count| u8::try_from(count).unwrap_or(MOST));
        let kubectl = Kubectl::new(servers.path("kubectl"), folder.join("cluster/kubeconfig"));
        Ok(Self {
            name: name.into(),
            vms: (1..=vms)
                .map(|number| {
                    Vm::new(
                        layers.vm(&folder, subnet, number),
                        folder.join("id_ed25519"),
                    )
                })
                .collect::<Result<_>>()?,
            pods: (1..=pods)
                .map(|number| Pod::new(layers.pod(&folder, subnet, number)))
                .collect(),
            folder,
            subnet,
            kubectl,
            document,
        })
    }

    /// Returns the machine-readable description of the bed: clusters, VMs, pods, the location of Istio's package, and the
    /// configuration for Terraform.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Writes a CLI configuration that makes Terraform and `OpenTofu` use a built provider, and adds both to the document.
    pub fn use_provider(&mut self, binary: &Path) -> Result<()> {
        let config = self.folder.join("terraform.rc");
        let folder = json!(binary.parent().unwrap_or(Path::new("/")));
        let text = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"vm-mesh/mesh\" = {folder}\n  }}\n  direct {{}}\n}}\n"
        );
        fs::write(&config, text).map_err(Error::at("write", &config))?;
        self.document["terraform_cli_config"] = json!(config);
        self.document["provider_binary"] = json!(binary);
        save(&self.folder, &self.document)
    }

    /// Returns kubectl with the administrator's kubeconfig.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Restarts istiod with additional arguments.
    ///
    /// # Errors
    /// Fails if istiod does not become ready.
    pub fn restart_istiod(&self, arguments: &[&str]) -> Result<()> {
        let folder = self.folder.join("istiod");
        let servers = Servers::find()?;
        istiod::start(&folder, self.subnet, &self.kubectl, &servers, arguments)
    }

    /// Returns the address at which VMs reach istiod.
    pub fn control_plane_address(&self) -> String {
        self.subnet.gateway().to_string()
    }

    /// Returns the URL and the SHA-256 of Istio's package for the VMs.
    pub fn package(&self) -> (String, String) {
        let text = |key: &str| self.document[key].as_str().unwrap_or_default().to_owned();
        (text("package_url"), text("package_sha256"))
    }

    /// Returns the folder of logs and keys: `cluster/kube-apiserver.log`, `istiod/istiod.log`, `machines/vm-1/machine.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a VM or pod by its name.
    pub fn machine(&self, name: &str) -> Result<&Machine> {
        let vms = self.vms.iter().map(|vm| &vm.machine);
        let mut all = vms.chain(self.pods.iter().map(|pod| &pod.machine));
        all.find(|machine| machine.name == name).ok_or_else(|| {
            Error::Refused(format!(
                "no machine `{name}` in bed `{}`: it has {} VMs and {} pods",
                self.name,
                self.vms.len(),
                self.pods.len()
            ))
        })
    }

    /// Returns the name of each part and whether it is running.
    pub fn status(&self) -> Vec<(String, bool)> {
        let runs = |part: &str| {
            Recorded::load(&self.folder.join(format!("{part}.pid"))).is_some_and(Recorded::alive)
        };
        let machines = self
            .vms
            .iter()
            .map(|vm| &vm.machine)
            .chain(self.pods.iter().map(|pod| &pod.machine));
        let servers = SERVERS.iter().map(|part| ((*part).to_owned(), runs(part)));
        servers
            .chain(machines.map(|machine| (machine.name.clone(), machine.is_on())))
            .collect()
    }

    /// Stops the bed and removes all traces of it.
    pub fn down(self) -> Result<()> {
        down(&self.name).map(drop)
    }
}

/// Writes the document for other processes.
pub(crate) fn save(folder: &Path, document: &Value) -> Result<()> {
    let path = folder.join("document.json");
    fs::write(&path, document.to_string()).map_err(Error::at("write", &path))
}
