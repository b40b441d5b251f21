//! Measures a hundred simultaneous sessions with VMs: the memory of the provider and of its ssh processes.
//!
//! A bed has fewer VMs. The state therefore has several copies of each workload, so that a refresh connects to a VM
//! several times at once. A gate on the VMs holds back the responses until all sessions are open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::{Done, Failure, Result};
use bed::{Bed, Vm};
use serde_json::{Value, json};

use super::process::{processes, resident};
use crate::terraform::Terraform;

/// Number of open sessions.
pub(super) const SESSIONS: usize = 100;

/// Timeout for opening them, after which the gate also opens by itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// Wrapper of gzip, which unpacks the program, that appends our text.
const GZIP: &str = "#!/bin/sh\n/usr/bin/gzip \"$@\" && cat /var/tmp/gate\n";
const GATE: &str =
    "unit() { await 60 [ -e /var/tmp/open ]; systemctl cat istio.service >/dev/null 2>&1; }\n";

/// VMs by name, as in the configuration.
pub(super) type Vms = BTreeMap<String, Value>;

/// Measurements while all sessions are open.
pub(super) struct Open {
    /// Resident memory of the provider in KiB.
    pub(super) kib: u64,
    /// Memory of its child processes in KiB; shared memory is counted once.
    pub(super) ssh_kib: u64,
    /// Number of child processes.
    pub(super) ssh: usize,
}

/// Refreshes the applied workloads, [`SESSIONS`] at once, and restores state and variables afterwards.
///
/// # Errors
/// Fails if not all sessions are open in time; otherwise returns Terraform's errors.
pub(super) fn measure(
    bed: &Bed,
    provider: &Path,
    terraform: &mut Terraform,
    vms: &Vms,
) -> Result<Open> {
    let state = terraform.state()?;
    let names: Vec<_> = vms.keys().collect();
    let of = |at: usize| (names[at % names.len()], format!("many-{at}"));
    let copies = (0..SESSIONS).map(|at| (of(at).1, vms[of(at).0].clone()));
    terraform.set("vms", json!(copies.collect::<Vms>()))?;
    terraform.set_state(&several(&state, (0..SESSIONS).map(of)))?;
    for vm in &bed.vms {
        vm.write("/var/tmp/gate", GATE.as_bytes())?;
        vm.write("/usr/local/bin/gzip", GZIP.as_bytes())?;
        vm.shell("chmod +x /usr/local/bin/gzip")?;
    }
    eprintln!("bench: refreshes at once: {SESSIONS}");
    let measured = thread::scope(|scope| {
        let plan = scope.spawn(|| terraform.plan_at_once(SESSIONS));
        let open = all_open(&bed.vms).map(|()| look(provider));
        // Also after a failure, because Terraform waits for them.
        let let_go: Done = bed
            .vms
            .iter()
            .try_for_each(|vm| Ok(vm.shell("touch /var/tmp/open").map(drop)?));
        let plan = plan.join();
        let plan = plan.map_err(|_| Failure::new("the plan panicked"))??;
        let_go?;
        match plan {
            None => open,
            Some(plan) => Err(Failure::new(format!("the plan should be empty:\n{plan}"))),
        }
    });
    terraform.set_state(&state)?;
    terraform.set("vms", json!(vms))?;
    measured
}

/// Returns the state with other instances, which are copies of the existing ones under other keys.
fn several<'a>(state: &Value, keys: impl Iterator<Item = (&'a String, String)>) -> Value {
    let all = state["resources"][0]["instances"].as_array();
    let all = all.map(Vec::as_slice).unwrap_or_default();
    let copies = keys.filter_map(|(name, key)| {
        let mut copy = all.iter().find(|of| of["index_key"] == **name)?.clone();
        copy["index_key"] = key.into();
        Some(copy)
    });
    let mut state = state.clone();
    state["resources"][0]["instances"] = copies.collect();
    state
}

/// Waits until the program of each session runs.
fn all_open(vms: &[Vm]) -> Done {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut come = 0;
        for vm in vms {
            let count =
                vm.shell("find /run/mesh-vm -maxdepth 1 -name 'in.*' 2>/dev/null | wc -l")?;
            come += count.trim().parse::<usize>().unwrap_or_default();
        }
        if come >= SESSIONS {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Failure::new(format!(
                "{come} of {SESSIONS} sessions are open"
            )));
        }
    }
}

fn look(provider: &Path) -> Open {
    let text = |of: u32, file: &str| fs::read_to_string(format!("/proc/{of}/{file}")).ok();
    let own = processes(provider);
    let size = |of: &u32| resident(&text(*of, "status")?);
    let started = descendants(&own);
    let shares = started
        .iter()
        .filter_map(|of| share(&text(*of, "smaps_rollup")?));
    Open {
        kib: own.iter().filter_map(size).max().unwrap_or_default(),
        ssh_kib: shares.sum(),
        ssh: started.len(),
    }
}

/// Returns a process's proportional share of memory in KiB, from `/proc/PID/smaps_rollup`.
fn share(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Returns all descendants of processes.
fn descendants(of: &[u32]) -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: BTreeMap<u32, u32> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
    let mut found = BTreeSet::new();
    let mut last: Vec<u32> = of.into();
    while !last.is_empty() {
        let next = parents.iter().filter(|(_, parent)| last.contains(parent));
        last = next
            .map(|(id, _)| *id)
            .filter(|id| found.insert(*id))
            .collect();
    }
    found
}

fn parent(id: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn descendants_are_found_and_their_share_of_memory_is_read() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 60 & echo $!; read -r line; kill $!"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        let started = descendants(&[child.id()]);
        let below = descendants(&[std::process::id()]);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(started, [line.trim().parse().unwrap()].into());
        assert!(below.is_superset(&started));
        assert_eq!(share("Rss:  900 kB\nPss:   12 kB\n"), Some(12));
    }

    #[test]
    fn a_state_with_one_instance_becomes_one_with_several() {
        let instance = |key| json!({ "index_key": key, "attributes": { "name": "vm-1" } });
        let state =
            |instances: Value| json!({ "serial": 1, "resources": [{ "instances": instances }] });
        let name = "vm-1".to_owned();
        let keys = ["a", "b"].map(|key| (&name, key.to_owned()));
        let copied = several(&state(json!([instance("vm-1")])), keys.into_iter());
        assert_eq!(copied, state(json!([instance("a"), instance("b")])));
    }
}
