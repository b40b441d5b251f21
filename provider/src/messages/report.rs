//! Reports of the remote program as diagnostics: which hop failed, and what to do about it.

use plugin::Diagnostic;
use vm::program::Report;

use super::{Code, Message};

/// Reports a bootstrap that failed and was undone.
pub(crate) fn reverted(step: &str, hop: Option<&str>, lines: &[String]) -> Diagnostic {
    let (cause, next) = hint(hop.unwrap_or(step));
    Message::new(Code::VmReverted)
        .about(hop.unwrap_or(step))
        .text(format!(
            "The step \"{step}\" failed at {cause}; the VM is as it was before. {next}"
        ))
        .lines(lines)
        .at("ssh")
        .error()
}

/// Returns the name of a hop in words, and what to do about it.
fn hint(hop: &str) -> (&str, &str) {
    match hop {
        "dns" => (
            "the name of the control plane",
            "Set istio.control_plane_address, or make the VM's DNS resolve it.",
        ),
        "hosts" => (
            "a line of the VM's hosts file, which takes the name of the control plane elsewhere",
            "Remove the name from that line, which the lines below show.",
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
        "settings" => (
            "the folder /etc/istio",
            "Run the command below on the VM: the proxy could not read its settings there.",
        ),
        "disk" => ("the disk", "Free disk space on the VM."),
        "state" => (
            "the folder with the bootstrap's state, which users other than root may have written to",
            "Run the command below on the VM.",
        ),
        other => at_authority(other)
            .or_else(|| of_token(other))
            .unwrap_or((other, "See the lines below.")),
    }
}

/// Returns the same of the token and what it stands for.
fn of_token(hop: &str) -> Option<(&str, &str)> {
    let hint = match hop {
        "ask" | "token" => (
            "the token",
            "Check that istiod may create TokenReviews and that the audience is istio-ca.",
        ),
        "token-command" => (
            "the token command",
            "Run proxy.token_command on the VM, as root: within a minute, it must print a token of the workload's \
             service account for the audience istio-ca, and nothing else.",
        ),
        "service-account" => (
            "the service account",
            "Check that it exists in the workload's namespace.",
        ),
        _ => return None,
    };
    Some(hint)
}

/// Returns the same of a hop at a certificate authority that is not istiod.
fn at_authority(hop: &str) -> Option<(&str, &str)> {
    let hint = match hop {
        "ca-dns" => (
            "the name of the certificate authority",
            "Make the VM's DNS resolve the name, or set istio.ca_address to an address that the VM can reach.",
        ),
        "ca" => (
            "the connection to the certificate authority",
            "Open the port from the VM to the address below. It comes from istio.ca_address, from CA_ADDR in the mesh \
             config's proxyMetadata, or from the chart's global.caAddress.",
        ),
        "ca-certificate" => (
            "the certificate of the certificate authority",
            "It must contain the host in the address below, and the root certificate that the proxy uses must have \
             signed it: the mesh's, or that of CA_ROOT_CA. istio-csr takes further names in \
             app.tls.certificateDNSNames.",
        ),
        "ca-token" => (
            "the token, at the certificate authority",
            "Check that the authority accepts tokens of the workload's service account for the audience istio-ca, and \
             that it knows the cluster by the same name as istiod (istio-csr: app.server.clusterID).",
        ),
        _ => return None,
    };
    Some(hint)
}

/// Reports a VM that belongs to another workload.
pub(crate) fn foreign(owner: &mesh::desired::Owner) -> Diagnostic {
    let text = format!(
        "Its proxy was bootstrapped for {}. Destroy that workload first, or use another VM.",
        owner.id
    );
    Message::new(Code::VmForeign)
        .text(text)
        .at("ssh.host")
        .error()
}

/// Reports a run that did not end in time.
pub(crate) fn busy(run: &str, verb: &str) -> Diagnostic {
    let text =
        format!("The run {run} ({verb}) did not finish in time. Apply again when it has finished.");
    Message::new(Code::VmBusy).text(text).at("ssh.host").error()
}

/// Reports a restart that lost a bootstrap.
pub(crate) fn lost() -> Diagnostic {
    Message::new(Code::VmLost)
        .text("Nothing was changed before the restart. Apply again.")
        .at("ssh")
        .error()
}

/// Reports a run that failed and could not be undone.
pub(crate) fn halfway(step: &str, lines: &[String]) -> Diagnostic {
    let text = format!(
        "The run ended in the step \"{step}\" and could not be undone. Find the cause on the VM (memory, disk, the \
         lines below), then apply again: the next run first undoes what is left of this one."
    );
    Message::new(Code::VmHalfway)
        .text(text)
        .lines(lines)
        .at("ssh")
        .error()
}

/// Warns that the VM keeps a record of the token.
pub(crate) fn recorded() -> Diagnostic {
    let text = "sudo on the VM records its input (log_input), so the proxy's token stays below /var/log/sudo-io until \
                someone removes it. Exempt the user with `Defaults:USER !log_input`, or log in as root.";
    Message::new(Code::SudoLog)
        .text(text)
        .at("ssh.user")
        .warning()
}

/// Warns of values that the VM reported in an invalid form.
pub(crate) fn invalid(what: &[&str]) -> Diagnostic {
    let text = format!(
        "The VM reported a value in an invalid form: {}. It is not written to the state. Check on the VM whether the \
         program was disturbed, or whether someone changed what it reads (/etc/machine-id, the package manager, the \
         network tools).",
        what.join(", ")
    );
    Message::new(Code::VmAnswer)
        .text(text)
        .at("ssh.host")
        .warning()
}

/// Warns that the proxy does not intercept IPv6 traffic.
pub(crate) fn bypassed(address: &str) -> Diagnostic {
    let text = format!(
        "The VM has the address {address}, and Istio created its rules for IPv4 only, as it does if a machine's first \
         address is an IPv4 address. In a dual-stack mesh, set env = {{ ISTIO_DUAL_STACK = \"true\" }}. Otherwise, \
         remove IPv6 from the VM."
    );
    Message::new(Code::NotIntercepted)
        .text(text)
        .at("proxy.interception")
        .warning()
}

/// Warns that traffic to published ports of containers bypasses the proxy.
pub(crate) fn published(ports: &str) -> Diagnostic {
    let text = format!(
        "The VM forwards the ports {} elsewhere, as Docker and Podman do for a container that publishes them. This \
         happens before Istio's rules, so neither mutual TLS nor a policy applies to them. Publish them on 127.0.0.1 \
         and offer them in services, with app_port.",
        ports.trim().replace(' ', ", ")
    );
    Message::new(Code::PortsBypass)
        .text(text)
        .at("proxy.interception")
        .warning()
}

/// Warns of the VM's own packet filter, which keeps pods from the proxy. `rules` are ports with the rule for each.
pub(crate) fn blocked(rules: &[String]) -> Diagnostic {
    let text = "The VM's rules redirect what pods send to its services to port 15006 of the proxy, before a firewall on \
                the VM sees it, and tunnels (HBONE) arrive at port 15008. The rules below drop all of it, so calls from \
                pods time out. Allow TCP to these ports from the pods' addresses; the services' own ports need not be \
                open on the VM. If the VM only makes calls, nothing needs to be done.";
    Message::new(Code::FirewallBlocks)
        .text(text)
        .lines(rules)
        .at("proxy.interception")
        .warning()
}

/// Returns whether a removal that stopped at a step left the proxy running: a proxy that cannot be stopped is started
/// again.
pub(crate) fn is_before_the_end(step: &str) -> bool {
    matches!(step, "" | "launch" | "stop")
}

/// Reports a proxy that could not be removed.
pub(crate) fn not_removed(step: &str, lines: &[String]) -> Diagnostic {
    let at = if step.is_empty() { "start" } else { step };
    let traffic = if is_before_the_end(step) {
        "The proxy is still running, and the VM keeps its traffic."
    } else {
        "The VM was drained before, so it receives no traffic from the mesh until the next apply."
    };
    let text = format!(
        "The removal stopped at the step \"{at}\". {traffic} Fix the error below on the VM, then destroy again. To \
         leave the VM unchanged, set on_destroy = \"keep\", apply, and destroy."
    );
    Message::new(Code::VmNotRemoved)
        .text(text)
        .lines(lines)
        .at("ssh")
        .error()
}

/// Reports an answer of another kind than the expected one.
pub(crate) fn unexpected(report: &Report) -> Diagnostic {
    let kind = format!("{report:?}");
    let kind = kind.split([' ', '(', '{']).next().unwrap_or_default();
    let text = format!("The program answered {kind}. Please report this.");
    Message::new(Code::VmAnswer).text(text).error()
}
