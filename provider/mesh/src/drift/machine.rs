//! Differences of the VM, except its files, that a bootstrap repairs.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::expectations::Expectations;
use super::finding::{Finding, HOSTS, ISTIOD_LINE, What};
use super::findings::{Findings, pair, plain};
use crate::cause::Cause;
use crate::desired::{Bundle, Owner};
use crate::observed::{ObservedVm, SeenRuntime, UnitState};
use crate::workload::{Interception, Proxy};

pub(super) fn compare(
    bundle: &Bundle,
    vm: &ObservedVm,
    expected: &Expectations<'_>,
    lines: &mut Findings,
) {
    if let Some(step) = &vm.unfinished {
        lines.because(None);
        lines.push(Finding::stopped_at(&plain(step)));
    }
    lines.because(Cause::Machine);
    let known = expected.machine_id;
    if let Some(known) = known.filter(|known| !vm.machine_id.is_empty() && *known != vm.machine_id)
    {
        let (is, was) = pair(&vm.machine_id, known);
        lines.say(&format!("another machine: its id is {is}, it was {was}"));
    }
    owner(&bundle.owner, vm.owner.as_ref(), lines);
    lines.because(Cause::Mesh);
    hosts(bundle.hosts_line.as_ref(), &vm.hosts_lines, lines);
    lines.because(Cause::Proxy);
    runtime(&bundle.proxy, &vm.runtime, expected.version, lines);
    for path in &vm.changed {
        lines.say(&format!("{} is not as the bootstrap left it", plain(path)));
    }
    unit(&vm.runtime.unit, lines);
    rules(bundle.proxy.interception, vm, lines);
    lines.because(Cause::Certificate);
    if let Some((begin, end)) = vm.certificate {
        certificate(begin, end, expected, lines);
    }
}

/// Compares the workload certificate. The proxy renews it halfway through its lifetime, and needs it or a token to
/// authenticate to istiod.
fn certificate(
    begin: Timestamp,
    end: Timestamp,
    expected: &Expectations<'_>,
    lines: &mut Findings,
) {
    // An earlier time would require a bootstrap whose certificate lasts no longer.
    let latest = end.duration_since(begin).unsigned_abs() / 2;
    if end <= expected.now {
        lines.say(&format!("the workload's certificate expired at {end}"));
    } else if end.duration_since(expected.now).unsigned_abs() <= expected.rotate_before.min(latest)
    {
        lines.say(&format!(
            "the workload's certificate ends at {end} and was not renewed"
        ));
    }
}

/// Compares the owner of the proxy. A recreated entry has a new UID, and istiod reports on it only after the proxy has
/// reconnected, so a missing entry is repaired with a bootstrap in the same apply.
fn owner(desired: &Owner, seen: Option<&Owner>, lines: &mut Findings) {
    let id = &desired.id;
    match seen {
        None => lines.add(
            None,
            "the mark of who owns the proxy",
            What::Missing { should: None },
        ),
        Some(seen) if seen.id != desired.id => {
            lines.say(&format!("the proxy belongs to {}", seen.id));
        }
        Some(_) if desired.uid.is_empty() => {
            lines.because(None).push(Finding::no_entry(id));
        }
        Some(seen) if seen.uid != desired.uid => {
            lines.push(Finding::earlier_entry(id));
        }
        Some(_) => {}
    }
}

/// Returns the finding of a VM with an unexpected host key. The machine may have been rebuilt at the same address; then
/// the user can bootstrap it with its new key.
pub(super) fn unexpected_host_key() -> Finding {
    let text = "the host key is not the expected one, as of a machine that was rebuilt";
    Finding::sentence(Some(Cause::Machine), text)
}

fn hosts(desired: Option<&String>, seen: &[String], lines: &mut Findings) {
    let is = (!seen.is_empty()).then(|| seen.join("; "));
    if is.as_ref() != desired {
        let should = desired.map(String::as_str);
        lines.compare(Some(HOSTS), ISTIOD_LINE, is.as_deref(), should);
    }
}

fn runtime(desired: &Proxy, seen: &SeenRuntime, version: Option<&str>, lines: &mut Findings) {
    if seen.kind != desired.runtime {
        let [is, should] = [seen.kind, desired.runtime].map(|kind| kind.to_string());
        lines.compare(None, "the runtime", Some(&is), Some(&should));
        return;
    }
    // If there is no container, its unit does not run, which is reported separately.
    if let (Some(is), Some(should)) = (&seen.image, &desired.image)
        && *is != should.to_string()
    {
        lines.compare(None, "image", Some(is), Some(&should.to_string()));
    }
    let is_chosen = desired.install.is_some() || desired.version.is_some();
    if is_chosen && version.is_some() && seen.version.as_deref() != version {
        lines.compare(
            None,
            "package istio-sidecar",
            seen.version.as_deref(),
            version,
        );
    }
}

/// Compares the unit. A unit that keeps restarting is "activating": the files on the VM are not the reason, and a
/// bootstrap would not repair it.
fn unit(seen: &UnitState, lines: &mut Findings) {
    if seen.active.is_empty() && seen.enabled.is_empty() {
        lines.add(None, "the unit istio", What::Missing { should: None });
        return;
    }
    if !matches!(seen.active.as_str(), "active" | "activating" | "reloading") {
        lines.compare(None, "the unit istio", Some(&seen.active), Some("active"));
    }
    if seen.enabled != "enabled" {
        lines.compare(None, "the unit istio", Some(&seen.enabled), Some("enabled"));
    }
}

/// Maximum number of jumps in a line. A machine normally has fewer.
const MOST_JUMPS: usize = 16;

/// Compares the interception rules. Only a jump to a chain with rules counts: a chain alone intercepts nothing.
fn rules(interception: Interception, vm: &ObservedVm, lines: &mut Findings) {
    let runs = vm.runtime.ready && vm.runtime.unit.active == "active";
    let inbound_table = match interception {
        Interception::None => {
            let found = intercepting_tables(vm).join(", ");
            if !found.is_empty() {
                lines.say(&format!(
                    "traffic is intercepted by rules in {found}, and should not be"
                ));
            }
            return;
        }
        _ if !runs => return,
        Interception::Redirect => "nat",
        Interception::Tproxy => "mangle",
    };
    // Istio's agent creates rules for IPv4 on every machine.
    let has_jump = |start: &str| {
        let of_ipv4 = |jump: &&String| !jump.starts_with('6');
        let mut jumps = vm.jumps.iter().filter(of_ipv4);
        jumps.any(|jump| jump.contains(start))
    };
    let outbound = has_jump("/nat/OUTPUT/ISTIO_");
    let inbound = has_jump(&format!("/{inbound_table}/PREROUTING/ISTIO_"));
    match (outbound, inbound) {
        (false, false) => lines.push(Finding::not_intercepted("traffic")),
        (true, false) => {
            lines.push(Finding::not_intercepted("inbound traffic"));
        }
        (false, true) => {
            lines.push(Finding::not_intercepted("outbound traffic"));
        }
        (true, true) if !vm.lost_jumps.is_empty() => {
            let jumps = vm.lost_jumps.iter().take(MOST_JUMPS);
            let (moved, gone): (Vec<_>, Vec<_>) = jumps.partition(|jump| is_moved(jump));
            for (what, jumps) in [("gone", gone), ("out of order", moved)] {
                let descriptions: Vec<_> = jumps.into_iter().map(|jump| describe(jump)).collect();
                if !descriptions.is_empty() {
                    lines.say(&format!("rules are {what}: {}", descriptions.join(", ")));
                }
            }
        }
        (true, true) => {}
    }
}

/// Returns each `backend/table` once, e.g. `nft/nat`.
fn intercepting_tables(vm: &ObservedVm) -> Vec<String> {
    let of_istio = |jump: &&String| jump.contains("/ISTIO_");
    let table = |jump: &String| {
        let words: Vec<_> = jump.split('/').take(2).collect();
        plain(&words.join("/"))
    };
    let tables: BTreeSet<_> = vm.jumps.iter().filter(of_istio).map(table).collect();
    tables.into_iter().take(MOST_JUMPS).collect()
}

/// Returns true for `4/nat/PREROUTING/DOCKER/ISTIO_INBOUND`: both jumps exist, but in the wrong order.
fn is_moved(jump: &str) -> bool {
    jump.split('/').count() == 5
}

/// Describes `4/nat/OUTPUT/ISTIO_OUTPUT`, and `4/nat/PREROUTING/DOCKER/ISTIO_INBOUND`.
fn describe(jump: &str) -> String {
    match jump.split('/').collect::<Vec<_>>()[..] {
        [family @ ("4" | "6"), table, from, to] => format!(
            "IPv{family} {}, {} to {}",
            plain(table),
            plain(from),
            plain(to)
        ),
        [family @ ("4" | "6"), table, from, first, second] => format!(
            "IPv{family} {}, {} to {} should come before {}",
            plain(table),
            plain(from),
            plain(first),
            plain(second)
        ),
        _ => plain(jump),
    }
}
