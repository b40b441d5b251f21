//! What the outputs say of the mesh, beside what the cluster says by now.

use mesh::drift::Finding;
use mesh::source;
use plugin::Value;

use super::output::WorkloadOutput;

/// Returns a finding for each fact that is another one by now than the outputs say. Terraform accepts no other value
/// than the planned one, so an apply may leave an older one.
pub(crate) fn drift(before: &WorkloadOutput, now: &WorkloadOutput) -> Vec<Finding> {
    let pairs = named(before).into_iter().zip(named(now));
    pairs
        .filter(|((_, is), (_, should_be))| is != should_be)
        .filter_map(|((name, is), (_, should_be))| {
            Some(mesh::drift::of_fact(name, is.known()?, should_be.known()?))
        })
        .collect()
}

/// Puts these in the place of those of an earlier look, before what differs on the VM.
pub(crate) fn note(findings: &mut Vec<Finding>, before: &WorkloadOutput, now: &WorkloadOutput) {
    findings.retain(|finding| !source::is_fact(finding));
    findings.splice(0..0, drift(before, now));
}

fn named(output: &WorkloadOutput) -> [(&'static str, &Value<String>); 4] {
    [
        ("revision", &output.revision),
        ("cluster_id", &output.cluster_id),
        ("trust_domain", &output.trust_domain),
        ("control_plane", &output.control_plane),
    ]
}
