//! How the VM joins the mesh: over SSH, with an archive, or by other means.

use plugin::{Diagnostic, Diagnostics};

use super::input::WorkloadInput;
use crate::messages::{Code, Message};

/// Refuses two ways to join, and warns of none. What is unknown may be either.
pub(super) fn check(input: &WorkloadInput) -> Diagnostics {
    let mut problems = Diagnostics::none();
    let (ssh, bundle) = (input.ssh.known().is_some(), input.bundle.known().is_some());
    if ssh && bundle {
        problems.push(twice());
    }
    let is_meant = input.objects_only.known().copied();
    if is_meant == Some(true) {
        let ways = [("ssh", ssh), ("bundle", bundle)];
        let set = ways.into_iter().filter(|(_, is_set)| *is_set);
        problems.extend(set.map(|(way, _)| contradiction(way)));
    }
    let none = input.ssh.is_null() && input.bundle.is_null() && input.health_check.is_null();
    if none && is_meant != Some(true) && !input.objects_only.is_unknown() {
        problems.push(nothing());
    }
    problems
}

fn twice() -> Diagnostic {
    Message::new(Code::SshOrBundle)
        .text(
            "ssh and bundle are both set. With ssh, the apply bootstraps the VM; with bundle, you copy an archive to \
             it. Remove one of them.",
        )
        .at("bundle")
        .error()
}

fn contradiction(way: &str) -> Diagnostic {
    Message::new(Code::ObjectsOnly)
        .text(format!(
            "objects_only = true says that nothing is done on the VM, and {way} is set. Remove one of them."
        ))
        .at("objects_only")
        .error()
}

fn nothing() -> Diagnostic {
    Message::new(Code::NothingJoins)
        .text(
            "None of ssh, bundle and health_check is set, so the mesh sends traffic to a VM on which perhaps no proxy \
             runs. Set ssh or bundle. If the VM joins by other means, such as its user data, set objects_only = true.",
        )
        .at("ssh")
        .warning()
}
