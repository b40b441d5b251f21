//! The whole bed: what is brought up, found again by another process, and taken down.
//!
//! **Invariant**: everything that a bed has is in its folder or named after its network, so that `down` finds
//! it without any record of how far `up` came.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::command::wait_for;
use crate::kubectl::Kubectl;
use crate::machine::{Machine, make_key};
use crate::network::{MOST, SUBNETS, Subnet};
use crate::package::Package;
use crate::pod::{self, Pod};
use crate::process::{Lifetime, Recorded, Server};
use crate::progress::Progress;
use crate::servers::Servers;
use crate::vm::Vm;
use crate::{Error, Result, cache, host, image, istiod, overlay};

/// Where beds are: only root can write here, and it is on a disk.
const FOLDER: &str = "/var/lib/terraform-provider-mesh";
const PACKAGE_PORT: u16 = 8000;

/// What a bed shall have.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the bed. Beds of different names run beside each other.
    pub name: String,
    /// How many VMs, named `vm-1` and so on.
    pub vms: u8,
    /// How many pods, named `pod-1` and so on.
    pub pods: u8,
    /// The provider's binary, which Terraform is told to use. It need not exist yet.
    pub provider_binary: PathBuf,
}

/// A running bed. Dropping this value leaves it running; [`Bed::down`] ends it.
#[derive(Clone, Debug)]
pub struct Bed {
    name: String,
    folder: PathBuf,
    subnet: Subnet,
    kubectl: Kubectl,
    /// The VMs, by number.
    pub vms: Vec<Vm>,
    /// The pods, by number.
    pub pods: Vec<Pod>,
    document: Value,
}

impl Bed {
    /// Builds what is missing, starts everything and waits until it is ready. Tells of it on stderr.
    /// Refuses when a bed of this name runs.
    pub fn up(options: &Options) -> Result<Self> {
        host::require_root()?;
        if options.vms > MOST || options.pods > MOST {
            return Err(Error::Refused(format!(
                "a bed has room for {MOST} VMs and {MOST} pods"
            )));
        }
        let (folder, subnet) = claim(&options.name)?;
        let started = Plan::make(options, folder.clone(), subnet).and_then(|plan| plan.carry_out());
        started.map_err(|error| {
            let advice = format!("what came up is left for a look, logs are in {}; then run `cargo xtask testbed down`", folder.display());
            Error::Refused(format!("{}\n{advice}", error.chain()))
        })
    }

    /// Finds the bed of a name that another process brought up.
    pub fn attach(name: &str) -> Result<Self> {
        let folder = Path::new(FOLDER).join(name);
        let path = folder.join("document.json");
        let text = fs::read_to_string(&path).map_err(|_| {
            Error::Refused(format!(
                "no bed `{name}` is up: run `cargo xtask testbed up`"
            ))
        })?;
        let document: Value = serde_json::from_str(&text)
            .map_err(|error| Error::Refused(format!("{}: {error}", path.display())))?;
        let counts = ["vms", "pods"].map(|part| document[part].as_array().map_or(0, Vec::len));
        let subnet = subnet_of(&folder).ok_or_else(|| {
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

    /// Returns the description of the bed for programs: clusters, VMs, pods, where the provider's package is, and
    /// the configuration for Terraform.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Returns kubectl with the administrator's kubeconfig.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Returns the address where VMs reach istiod.
    pub fn control_plane_address(&self) -> String {
        self.subnet.gateway().to_string()
    }

    /// Returns the address and the SHA-256 of Istio's package, as VMs fetch it.
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

    /// Says of each part whether it runs.
    pub fn status(&self) -> Vec<(String, bool)> {
        let servers = [
            "cluster/etcd",
            "cluster/kube-apiserver",
            "istiod/istiod",
            "packages",
        ];
        let runs = |part: &str| {
            Recorded::load(&self.folder.join(format!("{part}.pid"))).is_some_and(Recorded::alive)
        };
        let machines = self
            .vms
            .iter()
            .map(|vm| &vm.machine)
            .chain(self.pods.iter().map(|pod| &pod.machine));
        let servers = servers.iter().map(|part| ((*part).to_owned(), runs(part)));
        servers
            .chain(machines.map(|machine| (machine.name.clone(), machine.is_on())))
            .collect()
    }

    /// Ends the bed and removes every trace of it.
    pub fn down(self) -> Result<()> {
        down(&self.name).map(drop)
    }
}

/// Ends the bed of a name, however far it came up, and removes every trace of it. Says whether there was one.
pub fn down(name: &str) -> Result<bool> {
    host::require_root()?;
    let folder = Path::new(FOLDER).join(name);
    if !folder.exists() {
        return Ok(false);
    }
    let machines = folder.join("machines");
    if let Some(subnet) = subnet_of(&folder) {
        let names: Vec<String> = fs::read_dir(&machines)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        in_parallel(names, |name| {
            let machine = Machine {
                folder: machines.join(&name),
                address: subnet.gateway(),
                subnet,
                layers: Vec::new(),
                name,
            };
            machine.kill().and_then(|()| machine.forget())
        })?;
        subnet.remove()?;
    }
    for part in [
        "packages",
        "istiod/istiod",
        "cluster/kube-apiserver",
        "cluster/etcd",
    ] {
        Recorded::load(&folder.join(format!("{part}.pid"))).map_or(Ok(()), Recorded::kill)?;
    }
    overlay::unmount_below(&folder)?;
    cache::remove(&folder)?;
    // Goes only when no other bed is left in it.
    let _ = fs::remove_file(Path::new(FOLDER).join(".lock"));
    let _ = fs::remove_dir(FOLDER);
    Ok(true)
}

/// What is to be made, and from what.
struct Plan<'a> {
    options: &'a Options,
    folder: PathBuf,
    subnet: Subnet,
    servers: Servers,
    layers: Layers,
    progress: Progress,
}

impl<'a> Plan<'a> {
    /// Makes what the plan needs to know what is missing, and lists the steps.
    fn make(options: &'a Options, folder: PathBuf, subnet: Subnet) -> Result<Self> {
        let packages = host::missing_packages();
        if !packages.is_empty() {
            let step = "install packages";
            Progress::new(vec![(step.into(), 60)]).step(step, || host::install(&packages))?;
        }
        let servers = Servers::find()?;
        let layers = Layers::find(&servers)?;
        let mut steps = servers.missing_for_mesh();
        steps.extend((!layers.image.exists()).then(|| (IMAGE.into(), 100)));
        steps.extend((!layers.package.exists()).then(|| (PACKAGE.into(), 20)));
        steps.extend([(CLUSTER.into(), 8), (MACHINES.into(), 3), (PODS.into(), 5)]);
        Ok(Self {
            options,
            folder,
            subnet,
            servers,
            layers,
            progress: Progress::new(steps),
        })
    }

    fn carry_out(&self) -> Result<Bed> {
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
        let kubectl = server.kubectl().clone();
        kubectl.create_namespace(pod::NAMESPACE, &[pod::ACCOUNT, "bookinfo-ratings"])?;
        istiod::start(
            &self.folder.join("istiod"),
            self.subnet,
            &kubectl,
            &self.servers,
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
        wait_for(
            "the package is served",
            std::time::Duration::from_secs(20),
            || {
                std::net::TcpStream::connect((self.subnet.gateway(), PACKAGE_PORT))
                    .map(drop)
                    .map_err(|error| error.to_string())
            },
        )
    }

    fn write_document(&self, kubectl: &Kubectl, vms: &[Vm], pods: &[Pod]) -> Result<Value> {
        let binary = &self.options.provider_binary;
        let config = self.folder.join("terraform.rc");
        let overrides = binary
            .parent()
            .unwrap_or(Path::new("/"))
            .display()
            .to_string();
        let text = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"vm-mesh/mesh\" = {}\n  }}\n  direct {{}}\n}}\n",
            json!(overrides)
        );
        fs::write(&config, text).map_err(Error::at("write", &config))?;
        let document = json!({
            "bed": self.options.name,
            "clusters": [{"name": istiod::CLUSTER, "kubeconfig": kubectl.kubeconfig(), "network": self.subnet.cidr(), "control_plane_address": self.subnet.gateway()}],
            "vms": vms.iter().map(describe_vm).collect::<Vec<_>>(),
            "pods": pods.iter().map(|pod| json!({"name": pod.name, "namespace": pod.namespace, "address": pod.address})).collect::<Vec<_>>(),
            "terraform_cli_config": config,
            "provider_binary": binary,
            "package_url": format!("http://{}:{PACKAGE_PORT}/{}", self.subnet.gateway(), Package::file_name()),
            "package_sha256": self.layers.package.sha256()?,
        });
        let path = self.folder.join("document.json");
        fs::write(&path, document.to_string()).map_err(Error::at("write", &path))?;
        Ok(document)
    }
}

const IMAGE: &str = "make the VMs' image";
const PACKAGE: &str = "build Istio's package";
const CLUSTER: &str = "start API server and istiod";
const MACHINES: &str = "boot VMs and pods";
const PODS: &str = "let the pods join the mesh";

/// What machines are made of.
struct Layers {
    image: PathBuf,
    package: Package,
}

impl Layers {
    fn find(servers: &Servers) -> Result<Self> {
        let image = image::folder()?;
        Ok(Self {
            package: Package::find(servers, &image)?,
            image,
        })
    }

    fn vm(&self, folder: &Path, subnet: Subnet, number: u8) -> Machine {
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

    fn pod(&self, folder: &Path, subnet: Subnet, number: u8) -> Machine {
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

/// Takes a name and a free network. What a bed that ended without `down` left is removed.
fn claim(name: &str) -> Result<(PathBuf, Subnet)> {
    let usable = !name.is_empty()
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    if !usable {
        return Err(Error::Refused(format!(
            "`{name}` cannot name a bed: use letters, digits and -"
        )));
    }
    let _lock: File = cache::lock(Path::new(FOLDER))?;
    let folder = Path::new(FOLDER).join(name);
    if runs(&folder) {
        return Err(Error::Refused(format!(
            "a bed `{name}` is up already: `cargo xtask testbed status` tells, `down` ends it, `up --name NAME` makes another"
        )));
    }
    down(name)?;
    let mut taken: Vec<u8> = Vec::new();
    for other in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        taken.extend(subnet_of(&other.path()).map(|subnet| subnet.0));
    }
    let subnet = first_free(&taken, |subnet| subnet.in_use())?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(Error::at("create", &folder))?;
    let path = folder.join("subnet");
    fs::write(&path, subnet.0.to_string()).map_err(Error::at("write", &path))?;
    Ok((folder, subnet))
}

fn first_free(taken: &[u8], in_use: impl Fn(Subnet) -> Result<bool>) -> Result<Subnet> {
    for subnet in (0..SUBNETS)
        .filter(|number| !taken.contains(number))
        .map(Subnet)
    {
        if !in_use(subnet)? {
            return Ok(subnet);
        }
    }
    Err(Error::Refused(format!(
        "all networks 10.99.0.0/24 to 10.99.{}.0/24 are in use on this machine",
        SUBNETS - 1
    )))
}

fn runs(folder: &Path) -> bool {
    let machines = fs::read_dir(folder.join("machines"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("machine.pid"));
    let servers = [
        "packages",
        "istiod/istiod",
        "cluster/kube-apiserver",
        "cluster/etcd",
    ]
    .map(|part| folder.join(format!("{part}.pid")));
    machines
        .chain(servers)
        .any(|path| Recorded::load(&path).is_some_and(Recorded::alive))
}

fn subnet_of(folder: &Path) -> Option<Subnet> {
    fs::read_to_string(folder.join("subnet"))
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Subnet)
}

/// Does the same to several at once and returns the first error.
fn in_parallel<T: Send>(items: Vec<T>, work: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_use_by_a_bed_or_by_the_machine_is_passed_over() {
        let chosen = first_free(&[0, 2], |subnet| Ok(subnet.0 == 1)).unwrap();
        assert_eq!(chosen, Subnet(3));
        assert!(first_free(&[], |_| Ok(true)).is_err());
    }
}
