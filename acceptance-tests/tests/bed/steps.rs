//! The step walk: whatever breaks a bootstrap, at whichever of its steps, the VM is then in the old state or in the
//! new one and never between, and the next apply converges.

use std::collections::BTreeSet;
use std::process::Command;

use acceptance_tests::workload::{Workload, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use bed::{Machine, Vm};
use contract::Client;
use serde_json::json;

/// The steps of the program on the VM, in their order.
const STEPS: [&str; 11] = [
    "check", "stage", "keep", "ask", "stop", "install", "token", "place", "track", "start", "ready",
];
/// Stands in front of gzip, which unpacks the program: a text of ours follows it.
const GZIP: &str = "#!/bin/sh\n/usr/bin/gzip \"$@\" && cat /var/tmp/walk/hook\n";
/// Stops at the step that a file names, or at each, until another file is there. The program notices sooner that its
/// caller has gone.
const HOOK: &str = r#"
RECONNECT_WAIT=3
hook() {
  case "$(cat /var/tmp/walk/at 2>/dev/null)" in "$1" | each) ;; *) return 0 ;; esac
  emit "$1 $run_dir" >/var/tmp/walk/reached.part && mv /var/tmp/walk/reached.part /var/tmp/walk/reached
  await 240 [ -e /var/tmp/walk/go ]
  rm /var/tmp/walk/go
}
"#;
/// Has the program notice sooner that its worker has died: it looks after so many pauses.
const HASTE: &str = "pause() { sleep 0.05; }\n";
/// Waits until a run stops, and says where.
const REACHED: &str = "until [ -e /var/tmp/walk/reached ]; do sleep 0.1; done; cat /var/tmp/walk/reached && rm /var/tmp/walk/reached";
/// Waits until no run is there any more, and the proxy is ready.
const ENDED: &str = "limit=$(($(date +%s) + 240))
until [ -z \"$(systemctl list-units --plain --no-legend 'mesh-vm-*')\" ] && curl -fs -o /dev/null http://127.0.0.1:15021/healthz/ready
do if [ $(date +%s) -ge $limit ]; then systemctl list-units 'mesh-vm-*'; exit 1; fi; sleep 0.5; done";
/// What of a VM a bootstrap changes: files, the unit, rules; and what no run may leave behind.
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

/// Moves the proxy's folder to a small disk of its own, but for what the proxy writes itself: where that is full, no
/// proxy runs, old or new.
const SMALL_DISK: &str = "
set -e
systemctl stop istio
cp -a /var/lib/istio /var/tmp/whole
mount -t tmpfs -o size=4m,mode=755 tmpfs /var/lib/istio
cp -a /var/tmp/whole/. /var/lib/istio
mount --bind /var/tmp/whole/proxy /var/lib/istio/proxy
systemctl start istio
";

/// What breaks a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The SSH session is cut: the provider comes back.
    Connection,
    /// The provider is killed: nobody comes back.
    Provider,
    /// Terraform is interrupted: the provider stops at once, and nobody comes back.
    Stop,
    /// The worker on the VM is killed.
    Worker,
    /// The VM loses its power and boots again; at most steps the provider dies with it.
    Power,
    /// The same, and what the kernel has not written to the disk by then is lost.
    PowerAndCache,
    /// The disk that holds the set before is full.
    Disk,
}

#[tokio::test]
async fn a_connection_cut_at_each_step_is_taken_up_each_time() -> Done {
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
    let (told, cut) = tokio::join!(walk.workload.apply_by(&provider), cuts);
    cut?;
    assert_eq!(texts(&told?), "");
    assert_eq!(walk.look()?, Some(1 - walk.now));
    Ok(())
}

#[tokio::test]
async fn a_provider_killed_at_any_step_leaves_old_or_new() -> Done {
    Walk::new("walk-provider", Fault::Provider)
        .await?
        .walk()
        .await
}

#[tokio::test]
async fn a_provider_interrupted_at_any_step_leaves_old_or_new() -> Done {
    Walk::new("walk-stop", Fault::Stop).await?.walk().await
}

#[tokio::test]
async fn a_worker_killed_at_any_step_leaves_old_or_new() -> Done {
    Walk::new("walk-worker", Fault::Worker).await?.walk().await
}

#[tokio::test]
async fn a_vm_without_power_at_any_step_is_old_or_new_when_it_is_back() -> Done {
    Walk::new("walk-power", Fault::Power).await?.walk().await
}

#[tokio::test]
async fn a_vm_that_loses_its_page_cache_at_any_step_is_old_or_new_when_it_is_back() -> Done {
    Walk::new("walk-cache", Fault::PowerAndCache)
        .await?
        .walk()
        .await
}

#[tokio::test]
async fn a_disk_full_at_any_step_leaves_old_or_new() -> Done {
    Walk::new("walk-disk", Fault::Disk).await?.walk().await
}

/// A member of the mesh whose runs can be stopped at a step.
struct Walk {
    scenario: Scenario,
    workload: Workload,
    fault: Fault,
    /// How the VM looks with version `v1` and with `v2`.
    states: [String; 2],
    /// Which of them it is in.
    now: usize,
    /// From what an apply has converged: whether the VM was in the old state, and whether Terraform's was.
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
            // What was reported is on the disk.
            self.scenario.vm.lose_power()?;
            blocking(&self.scenario.vm, ENDED).await?;
            assert_eq!(self.look()?, Some(self.now));
        }
        Ok(())
    }

    /// Makes the next run stop at a step, or at `each`; it is to bootstrap with the other version.
    fn begin(&mut self, at: &str) -> Done {
        // On the disk as well: it is no part of what a power cut takes.
        let script = format!("cd /var/tmp/walk && rm -f reached go && echo {at} >at && sync");
        self.scenario.vm.shell(&script)?;
        self.workload.config["labels"]["version"] = version(1 - self.now);
        Ok(())
    }

    /// Bootstraps with the other version, breaks that at the step, and looks at the VM. Unless the VM and Terraform's
    /// state are as they were, an apply has to converge from what they are now; once for each such pair.
    async fn broken(&mut self, step: &str) -> Done {
        self.begin(step)?;
        let before = self.workload.state.clone();
        let provider = self.workload.provider().await?;
        let (told, struck) = tokio::join!(
            self.workload.apply_by(&provider),
            self.fault.strike(&self.scenario.vm, &provider)
        );
        assert_eq!(struck?, step);
        drop(provider);
        let killed = self.fault.kills_the_provider(step);
        let said = match told {
            Ok(told) => texts(&told),
            Err(error) if killed => error.to_string(),
            Err(error) => return Err(error),
        };
        if killed {
            // Terraform writes the state of before when a plugin dies.
            self.workload.state.clone_from(&before);
        }
        let vm = &self.scenario.vm;
        blocking(vm, ENDED).await?;
        let at = self.look()?;
        // Who was told of a failure has the old state; a provider that is gone cannot tell.
        let gone = killed || self.fault == Fault::Stop;
        let told_so = said.is_empty() == (at != Some(self.now)) || gone;
        if at.is_none() || !told_so {
            let lines = differing(&self.states[self.now], &state(vm)?);
            return Err(Failure::new(format!(
                "the VM is {at:?} and {said:?} is told; from old to found:\n{lines}"
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

    /// Applies, which has to succeed.
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

    /// Returns which of the two states the VM is in, if it is in one.
    fn look(&self) -> Result<Option<usize>> {
        let found = state(&self.scenario.vm)?;
        Ok(self.states.iter().position(|state| *state == found))
    }
}

impl Fault {
    /// Whether nobody comes back to ask what became of the run that stopped at the step.
    fn kills_the_provider(self, step: &str) -> bool {
        let at = STEPS.iter().position(|one| *one == step);
        let power = matches!(self, Self::Power | Self::PowerAndCache);
        self == Self::Provider || power && at.is_some_and(|at| at % 4 != 3)
    }

    /// Breaks the run that stops at a step, lets what is left of it go on, and returns the step.
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
                // A session is two processes, and one may end with the other.
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

/// What the disk is formatted with where the power is cut for real: `MESH_BED_FILE_SYSTEM`, such as `xfs`, or ext4.
fn file_system() -> String {
    std::env::var("MESH_BED_FILE_SYSTEM").unwrap_or_else(|_| "ext4".to_owned())
}

/// Lets each run on the VM end its program with this text.
///
/// What it defines takes the place of functions of the program: one that is not there ends the program.
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

/// Runs a script that waits, while everything else goes on.
async fn blocking(vm: &Machine, script: &'static str) -> Result<String> {
    let vm = vm.clone();
    let waited = tokio::task::spawn_blocking(move || vm.shell(script)).await;
    Ok(waited.map_err(|error| Failure::new(error.to_string()))??)
}

async fn apply(workload: &mut Workload, at: usize) -> Done {
    workload.config["labels"]["version"] = version(at);
    match texts(&workload.apply().await?) {
        told if told.is_empty() => Ok(()),
        told => Err(Failure::new(format!("the apply says {told}"))),
    }
}

fn version(at: usize) -> serde_json::Value {
    json!(["v1", "v2"][at])
}

fn state(vm: &Machine) -> Result<String> {
    Ok(vm.shell(STATE)?)
}

/// Returns the lines of one that the other has not, and the other way round.
fn differing(wanted: &str, found: &str) -> String {
    let less = wanted.lines().filter(|line| !found.contains(line));
    let more = found.lines().filter(|line| !wanted.contains(line));
    let signed = less
        .map(|line| format!("- {line}"))
        .chain(more.map(|line| format!("+ {line}")));
    signed.collect::<Vec<_>>().join("\n")
}
