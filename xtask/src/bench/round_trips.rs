//! How often a VM that is far away is waited for: the slope of a duration over the delay of the way.
//!
//! OpenSSH needs ten for one call on a new connection: seven until it is logged in (TCP with the
//! server's greeting 1.5, algorithms 0.5, keys, service, the method "none", the offer of a key, the
//! signature), then channel, exec, and the input with its answer, since the server takes no input
//! before the exec. A bootstrap asks for its token besides; what follows it overlaps with istiod.

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

/// What a round trip takes longer on the long way.
const LONGER: Duration = Duration::from_millis(300);
/// The two ways take turns, so that a busy machine does not look like a long way.
const REPEATS: usize = 3;

/// Where sshd is reached is not where pods reach the VM: the way goes through the forwarder.
const DIRECT: &str = r#"
resource "mesh_vm_workload" "ratings" {
  ssh = {
    host     = "127.0.0.1"
    host_key = var.host_key
  }
}
"#;

/// The VM is its own bastion: the long way is the one to the bastion.
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

/// From the quickest of several.
pub(super) struct RoundTrips {
    /// Of a bootstrap of a fresh VM: its new rules are confirmed over a second connection.
    pub(super) create: f64,
    /// Of a bootstrap again, of a VM that has the rules.
    pub(super) again: f64,
    /// Of a refresh.
    pub(super) refresh: f64,
    /// Of a bootstrap again through a bastion: two logins, the second through the first.
    pub(super) again_through_bastion: f64,
    /// Of a refresh through a bastion.
    pub(super) refresh_through_bastion: f64,
    /// Seconds that the creation takes without delay.
    pub(super) apply: f64,
    /// Bytes that a bootstrap again sends to the VM, with those of SSH itself: program, files and token.
    pub(super) sent: u64,
}

/// What is measured on each way.
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
/// The bed has no VM, or Terraform's own words.
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

/// What was measured on a short and on a long way.
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
    let mut short = Way::new(bed, vm, ssh, Duration::ZERO)?;
    let mut long = Way::new(bed, vm, ssh, LONGER)?;
    let (mut quick, mut slow) = (Durations::new(), Durations::new());
    for repeat in 1..=REPEATS {
        eprintln!("bench: bootstraps and refreshes, {repeat} of {REPEATS}");
        short.walk(&mut quick)?;
        long.walk(&mut slow)?;
    }
    let sent = short.again;
    Ok(Slopes { quick, slow, sent })
}

/// A configuration whose VM is reached over a way of a certain length.
struct Way {
    terraform: Terraform,
    /// Bytes to the VM so far, and of the last bootstrap again.
    sent: Arc<AtomicU64>,
    again: u64,
    _folder: TempDir,
}

impl Way {
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

/// Whatever else the machine does only adds: the quickest tells most.
fn quickest(durations: &Durations, step: Step) -> f64 {
    let all = durations.get(&step).into_iter().flatten();
    all.copied().fold(f64::INFINITY, f64::min)
}
