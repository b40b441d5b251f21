//! Measures the number of round trips to a VM: the slope of a duration over the delay of the connection.
//!
//! OpenSSH needs ten for one call on a new connection: seven for the login (TCP with the server's greeting 1.5,
//! algorithms 0.5, keys, service, the method "none", the offer of a key, the signature), then channel, exec, and the
//! input with its response, because the server accepts no input before the exec. A bootstrap also requests its token;
//! later round trips overlap with istiod.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acceptance_tests::{Failure, Result, delay::forward_counting};
use bed::{Bed, Vm};
use tempfile::TempDir;

use crate::cargo::root;
use crate::terraform::Terraform;

/// Additional round-trip time of the slow connection.
const LONGER: Duration = Duration::from_millis(300);
/// Number of repetitions. The two connections alternate, so that a busy machine does not look like a slow connection.
const REPEATS: usize = 3;

/// The address of sshd differs from the VM's address for pods: SSH goes through the forwarder.
const DIRECT: &str = r#"
resource "mesh_vm_workload" "ratings" {
  ssh = {
    host     = "127.0.0.1"
    host_key = var.host_key
  }
}
"#;

/// The VM is its own bastion; the connection to the bastion is the slow one.
const THROUGH_A_BASTION: &str = r#"
resource "mesh_vm_workload" "ratings" {
  ssh = {
    host     = var.vm_address
    port     = 22
    host_key = var.host_key
    bastion = {
      host     = "127.0.0.1"
      port     = var.ssh_port
      host_key = var.host_key
    }
  }
}
"#;

/// Results, from the fastest of several runs.
pub(super) struct RoundTrips {
    /// Round trips of the bootstrap of a new VM, whose new rules are confirmed over a second connection.
    pub(super) create: f64,
    /// Round trips of a re-bootstrap of a VM that has the rules.
    pub(super) again: f64,
    /// Round trips of a refresh.
    pub(super) refresh: f64,
    /// Round trips of a re-bootstrap through a bastion: two logins, the second one through the first.
    pub(super) again_through_bastion: f64,
    /// Round trips of a refresh through a bastion.
    pub(super) refresh_through_bastion: f64,
    /// Duration of a creation without delay in seconds.
    pub(super) apply: f64,
    /// Bytes that a re-bootstrap sends to the VM, including those of SSH itself: program, files and token.
    pub(super) sent: u64,
}

/// Durations over one connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Create,
    Refresh,
    Again,
}

type Durations = BTreeMap<Step, Vec<f64>>;

/// Measures with the first VM of a bed that has a provider.
///
/// # Errors
/// Fails if the bed has no VM; otherwise returns Terraform's errors.
pub(super) fn measure(bed: &Bed) -> Result<RoundTrips> {
    let vm = bed
        .vms
        .first()
        .ok_or_else(|| Failure::new("the bed has no VM"))?;
    let direct = slopes(bed, vm, DIRECT)?;
    let through = slopes(bed, vm, THROUGH_A_BASTION)?;
    Ok(RoundTrips {
        create: direct.of(Step::Create),
        again: direct.of(Step::Again),
        refresh: direct.of(Step::Refresh),
        again_through_bastion: through.of(Step::Again),
        refresh_through_bastion: through.of(Step::Refresh),
        apply: quickest(&direct.quick, Step::Create),
        sent: direct.sent,
    })
}

/// Measurements over a fast and a slow connection.
struct Slopes {
    quick: Durations,
    slow: Durations,
    sent: u64,
}

impl Slopes {
    fn of(&self, step: Step) -> f64 {
        (quickest(&self.slow, step) - quickest(&self.quick, step)) / LONGER.as_secs_f64()
    }
}

fn slopes(bed: &Bed, vm: &Vm, ssh: &str) -> Result<Slopes> {
    let mut short = Connection::new(bed, vm, ssh, Duration::ZERO)?;
    let mut long = Connection::new(bed, vm, ssh, LONGER)?;
    let (mut quick, mut slow) = (Durations::new(), Durations::new());
    for repeat in 1..=REPEATS {
        eprintln!("bench: bootstraps and refreshes, {repeat} of {REPEATS}");
        short.walk(&mut quick)?;
        long.walk(&mut slow)?;
    }
    let sent = short.again;
    Ok(Slopes { quick, slow, sent })
}

/// A configuration whose VM is reached over a connection with a certain delay.
struct Connection {
    terraform: Terraform,
    /// Bytes to the VM so far, and of the last re-bootstrap.
    sent: Arc<AtomicU64>,
    again: u64,
    _folder: TempDir,
}

impl Connection {
    fn new(bed: &Bed, vm: &Vm, ssh: &str, round_trip: Duration) -> Result<Self> {
        let sshd = SocketAddr::new(vm.address.into(), vm.ssh_port);
        let sent = Arc::default();
        let forwarder = forward_counting(sshd, round_trip / 2, Arc::clone(&sent))?;
        let folder = TempDir::new()?;
        let example = root().join("examples/talk-demo");
        let mut terraform = Terraform::new(&example, folder.path().into(), bed, vm)?;
        fs::write(folder.path().join("override.tf"), ssh)?;
        terraform.set("ssh_port", forwarder.port())?;
        Ok(Self {
            terraform,
            sent,
            again: 0,
            _folder: folder,
        })
    }

    /// Creates, refreshes, changes and destroys the workload.
    fn walk(&mut self, durations: &mut Durations) -> Result<()> {
        let mut note = |step: Step, took: Duration| {
            durations.entry(step).or_default().push(took.as_secs_f64());
        };
        self.terraform.set("version_label", "v1")?;
        self.terraform.plan()?;
        note(Step::Create, self.terraform.apply_saved()?.1);
        let begin = Instant::now();
        if let Some(plan) = self.terraform.plan()? {
            return Err(Failure::new(format!("the plan should be empty:\n{plan}")));
        }
        note(Step::Refresh, begin.elapsed());
        self.terraform.set("version_label", "v2")?;
        self.terraform.plan()?;
        let before = self.sent.load(Ordering::Relaxed);
        note(Step::Again, self.terraform.apply_saved()?.1);
        self.again = self.sent.load(Ordering::Relaxed) - before;
        self.terraform.destroy().map(drop)
    }
}

/// Returns the shortest duration. Other work of the machine can only lengthen it.
fn quickest(durations: &Durations, step: Step) -> f64 {
    let all = durations.get(&step).into_iter().flatten();
    all.copied().fold(f64::INFINITY, f64::min)
}
