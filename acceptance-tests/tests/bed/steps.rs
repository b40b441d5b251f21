//! The step walk: after any fault at any step of a bootstrap, the VM is in the old or the new state, never in between,
//! and the next apply converges.

use std::collections::BTreeSet;
use std::process::Command;

use acceptance_tests::workload::{Workload, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use bed::{Machine, Vm};
use contract::Client;
use serde_json::json;

/// Steps of the program on the VM, in order.
const STEPS: [&str; 11] = [
    "check", "stage", "keep", "ask", "stop", "install", "token", "place", "track", "start", "ready",
];
/// Wrapper of gzip, which unpacks the program, that appends our text.
const GZIP: &str = "#!/bin/sh\n/usr/bin/gzip \"$@\" && cat /var/tmp/walk/hook\n";
/// Stops at the step named in a file, or at each step, until another file exists. The program notices sooner that its
/// caller is gone.
const HOOK: &str = r#"
RECONNECT_WAIT=3
hook() {
  case "$(cat /var/tmp/walk/at 2>/dev/null)" in "$1" | each) ;; *) return 0 ;; esac
  emit "$1 $run_dir" >/var/tmp/walk/reached.part && mv /var/tmp/walk/reached.part /var/tmp/walk/reached
  await 240 [ -e /var/tmp/walk/go ]
  rm /var/tmp/walk/go
}
"#;
/// Makes the program notice sooner that its worker has died: it checks after this number of pauses.
const HASTE: &str = "pause() { sleep 0.05; }\n";
/// Waits until a run stops, and prints the step.
const REACHED: &str = "until [ -e /var/tmp/walk/reached ]; do sleep 0.1; done; cat /var/tmp/walk/reached && rm /var/tmp/walk/reached";
/// Waits until no run is left and the proxy is ready.
const ENDED: &str = "limit=$(($(date +%s) + 240))
until [ -z \"$(systemctl list-units --plain --no-legend 'mesh-vm-*')\" ] && curl -fs -o /dev/null http://127.0.0.1:15021/healthz/ready
do if [ $(date +%s) -ge $limit ]; then systemctl list-units 'mesh-vm-*'; exit 1; fi; sleep 0.5; done";
/// Prints everything that a bootstrap changes on a VM (files, unit, rules) and that no run may leave behind.
const STATE: &str = r#"
for f in /var/lib/istio/envoy/cluster.env /var/lib/istio/envoy/sidecar.env /etc/istio/config/mesh /etc/hosts \
  /etc/systemd/system/istio.service.d/mesh.conf /etc/logrotate.d/mesh-vm /var/lib/istio/mesh/owner /var/lib/istio/mesh/guard; do
  [ ! -e "$f" ] || stat -c '%n %U:%G %a' "$f" && sha256sum <"$f"
done
stat -c '%n %U:%G %a' /etc/certs /etc/certs/key.pem /var/lib/istio /var/lib/istio/envoy /usr/local/bin/pilot-agent
systemctl is-enabled istio.service; systemctl is-active istio.service
iptables-save | grep -E '(ISTIO|MESH)_' | sed 's/ \[.*//' | sort
[ ! -d /var/lib/istio/mesh/run ] || [ -e /var/lib/istio/mesh/run/end ] || echo unfinished
find /etc /usr/local /var/lib/istio /run/mesh-vm -xdev \( -name '*.mesh' -o -name 'in.*' -o -name token \) 2>/dev/null
true
"#;

/// Moves the proxy's folder to a small separate disk, except for files that the proxy writes: with a full disk there, no
/// proxy would run.
const SMALL_DISK: &str = "
set -e
systemctl stop istio
cp -a /var/lib/istio /var/tmp/whole
mount -t tmpfs -o size=4m,mode=755 tmpfs /var/lib/istio
cp -a /var/tmp/whole/. /var/lib/istio
mount --bind /var/tmp/whole/proxy /var/lib/istio/proxy
systemctl start istio
";

/// Fault that interrupts a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The SSH session is cut, and the provider reconnects.
    Connection,
    /// The provider is killed, and nothing reconnects.
    Provider,
    /// Terraform is interrupted: the provider stops immediately, and nothing reconnects.
    Stop,
    /// The worker on the VM is killed.
    Worker,
    /// The VM loses power and boots again. At most steps, the provider is killed as well.
    Power,
    /// The same, and data that the kernel has not written to the disk is lost.
    PowerAndCache,
    /// The disk with the previous set of files is full.
    Disk,
}

#[tokio::test]
async fn a_connection_cut_at_each_step_is_resumed_each_time() -> Done {
    let mut walk = Walk::new("walk-connection", Fault::Connection).await?;
    walk.begin("each")?;
    let provider = walk.workload.provider().await?;
    let cuts = async {
        for step in STEPS {
            let at = walk.fault.strike(&walk.scenario.vm, &provider).await?;
            assert_eq!(at, step);
        }
        Ok::<_, Failure>(())
    };
    let (reported, cut) = tokio::join!(walk.workload.apply_by(&provider), cuts);
    cut?;
    assert_eq!(texts(&reported?), "");
    assert_eq!(walk.look()?, Some(1 - walk.now));
    Ok(())
}

#[tokio::test]
async fn a_provider_killed_at_any_step_leaves_the_old_or_the_new_state() -> Done {
    Walk::new("walk-provider", Fault::Provider)
        .await?
        .walk()
        .await
}

#[tokio::test]
async fn a_provider_interrupted_at_any_step_leaves_the_old_or_the_new_state() -> Done {
    Walk::new("walk-stop", Fault::Stop).await?.walk().await
}

#[tokio::test]
async fn a_worker_killed_at_any_step_leaves_the_old_or_the_new_state() -> Done {
    Walk::new("walk-worker", Fault::Worker).await?.walk().await
}

#[tokio::test]
async fn a_power_cut_at_any_step_leaves_the_old_or_the_new_state() -> Done {
    Walk::new("walk-power", Fault::Power).await?.walk().await
}

#[tokio::test]
async fn a_lost_page_cache_at_any_step_leaves_the_old_or_the_new_state() -> Done {
    Walk::new("walk-cache", Fault::PowerAndCache)
        .await?
        .walk()
        .await
}

#[tokio::test]
async fn a_full_disk_at_any_step_leaves_the_old_or_the_new_state() -> Done {
    Walk::new("walk-disk", Fault::Disk).await?.walk().await
}

/// A member of the mesh whose runs can be stopped at a step.
struct Walk {
    scenario: Scenario,
    workload: Workload,
    fault: Fault,
    /// State of the VM with version `v1` and with `v2`.
    states: [String; 2],
    /// Index of its current state.
    now: usize,
    /// Pairs from which an apply has converged: whether the VM was in the old state, and whether Terraform's state was.
    proven: BTreeSet<(bool, bool)>,
}

impl Walk {
    async fn new(name: &str, fault: Fault) -> Result<Self> {
        let scenario = Scenario::begin(name)?;
        let mut workload = Workload::new(&scenario)?;
        let vm = &scenario.vm;
        if fault == Fault::PowerAndCache {
            vm.move_to_a_disk(&file_system())?;
            vm.shell("systemctl start ratings")?;
        }
        let haste = if fault == Fault::Worker { HASTE } else { "" };
        hooked(vm, &[haste, HOOK].concat())?;
        workload.config["timeouts"]["update"] = json!("4m");
        if fault == Fault::Disk {
            apply(&mut workload, 0).await?;
            vm.shell(SMALL_DISK)?;
        }
        let mut states = [String::new(), String::new()];
        for (at, found) in states.iter_mut().enumerate() {
            apply(&mut workload, at).await?;
            *found = state(vm)?;
        }
        assert_ne!(states[0], states[1]);
        Ok(Self {
            scenario,
            workload,
            fault,
            states,
            now: 1,
            proven: BTreeSet::new(),
        })
    }

    async fn walk(mut self) -> Done {
        for step in STEPS {
            let broken = self.broken(step).await;
            broken
                .map_err(|error| Failure::new(format!("{:?} at {step}: {error:?}", self.fault)))?;
        }
        self.end().await?;
        if self.fault == Fault::PowerAndCache {
            // Reported steps are on the disk.
            self.scenario.vm.lose_power()?;
            blocking(&self.scenario.vm, ENDED).await?;
            assert_eq!(self.look()?, Some(self.now));
        }
        Ok(())
    }

    /// Makes the next run, which bootstraps with the other version, stop at a step or at `each`.
    fn begin(&mut self, at: &str) -> Done {
        // Synced to the disk, so that a power cut does not affect it.
        let script = format!("cd /var/tmp/walk && rm -f reached go && echo {at} >at && sync");
        self.scenario.vm.shell(&script)?;
        self.workload.config["labels"]["version"] = version(1 - self.now);
        Ok(())
    }

    /// Bootstraps with the other version, interrupts the run at the step, and checks the VM. If the VM or Terraform's state
    /// has changed, an apply must converge; this is tried once for each such pair.
    async fn broken(&mut self, step: &str) -> Done {
        self.begin(step)?;
        let before = self.workload.state.clone();
        let provider = self.workload.provider().await?;
        let (reported, struck) = tokio::join!(
            self.workload.apply_by(&provider),
            self.fault.strike(&self.scenario.vm, &provider)
        );
        assert_eq!(struck?, step);
        drop(provider);
        let killed = self.fault.kills_the_provider(step);
        let said = match reported {
            Ok(reported) => texts(&reported),
            Err(error) if killed => error.to_string(),
            Err(error) => return Err(error),
        };
        if killed {
            // Terraform writes the previous state if a plugin dies.
            self.workload.state.clone_from(&before);
        }
        let vm = &self.scenario.vm;
        blocking(vm, ENDED).await?;
        let at = self.look()?;
        // After a reported failure, the VM is in the old state. A killed provider cannot report.
        let gone = killed || self.fault == Fault::Stop;
        let is_consistent = said.is_empty() == (at != Some(self.now)) || gone;
        if at.is_none() || !is_consistent {
            let lines = differing(&self.states[self.now], &state(vm)?);
            return Err(Failure::new(format!(
                "the VM is {at:?} and {said:?} was reported; from old to actual:\n{lines}"
            )));
        }
        vm.shell("rm -f /var/lib/istio/fill /var/tmp/walk/at")?;
        let kind = (at == Some(self.now), self.workload.state == before);
        if kind == (true, true) || !self.proven.insert(kind) {
            self.now = at.unwrap_or(self.now);
            return Ok(());
        }
        self.end().await
    }

    /// Applies, which must succeed.
    async fn end(&mut self) -> Done {
        let new = 1 - self.now;
        apply(&mut self.workload, new).await?;
        let found = state(&self.scenario.vm)?;
        if found != self.states[new] {
            let lines = differing(&self.states[new], &found);
            return Err(Failure::new(format!(
                "the next apply does not end in the new state:\n{lines}"
            )));
        }
        self.now = new;
        Ok(())
    }

    /// Returns the index of the VM's state, if it is one of the two.
    fn look(&self) -> Result<Option<usize>> {
        let found = state(&self.scenario.vm)?;
        Ok(self.states.iter().position(|state| *state == found))
    }
}

impl Fault {
    /// Returns true if the provider does not reconnect after the run stopped at the step.
    fn kills_the_provider(self, step: &str) -> bool {
        let at = STEPS.iter().position(|one| *one == step);
        let power = matches!(self, Self::Power | Self::PowerAndCache);
        self == Self::Provider || power && at.is_some_and(|at| at % 4 != 3)
    }

    /// Interrupts the run that stops at a step, lets the rest of it continue, and returns the step.
    async fn strike(self, vm: &Vm, provider: &Client) -> Result<String> {
        let reached = blocking(vm, REACHED).await?;
        let (step, folder) = reached.trim().split_once(' ').unwrap_or_default();
        if self.kills_the_provider(step) {
            let process = provider.process().and_then(contract::Process::id);
            let process = process.ok_or_else(|| Failure::new("no process"))?;
            let process = process.to_string();
            Command::new("kill").args(["-KILL", &process]).status()?;
        }
        match self {
            Self::Connection => {
                // A session has two processes, and one may exit with the other.
                let session = "until pgrep -f '[s]shd: ubuntu'; do sleep 0.05; done";
                vm.shell(&format!(
                    "for p in $({session}); do kill -KILL $p || :; done"
                ))?;
            }
            Self::Provider => {}
            Self::Stop => provider.stop().await?,
            Self::Worker => {
                vm.shell(&format!("kill -KILL $(cat {folder}/pid)"))?;
            }
            Self::Power => {
                vm.shell("rm /var/tmp/walk/at; sync")?;
                vm.kill()?;
                vm.start()?;
                vm.wait_until_up()?;
                return Ok(step.to_owned());
            }
            Self::PowerAndCache => {
                vm.lose_power()?;
                vm.shell("rm -f /var/tmp/walk/at")?;
                return Ok(step.to_owned());
            }
            Self::Disk => {
                vm.shell("dd if=/dev/zero of=/var/lib/istio/fill bs=4k 2>/dev/null; [ -s /var/lib/istio/fill ]")?;
            }
        }
        vm.shell("touch /var/tmp/walk/go")?;
        Ok(step.to_owned())
    }
}

/// Returns the file system for real power cuts: `MESH_BED_FILE_SYSTEM`, such as `xfs`, or ext4.
fn file_system() -> String {
    std::env::var("MESH_BED_FILE_SYSTEM").unwrap_or_else(|_| "ext4".to_owned())
}

/// Appends this text to the program of each run on the VM.
///
/// Its functions replace those of the program. If the program does not have such a function, it exits.
pub(crate) fn hooked(vm: &Machine, hook: &str) -> Done {
    let lines = hook.lines();
    let defined: Vec<_> = lines
        .filter_map(|line| line.split_once("() {").map(|(name, _)| name))
        .collect();
    let there = format!(
        "for f in {}; do have \"$f\" || die \"there is no function $f\"; done\n",
        defined.join(" ")
    );
    vm.write("/var/tmp/walk/hook", [&there, hook].concat().as_bytes())?;
    vm.write("/usr/local/bin/gzip", GZIP.as_bytes())?;
    vm.shell("chmod +x /usr/local/bin/gzip")?;
    Ok(())
}

/// Runs a script that waits, without blocking other tasks.
async fn blocking(vm: &Machine, script: &'static str) -> Result<String> {
    let vm = vm.clone();
    let waited = tokio::task::spawn_blocking(move || vm.shell(script)).await;
    Ok(waited.map_err(|error| Failure::new(error.to_string()))??)
}

async fn apply(workload: &mut Workload, at: usize) -> Done {
    workload.config["labels"]["version"] = version(at);
    match texts(&workload.apply().await?) {
        reported if reported.is_empty() => Ok(()),
        reported => Err(Failure::new(format!("the apply returned {reported}"))),
    }
}

fn version(at: usize) -> serde_json::Value {
    json!(["v1", "v2"][at])
}

fn state(vm: &Machine) -> Result<String> {
    Ok(vm.shell(STATE)?)
}

/// Returns the lines that only one of the two texts has.
fn differing(wanted: &str, found: &str) -> String {
    let less = wanted.lines().filter(|line| !found.contains(line));
    let more = found.lines().filter(|line| !wanted.contains(line));
    let signed = less
        .map(|line| format!("- {line}"))
        .chain(more.map(|line| format!("+ {line}")));
    signed.collect::<Vec<_>>().join("\n")
}
