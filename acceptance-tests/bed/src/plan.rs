//! Brings up a bed: builds what is missing and then starts everything, in parallel where possible.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::bed::{Bed, Options, save};
use crate::command::{PATIENCE, wait_for};
use crate::kubectl::Kubectl;
use crate::layers::{APT, Layers};
use crate::machine::{Machine, make_key};
use crate::network::{MOST, Subnet};
use crate::package::Package;
use crate::parallel::in_parallel;
use crate::pod::{self, Pod};
use crate::process::{Lifetime, Server};
use crate::progress::{Progress, Step};
use crate::servers::Servers;
use crate::vm::Vm;
use crate::{Error, Result, host, istiod, place};

const PACKAGE_PORT: u16 = 8000;

impl Bed {
    /// Builds what is missing, starts everything and waits until it is ready. Reports progress on stderr.
    /// Fails if a bed with this name is running.
    pub fn up(options: &Options) -> Result<Self> {
        host::require_root()?;
        host::raise_limits()?;
        if options.vms > MOST || options.pods > MOST {
            return Err(Error::Refused(format!(
                "a bed can have at most {MOST} VMs and {MOST} pods"
            )));
        }
        let (folder, subnet) = place::claim(&options.name)?;
        let started = Plan::make(options, folder.clone(), subnet).and_then(|plan| plan.carry_out());
        started.map_err(|error| {
            let advice = format!("what came up is left for a look, logs are in {}; then run `cargo xtask testbed down --name {}`", folder.display(), options.name);
            Error::Refused(format!("{}\n{advice}", error.chain()))
        })
    }

    /// Brings up another bed with its own control plane. `down` of this bed also stops the other one.
    pub fn up_beside(&self, what: &str, vms: u8, pods: u8) -> Result<Self> {
        let name = format!("{}+{what}", self.name);
        Self::up(&Options { name, vms, pods })
    }
}

/// Parts of a bed and their sources.
pub(crate) struct Plan<'a> {
    options: &'a Options,
    folder: PathBuf,
    subnet: Subnet,
    servers: Servers,
    layers: Layers,
    progress: Progress,
}

impl<'a> Plan<'a> {
    /// Determines what is missing, and lists the steps.
    pub(crate) fn make(options: &'a Options, folder: PathBuf, subnet: Subnet) -> Result<Self> {
        let packages = host::missing_packages();
        if !packages.is_empty() {
            let step = "install packages";
            Progress::new(vec![Step::new(step, 60, APT)])
                .step(step, || host::install(&packages))?;
        }
        let servers = Servers::find()?;
        let layers = Layers::find(&servers)?;
        let mut steps = servers.missing_for_mesh();
        let missing = layers.missing(&servers);
        steps.extend(missing.into_iter().map(|layer| layer.step));
        steps.extend(
            [(CLUSTER, 8), (MACHINES, 3), (PODS, 5)]
                .map(|(name, seconds)| Step::new(name, seconds, LOGS)),
        );
        Ok(Self {
            options,
            folder,
            subnet,
            servers,
            layers,
            progress: Progress::new(steps),
        })
    }

    /// Builds and starts everything.
    pub(crate) fn carry_out(&self) -> Result<Bed> {
        self.servers.build_for_mesh(&self.progress)?;
        for layer in self.layers.missing(&self.servers) {
            self.progress.step(&layer.step.name, layer.make)?;
        }
        self.subnet.create()?;
        make_key(&self.folder.join("id_ed25519"))?;
        let (kubectl, machines) = thread::scope(|scope| {
            let cluster = scope.spawn(|| self.progress.step(CLUSTER, || self.start_cluster()));
            let machines = self.progress.step(MACHINES, || self.start_machines());
            (
                cluster
                    .join()
                    .unwrap_or_else(|_| Err(Error::Refused("a thread of the bed panicked".into()))),
                machines,
            )
        });
        let (kubectl, (vms, pods)) = (kubectl?, machines?);
        self.progress.step(PODS, || {
            in_parallel(pods.iter().collect(), |pod: &Pod| pod.join(&kubectl))
        })?;
        self.serve_package()?;
        let document = self.write_document(&kubectl, &vms, &pods)?;
        Ok(Bed {
            name: self.options.name.clone(),
            folder: self.folder.clone(),
            subnet: self.subnet,
            kubectl,
            vms,
            pods,
            document,
        })
    }

    fn start_cluster(&self) -> Result<Kubectl> {
        let gateway = self.subnet.gateway().to_string();
        let server = ApiServer::start_in(
            &self.folder.join("cluster"),
            &gateway,
            &self.servers,
            Lifetime::Bed,
        )?;
        server.install_definitions(&self.servers)?;
        let kubectl = server.kubectl().clone();
        kubectl.create_namespace(pod::NAMESPACE, &[pod::ACCOUNT, "bookinfo-ratings"])?;
        istiod::start(
            &self.folder.join("istiod"),
            self.subnet,
            &kubectl,
            &self.servers,
            &[],
        )?;
        Ok(kubectl)
    }

    fn start_machines(&self) -> Result<(Vec<Vm>, Vec<Pod>)> {
        let key = self.folder.join("id_ed25519");
        let vms =
            (1..=self.options.vms).map(|number| self.layers.vm(&self.folder, self.subnet, number));
        let pods = (1..=self.options.pods)
            .map(|number| self.layers.pod(&self.folder, self.subnet, number));
        let (vms, pods): (Vec<_>, Vec<_>) = (vms.collect(), pods.collect());
        in_parallel(vms.iter().chain(&pods).collect(), |machine: &Machine| {
            machine.create(&key)?;
            machine.start()?;
            machine.wait_until_up()
        })?;
        let vms = vms
            .into_iter()
            .map(|machine| Vm::new(machine, key.clone()))
            .collect::<Result<_>>()?;
        Ok((vms, pods.into_iter().map(Pod::new).collect()))
    }

    fn serve_package(&self) -> Result<()> {
        let gateway = self.subnet.gateway().to_string();
        let mut server = Command::new("python3");
        server
            .args(["-m", "http.server", "--bind", &gateway, "--directory"])
            .arg(self.layers.package.folder())
            .arg(PACKAGE_PORT.to_string());
        Server::start("packages", &mut server, &self.folder, Lifetime::Bed)?;
        wait_for("the package is served", PATIENCE, || {
            TcpStream::connect((self.subnet.gateway(), PACKAGE_PORT))
                .map(drop)
                .map_err(|error| error.to_string())
        })
    }

    fn write_document(&self, kubectl: &Kubectl, vms: &[Vm], pods: &[Pod]) -> Result<Value> {
        let document = json!({
            "bed": self.options.name,
            "clusters": [{"name": istiod::CLUSTER, "kubeconfig": kubectl.kubeconfig(), "network": self.subnet.cidr(), "control_plane_address": self.subnet.gateway()}],
            "vms": vms.iter().map(describe_vm).collect::<Vec<_>>(),
            "pods": pods.iter().map(|pod| json!({"name": pod.name, "namespace": pod.namespace, "address": pod.address})).collect::<Vec<_>>(),
            "terraform_cli_config": null,
            "provider_binary": null,
            "package_url": format!("http://{}:{PACKAGE_PORT}/{}", self.subnet.gateway(), Package::file_name()),
            "package_sha256": self.layers.package.sha256()?,
        });
        save(&self.folder, &document)?;
        Ok(document)
    }
}

/// What to do if a start fails.
const LOGS: &str = "The logs of the bed have details. Take it down before the next attempt.";

const CLUSTER: &str = "start API server and istiod";
const MACHINES: &str = "boot VMs and pods";
const PODS: &str = "join the pods to the mesh";

fn describe_vm(vm: &Vm) -> Value {
    json!({"name": vm.name, "address": vm.address, "ssh_port": vm.ssh_port, "user": vm.user, "private_key_path": vm.private_key_path, "host_key": vm.host_key})
}
