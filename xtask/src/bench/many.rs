//! Measures an apply with many VMs and with one VM: time and the provider's memory.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use acceptance_tests::{Failure, Result};
use bed::{Bed, Vm};
use serde_json::json;
use tempfile::TempDir;

use super::open::{self, Open, Vms};
use super::process::{processes, resident};
use crate::cargo::root;
use crate::terraform::Terraform;

/// Sampling interval of the provider's memory.
const LOOK: Duration = Duration::from_millis(20);

/// Cost of one apply.
pub(super) struct Cost {
    /// Duration of the apply, without plan and refresh.
    pub(super) took: Duration,
    /// Maximum resident memory of the provider in KiB.
    pub(super) kib: u64,
}

/// Cost of one VM and of all VMs of a bed.
pub(super) struct Costs {
    pub(super) one: Cost,
    pub(super) all: Cost,
    /// Memory while more sessions are open than the bed has VMs.
    pub(super) open: Open,
}

/// Bootstraps a bed's first VM and then all VMs at once, each time as a creation.
///
/// # Errors
/// Fails if the bed has no VM; otherwise returns Terraform's errors.
pub(super) fn measure(bed: &Bed, provider: &Path) -> Result<Costs> {
    let first = &bed.vms[..bed.vms.len().min(1)];
    // The first run is slower, because it warms caches.
    apply(bed, provider, first, |_, _| Ok(()))?;
    let (one, ()) = apply(bed, provider, first, |_, _| Ok(()))?;
    let (all, open) = apply(bed, provider, &bed.vms, |terraform, vms| {
        open::measure(bed, provider, terraform, vms)
    })?;
    Ok(Costs { one, all, open })
}

/// Bootstraps VMs, runs a function on the result, and destroys everything.
fn apply<T>(
    bed: &Bed,
    provider: &Path,
    vms: &[Vm],
    then: impl FnOnce(&mut Terraform, &Vms) -> Result<T>,
) -> Result<(Cost, T)> {
    let vm = vms
        .first()
        .ok_or_else(|| Failure::new("the bed has no VM"))?;
    let folder = TempDir::new()?;
    let source = root().join("xtask/src/bench/many");
    let mut terraform = Terraform::new(&source, folder.path().into(), bed, vm)?;
    let described = vms
        .iter()
        .map(|vm| {
            let described =
                json!({"name": vm.name, "address": vm.address, "host_key": vm.host_key});
            (vm.name.clone(), described)
        })
        .collect::<Vms>();
    terraform.set("vms", json!(described))?;
    terraform.plan()?;
    eprintln!("bench: bootstraps in one apply: {}", vms.len());
    let (applied, kib) = watched(provider, || terraform.apply_saved());
    let done =
        applied.and_then(|(_, took)| Ok((Cost { took, kib }, then(&mut terraform, &described)?)));
    // Also after a failure, so that the next run starts from nothing.
    let destroyed = terraform.destroy();
    let done = done?;
    destroyed?;
    Ok(done)
}

/// Runs a function and returns the maximum memory of the program's processes meanwhile.
fn watched<T>(program: &Path, work: impl FnOnce() -> T) -> (T, u64) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(memory(program));
                thread::sleep(LOOK);
            }
            most
        });
        let answer = work();
        done.store(true, Ordering::Relaxed);
        (answer, watch.join().unwrap_or_default())
    })
}

/// Returns the resident memory of the largest process of a program in KiB; 0 if none is running.
fn memory(program: &Path) -> u64 {
    let sizes = processes(program).into_iter();
    let size = |id| resident(&fs::read_to_string(format!("/proc/{id}/status")).ok()?);
    sizes.filter_map(size).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn memory_of_a_program_that_runs_is_seen_while_it_works() {
        let this = std::env::current_exe().unwrap();
        let (own, watched) = watched(&this, || {
            // Longer than the sampling interval.
            let begin = Instant::now();
            while begin.elapsed() < 10 * LOOK {}
            memory(&this)
        });
        assert!(own > 0 && watched > 0);
        assert_eq!(memory(Path::new("/no/such/program")), 0);
    }
}
