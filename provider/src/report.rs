//! What the remote program reports, as diagnostics: which hop failed, and what to do about it.

use plugin::Diagnostic;
use vm::program::Report;

use crate::diagnose::{coded, said};

pub(crate) fn reverted(step: &str, hop: Option<&str>, lines: &[String]) -> Diagnostic {
    let (cause, next) = hint(hop.unwrap_or(step));
    let said = said(lines);
    Diagnostic::error(
        format!("The VM could not be bootstrapped: {}", hop.unwrap_or(step)),
        coded(
            "vm-reverted",
            &format!(
                "The step \"{step}\" failed at {cause}; the VM is as it was before. {next}{said}"
            ),
        ),
    )
    .at("ssh")
}

/// Returns what a hop is, and what to do about it.
fn hint(hop: &str) -> (&str, &str) {
    match hop {
        "dns" => (
            "the name of the control plane",
            "Set istio.control_plane_address, or make the VM's DNS resolve it.",
        ),
        "control-plane" => (
            "the connection to istiod",
            "Open port 15012 from the VM to the control plane.",
        ),
        "tls-name" => (
            "the name in istiod's certificate",
            "Add the name that the VM uses to the certificate (ISTIOD_CUSTOM_HOST in istiod's environment), or \
             set istio.control_plane_san to a name in the certificate. istio.revision is part of both names.",
        ),
        "trust-root" => (
            "the mesh's root certificate",
            "Check the ConfigMap istio-ca-root-cert of the namespace.",
        ),
        "clock" => (
            "the VM's clock",
            "Synchronize it: certificates are valid only for a limited time.",
        ),
        "ask" | "token" => (
            "the token",
            "Check that istiod may create TokenReviews and that the audience is istio-ca.",
        ),
        "service-account" => (
            "the service account",
            "Check that it exists in the workload's namespace.",
        ),
        "sudo" => (
            "switching to the proxy's user",
            "Install setpriv (util-linux) on the VM, or allow root to run commands as istio-proxy with sudo -E and \
             without a terminal.",
        ),
        "runtime" => (
            "the container engine",
            "Install the engine of proxy.runtime on the VM and start it, or set proxy.runtime to \"systemd\".",
        ),
        "package" | "install" => (
            "the package",
            "Set proxy.install or proxy.version, or install Istio's package on the VM: the control plane's version is \
             unknown or not a release of Istio's, or the VM has no curl or GNU wget.",
        ),
        "stage" => (
            "the preparation",
            "See the lines below. Check that /var/lib is writable, that proxy.install's url and sha256 or proxy.image \
             are right, and that the VM can reach that address and may pull.",
        ),
        "address" => (
            "the VM's addresses",
            "The WorkloadEntry named below has one of them, and istiod would confuse the two. Remove the entry, or \
             remove the address from the VM.",
        ),
        "ports" => (
            "the proxy's own ports",
            "Stop the program on the VM that listens on them. With interception \"none\", the proxy also listens on \
             127.0.0.1 for each service in sidecar.egress_hosts: list fewer, or none with \"~/*\".",
        ),
        "verdict" => (
            "the new rules, through which no new SSH connection came in time",
            "If sshd listens on an unusual port, add it to proxy.exclude_inbound_ports.",
        ),
        "disk" => ("the disk", "Free disk space on the VM."),
        "state" => (
            "the folder with the bootstrap's state, which users other than root may have written to",
            "Run the command below on the VM.",
        ),
        other => (other, "See the lines below."),
    }
}

/// Tells that the VM belongs to another workload.
pub(crate) fn foreign(owner: &mesh::desired::Owner) -> Diagnostic {
    Diagnostic::error(
        "The VM belongs to another workload",
        coded(
            "vm-foreign",
            &format!("Its proxy was bootstrapped for {}. Destroy that workload first, or use another VM.", owner.id),
        ),
    )
    .at("ssh.host")
}

/// Tells that somebody else works on the VM.
pub(crate) fn busy(run: &str, verb: &str) -> Diagnostic {
    Diagnostic::error(
        "Another run is working on the VM",
        coded(
            "vm-busy",
            &format!(
                "The run {run} ({verb}) did not finish in time. Apply again when it has finished."
            ),
        ),
    )
    .at("ssh.host")
}

pub(crate) fn lost() -> Diagnostic {
    Diagnostic::error(
        "The VM was restarted during the bootstrap",
        coded(
            "vm-lost",
            "Nothing was changed before the restart. Apply again.",
        ),
    )
    .at("ssh")
}

/// Tells that a run ended within, and that it could not be undone.
pub(crate) fn halfway(step: &str, lines: &[String]) -> Diagnostic {
    Diagnostic::error(
        "The VM is partly changed and could not be restored",
        coded(
            "vm-halfway",
            &format!(
                "The run ended in the step \"{step}\" and could not be undone. Find the cause on the VM (memory, \
                 disk, the lines below), then apply again: the next run first undoes what is left of this one.{}",
                said(lines)
            ),
        ),
    )
    .at("ssh")
}

/// Warns that what the VM was sent is kept on it.
pub(crate) fn recorded() -> Diagnostic {
    Diagnostic::warning(
        "The VM's sudo records the token",
        coded(
            "sudo-log",
            "sudo on the VM records its input (log_input), so the proxy's token stays below /var/log/sudo-io until \
             someone removes it. Exempt the user with `Defaults:USER !log_input`, or log in as root.",
        ),
    )
    .at("ssh.user")
}

/// Warns that the VM says of itself what cannot be.
pub(crate) fn strange(what: &[&str]) -> Diagnostic {
    let text = format!(
        "The VM reported a value in an invalid form: {}. It is not written to the state. Check on the VM whether the \
         program was disturbed, or whether someone changed what it reads (/etc/machine-id, the package manager, the \
         network tools).",
        what.join(", ")
    );
    Diagnostic::warning("The VM's answer does not fit", coded("vm-answer", &text)).at("ssh.host")
}

/// Warns that the proxy does not see what comes and goes over IPv6.
pub(crate) fn bypassed(address: &str) -> Diagnostic {
    Diagnostic::warning(
        "IPv6 traffic bypasses the proxy",
        coded(
            "not-intercepted",
            &format!(
                "The VM has the address {address}, and Istio created its rules for IPv4 only, as it does if a \
                 machine's first address is an IPv4 address. In a dual-stack mesh, set env = {{ ISTIO_DUAL_STACK = \
                 \"true\" }}. Otherwise, remove IPv6 from the VM."
            ),
        ),
    )
    .at("proxy.interception")
}

/// Tells that what a container's ports take is past the proxy.
pub(crate) fn published(ports: &str) -> Diagnostic {
    let text = format!(
        "The VM forwards the ports {} elsewhere, as Docker and Podman do for a container that publishes them. This \
         happens before Istio's rules, so neither mutual TLS nor a policy applies to them. Publish them on 127.0.0.1 \
         and offer them in services, with app_port.",
        ports.trim().replace(' ', ", ")
    );
    Diagnostic::warning(
        "Ports of containers bypass the proxy",
        coded("ports-bypass", &text),
    )
    .at("proxy.interception")
}

/// Whether a removal that stopped at a step left the proxy running: one that cannot be stopped is started again.
pub(crate) fn is_before_the_end(step: &str) -> bool {
    matches!(step, "" | "launch" | "stop")
}

/// Tells that the proxy could not be removed.
pub(crate) fn not_removed(step: &str, lines: &[String]) -> Diagnostic {
    let at = if step.is_empty() { "start" } else { step };
    let traffic = if is_before_the_end(step) {
        "The proxy is still running, and the VM keeps its traffic."
    } else {
        "The VM was drained before, so it receives no traffic from the mesh until the next apply."
    };
    let said = said(lines);
    Diagnostic::error(
        "The proxy could not be removed from the VM",
        coded(
            "vm-not-removed",
            &format!(
                "The removal stopped at the step \"{at}\". {traffic} Fix the error below on the VM, then destroy \
                 again. To leave the VM unchanged, set on_destroy = \"keep\", apply, and destroy.{said}"
            ),
        ),
    )
    .at("ssh")
}

/// Tells of an answer to another question.
pub(crate) fn unexpected(report: &Report) -> Diagnostic {
    let kind = format!("{report:?}");
    let kind = kind.split([' ', '(', '{']).next().unwrap_or_default();
    Diagnostic::error(
        "The VM's answer does not fit",
        coded(
            "vm-answer",
            &format!("The program answered {kind}. Please report this."),
        ),
    )
}
