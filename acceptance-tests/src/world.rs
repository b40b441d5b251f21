//! The bed that `cargo xtask test` brought up, and the part of it that a scenario owns: a namespace and a VM.

use std::env;
use std::fmt::Debug;
use std::io::Write as _;
use std::ops::Deref;
use std::process;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, HostKey, Vm};

use crate::queue::Queue;
use crate::{Done, Failure, Result};

/// Environment variable with the name of the bed.
pub const VARIABLE: &str = "MESH_BED";
/// Timeout of conditions. It is generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(5);

/// Service account of the VMs' workloads in each scenario's namespace.
const ACCOUNT: &str = "bookinfo-ratings";
/// Number of boots after which a scenario takes a VM whose units do not all start.
const BOOTS: usize = 3;

/// Kinds of the provider's objects.
const KINDS: [&str; 4] = [
    "workloadentries",
    "workloadgroups",
    "serviceentries",
    "sidecars",
];

/// Resources that all scenarios of the process share.
struct World {
    bed: Bed,
    queue: Queue,
}

/// A scenario's own part of the bed. Dropping it returns the VMs, which are then rebuilt.
pub struct Scenario {
    world: &'static World,
    /// Its namespace, with the service accounts `default` and `bookinfo-ratings`.
    pub namespace: String,
    /// Its VM, freshly installed, with the application `ratings` running.
    pub vm: Vm,
    /// Additional VMs, if requested.
    pub more: Vec<Vm>,
    numbers: Vec<usize>,
    /// Name of the test, and time at which it got its VMs.
    test: (String, Instant),
}

impl Deref for Scenario {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.world.bed
    }
}

impl Scenario {
    /// Creates the namespace `NAME-PID` and waits for a free VM.
    pub fn begin(name: &str) -> Result<Self> {
        Self::begin_with(name, 1)
    }

    /// Does the same with several VMs: the first is `vm`, the others are `more`.
    ///
    /// # Errors
    /// Fails if the bed has fewer VMs.
    pub fn begin_with(name: &str, vms: usize) -> Result<Self> {
        let world = world()?;
        let there = world.bed.vms.len();
        if !(1..=there).contains(&vms) {
            return Err(Failure::new(format!(
                "the scenario needs {vms} VMs, and the bed has {there}: bring it up with --vms {vms}"
            )));
        }
        // libtest gives a thread the name of its test.
        let test = thread::current().name().unwrap_or(name).to_owned();
        let numbers = world.queue.take(&test, vms);
        let mut all = numbers.iter().map(|number| world.bed.vms[*number].clone());
        let mut scenario = Self {
            world,
            namespace: format!("{name}-{}", process::id()),
            vm: all.next().ok_or_else(|| Failure::new("no VM"))?,
            more: all.collect(),
            numbers,
            test: (test, Instant::now()),
        };
        scenario.make_namespace()?;
        scenario.vm = fresh(&scenario.vm)?;
        for vm in &mut scenario.more {
            *vm = fresh(vm)?;
        }
        Ok(scenario)
    }

    fn make_namespace(&self) -> Done {
        let kubectl = self.kubectl();
        kubectl.create_namespace(&self.namespace, &[ACCOUNT])?;
        let root = format!(
            "/api/v1/namespaces/{}/configmaps/istio-ca-root-cert",
            self.namespace
        );
        wait_for("istiod's root certificate in the namespace", || {
            kubectl.find(&root).map(|found| found.is_some())
        })
    }

    /// Rebuilds the VM as a machine with cloud-init that boots with this user data, and returns once its first commands
    /// run.
    pub fn boot_with_user_data(&self, user_data: &str) -> Result<Vm> {
        let vm = self.vm.rebuild_with_user_data(user_data)?;
        wait_for("the machine boots", || {
            vm.exec(&["true"]).map(|output| output.success())
        })?;
        Ok(vm)
    }

    /// Returns the API server's path of an object of this namespace, e.g. `object("workloadentries", "ratings")`.
    pub fn object(&self, plural: &str, name: &str) -> String {
        format!(
            "/apis/networking.istio.io/v1/namespaces/{}/{plural}/{name}",
            self.namespace
        )
    }

    /// Returns the kind and name of each Istio object in the namespace, e.g. `WorkloadEntry/ratings`.
    pub fn objects(&self) -> Result<Vec<String>> {
        let items = self.kubectl().list(&self.namespace, &KINDS)?;
        let name = |item: &serde_json::Value| {
            format!(
                "{}/{}",
                item["kind"].as_str().unwrap_or("?"),
                item["metadata"]["name"].as_str().unwrap_or("?")
            )
        };
        Ok(items.iter().map(name).collect())
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        // Remaining objects would only distract people: each run has its own namespaces.
        let _ = self.kubectl().delete_all(&self.namespace, &KINDS);
        let (test, since) = &self.test;
        let took = since.elapsed().as_secs_f32();
        // For a reader that follows the run; libtest holds back the output of `print!`. Without a reader, nothing is lost.
        let _ =
            std::io::stderr().write_all(format!("scenario {test} took {took:.1}s\n").as_bytes());
        let world = self.world;
        for number in std::mem::take(&mut self.numbers) {
            thread::spawn(move || {
                let vm = &world.bed.vms[number];
                // A later scenario detects that the VM was used or does not come up, and reports why.
                let _ = if is_clean(vm) {
                    vm.mark_unused()
                } else if world.queue.is_awaited() {
                    vm.rebuild(HostKey::Same)
                } else {
                    Ok(())
                };
                world.queue.give_back(number);
            });
        }
    }
}

fn world() -> Result<&'static World> {
    static WORLD: OnceLock<std::result::Result<World, String>> = OnceLock::new();
    WORLD.get_or_init(attach).as_ref().map_err(Failure::new)
}

fn attach() -> std::result::Result<World, String> {
    let name = env::var(VARIABLE).map_err(|_| {
        format!(
            "{VARIABLE} does not name a bed. `cargo xtask test` runs everything; for these tests alone:\n  \
             cargo xtask testbed up --name work --vms 6\n  {VARIABLE}=work cargo test -p acceptance-tests"
        )
    })?;
    let bed = Bed::attach(&name).map_err(|error| error.chain())?;
    if bed.vms.is_empty() || bed.pods.is_empty() {
        return Err(format!(
            "the bed `{name}` needs at least one VM and one pod"
        ));
    }
    let queue = Queue::new(bed.vms.len());
    Ok(World { bed, queue })
}

/// Returns true if a VM was not used since [`fresh`] returned it: the next scenario can use it unchanged.
fn is_clean(vm: &Vm) -> bool {
    let is_untouched = !vm.is_touched() && matches!(vm.ssh_connections(), Ok(0));
    // Whatever the log of sshd says, a bootstrap leaves one of these.
    let traces = "! [ -e /run/mesh-vm ] && ! [ -e /etc/istio ] && ! [ -L /etc/istio ]";
    is_untouched && vm.shell(traces).is_ok()
}

/// Returns the VM once it is up, without traces of an earlier scenario and with the application running.
fn fresh(vm: &Vm) -> Result<Vm> {
    if !vm.is_on() || vm.is_used() {
        vm.rebuild(HostKey::Same)?;
    }
    // On a busy machine, a unit may fail at boot, such as the one that lets users log in.
    for _ in 1..BOOTS {
        if boots_well(vm) {
            break;
        }
        vm.rebuild(HostKey::Same)?;
    }
    vm.wait_until_up()?;
    let failed = vm.failed_units()?;
    if !failed.is_empty() {
        eprintln!("{} runs with failed units: {failed:?}", vm.name);
    }
    vm.mark_used()?;
    vm.shell("systemctl start ratings")?;
    let mut vm = vm.clone();
    vm.host_key = vm.host_key()?;
    vm.forget_touches();
    Ok(vm)
}

/// Returns true if the VM comes up and all of its units start.
fn boots_well(vm: &Vm) -> bool {
    let failed = vm.wait_until_up().and_then(|()| vm.failed_units());
    failed.is_ok_and(|units| units.is_empty())
}

/// Polls until the condition is true. An error counts as false and is reported at the end.
///
/// # Errors
/// Fails if the condition is not true within [`PATIENCE`].
pub fn wait_for<E: Debug>(
    what: &str,
    mut holds: impl FnMut() -> std::result::Result<bool, E>,
) -> Done {
    let end = Instant::now() + PATIENCE;
    loop {
        let last = holds();
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Failure::new(format!(
                "{what}: not within {PATIENCE:?}, last: {last:?}"
            )));
        }
        thread::sleep(Duration::from_millis(100));
    }
}
