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
            "Set istio.control_plane_address, or let the VM's DNS know it.",
        ),
        "control-plane" => (
            "the connection to istiod",
            "Open port 15012 from the VM to the control plane.",
        ),
        "tls-name" => (
            "the name in istiod's certificate",
            "Let the certificate carry the name that istiod is called by (ISTIOD_CUSTOM_HOST in istiod's environment), \
             or say by istio.control_plane_san which name it carries; istio.revision makes a part of both.",
        ),
        "trust-root" => (
            "the mesh's trust root",
            "Look at the ConfigMap istio-ca-root-cert of the namespace.",
        ),
        "clock" => (
            "the VM's clock",
            "Synchronize it: certificates are valid in time only.",
        ),
        "ask" | "token" => (
            "the token",
            "Look whether istiod may review tokens, and at its audience.",
        ),
        "service-account" => (
            "the service account",
            "Look whether it exists in the workload's namespace.",
        ),
        "sudo" => (
            "the change to the proxy's user",
            "Install setpriv of util-linux on the VM, or let root run commands as istio-proxy by sudo, without a terminal \
             and with -E.",
        ),
        "runtime" => (
            "the container engine",
            "Install the engine of proxy.runtime on the VM and let it run, or set proxy.runtime to \"systemd\".",
        ),
        "package" | "install" => (
            "the package",
            "Set proxy.install or proxy.version, or install Istio's package on the VM: nothing says of which version of Istio's \
             releases the control plane is, or the VM has no curl or GNU wget.",
        ),
        "stage" => (
            "what it needs first",
            "See below; check that /var/lib is writable, proxy.install's url and sha256 or proxy.image, and that \
             the VM reaches that address and may pull.",
        ),
        "address" => (
            "the VM's addresses",
            "The WorkloadEntry named below has one of them, and istiod would take the VM for that one: remove the \
             entry, or the address from the VM.",
        ),
        "ports" => (
            "the proxy's own ports",
            "Stop what listens on them on the VM. With interception \"none\" the proxy also listens on 127.0.0.1 for \
             each service that sidecar.egress_hosts lets in: name fewer, or none by \"~/*\".",
        ),
        "verdict" => (
            "the new rules, through which no new SSH connection came in time",
            "Add sshd's port to proxy.exclude_inbound_ports if it is an unusual one.",
        ),
        "disk" => ("the disk", "Make room on the VM."),
        "state" => (
            "the folder in which the VM keeps what a bootstrap found and left, which others than root may have written",
            "Run on the VM the command that is given below.",
        ),
        other => (other, "See the lines below."),
    }
}

/// Tells that the VM belongs to another workload.
pub(crate) fn foreign(owner: &mesh::Owner) -> Diagnostic {
    Diagnostic::error(
        "The VM belongs to another workload",
        coded(
            "vm-foreign",
            &format!("Its proxy was bootstrapped for {}. Destroy that workload first, or name another VM.", owner.id),
        ),
    )
    .at("ssh.host")
}

/// Tells that somebody else works on the VM.
pub(crate) fn busy(run: &str, verb: &str) -> Diagnostic {
    Diagnostic::error(
        "Another run works on the VM",
        coded(
            "vm-busy",
            &format!("The run {run} ({verb}) did not end in time. Apply again when it has."),
        ),
    )
    .at("ssh.host")
}

pub(crate) fn lost() -> Diagnostic {
    Diagnostic::error(
        "The VM forgot the bootstrap",
        coded(
            "vm-lost",
            "It was restarted before anything was changed. Apply again.",
        ),
    )
    .at("ssh")
}

/// Tells that a run ended within, and that it could not be undone.
pub(crate) fn halfway(step: &str, lines: &[String]) -> Diagnostic {
    Diagnostic::error(
        "The VM is changed in part",
        coded(
            "vm-halfway",
            &format!(
                "The run ended in the step \"{step}\" and could not be undone. Look what stands in its way on the VM \
                 (memory, disk, what is said below), then apply again: the next run undoes it first.{}",
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
            "sudo on the VM keeps what is sent to it (log_input), so the proxy's token is below /var/log/sudo-io until \
             somebody removes it. Exempt the user: `Defaults:USER !log_input`, or log in as root.",
        ),
    )
    .at("ssh.user")
}

/// Warns that the VM says of itself what cannot be.
pub(crate) fn strange(what: &[&str]) -> Diagnostic {
    let text = format!(
        "What it gives as its {} has not the form of one, so the state has none. Look on the VM whether the program was \
         disturbed, or somebody changed what it asks (/etc/machine-id, the package manager, the network's tools).",
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
                "The VM has the address {address}, and Istio made its rules for IPv4 only, as it does where a machine's first \
                 address is one of IPv4. Set env = {{ ISTIO_DUAL_STACK = \"true\" }}, if the mesh is a dual-stack one, or take \
                 IPv6 from the VM."
            ),
        ),
    )
    .at("proxy.interception")
}

/// Tells that what a container's ports take is past the proxy.
pub(crate) fn published(ports: &str) -> Diagnostic {
    let text = format!(
        "The VM forwards the ports {} elsewhere, as Docker and Podman do for a container that publishes them: that comes \
         before Istio's rules, so neither mutual TLS nor a policy applies to them. Publish them on 127.0.0.1 and offer \
         them in services, by app_port.",
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
        "The proxy runs on, and the VM has its traffic."
    } else {
        "Its entry was withdrawn before, so the VM takes no traffic of the mesh until it is applied again."
    };
    let said = said(lines);
    Diagnostic::error(
        "The proxy could not be removed from the VM",
        coded(
            "vm-not-removed",
            &format!(
                "The removal stopped at the step \"{at}\". {traffic} Mend on the VM what is said below and destroy again; to \
                 leave the VM as it is, set on_destroy = \"keep\", apply, and destroy.{said}"
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
