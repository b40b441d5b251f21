//! Every error of ours as a diagnostic: what was observed, the cause, and the next step.

mod block;

use std::error::Error;

use cluster::ClusterError;
use mesh::change::Problem;
use mesh::plain;
use plugin::{Diagnostic, Diagnostics, Paths};
use vm::{KeyError, VmError};

pub(crate) use block::kubernetes_block;

/// Characters that a diagnostic has of what others say.
const LONGEST: usize = 8000;
/// Characters of one line of it.
const LONGEST_LINE: usize = 400;
/// Lines of it.
const MOST_LINES: usize = 40;

/// Tells what is wrong with a workload; what concerns unknown values is dropped.
pub(crate) fn problems(problems: Vec<Problem>, unknown: &Paths) -> Diagnostics {
    problems
        .into_iter()
        .filter(|problem| !problem.concerns.iter().any(|path| unknown.is_unknown(path)))
        .map(|problem| {
            let told = Diagnostic::error("Invalid workload", rule(&problem));
            match problem.concerns.first() {
                Some(path) => told.at(path),
                None => told,
            }
        })
        .collect()
}

/// Returns what breaks a rule, which may quote what is in the cluster, with the rule as its code.
pub(crate) fn rule(problem: &Problem) -> String {
    coded(problem.rule, &plain::lines(&problem.text, LONGEST))
}

/// Tells why the cluster could not be used.
#[expect(clippy::too_many_lines, reason = "a table: one row for each error")]
pub(crate) fn cluster(error: &ClusterError) -> Diagnostic {
    use ClusterError as E;
    let (code, summary, next) = match error {
        E::NoConfiguration => (
            "cluster-none",
            "No cluster is configured",
            "Set one of these.",
        ),
        E::Settings(_) => (
            "cluster-settings",
            "The kubernetes block cannot be used",
            "Correct these attributes.",
        ),
        E::Kubeconfig { .. } | E::NoKubeconfig { .. } => (
            "cluster-kubeconfig",
            "The kubeconfig cannot be used",
            "Correct the file or the path.",
        ),
        E::Credentials { .. } => (
            "cluster-credentials",
            "The cluster's credentials cannot be used",
            "Renew them.",
        ),
        E::Unreachable { .. } => (
            "cluster-unreachable",
            "The API server is not reachable",
            "Check its address, the route to it and, for an endpoint with another name, kubernetes.tls_server_name.",
        ),
        E::Unauthorized { .. } => (
            "cluster-unauthorized",
            "The API server rejects the credentials",
            "Renew them.",
        ),
        E::Forbidden { .. } => (
            "cluster-forbidden",
            "The API server forbids the call",
            "Add the rule to the role:",
        ),
        E::NotFound { .. } => (
            "cluster-not-found",
            "An object of the mesh is missing",
            "Check that Istio is installed in this cluster.",
        ),
        E::MissingCrd { .. } => (
            "cluster-no-istio",
            "The cluster does not know Istio's kinds",
            "Install Istio's custom resource definitions, or point the provider at the right cluster.",
        ),
        E::Conflict { .. } => (
            "cluster-conflict",
            "Another owner holds these fields",
            "Remove them from the configuration, make the owner give them up, or set field_manager.force_conflicts.",
        ),
        E::Exists { .. } => ("cluster-exists", "The object already exists", ""),
        E::Terminating { .. } => (
            "cluster-terminating",
            "An object is still being deleted",
            "The controller that set its finalizers removes them once it has cleaned up. Check that controller's log. \
             If the controller is gone for good, remove the finalizers with kubectl. Then run the same command again.",
        ),
        E::Invalid { .. } => (
            "cluster-invalid",
            "The API server rejects the object",
            "Correct the fields it names.",
        ),
        E::Denied { .. } => (
            "cluster-denied",
            "An admission webhook rejects the object",
            "Correct what it names.",
        ),
        E::Busy { .. } | E::Server { .. } => (
            "cluster-server",
            "The API server failed",
            "Apply again once it is healthy.",
        ),
        E::Answer { .. } => (
            "cluster-answer",
            "The cluster's answer cannot be used",
            "Correct what it names.",
        ),
        E::Excess { .. } => (
            "cluster-excess",
            "The cluster's answer is too large",
            "No API server sends such a large response. Check that kubernetes.host or the kubeconfig points to an API \
             server, and check the proxies in between. If it is a list, delete objects of that kind that nobody needs.",
        ),
        E::NotHealthy { .. } => (
            "not-healthy",
            "The application's health check fails",
            "The VM has joined the mesh and receives traffic as soon as the health check succeeds. Start the \
             application, or correct health_check.",
        ),
        E::NotConnected { .. } => (
            "istiod-silent",
            "istiod has not reported the proxy",
            "Check istiod's log for this proxy.",
        ),
    };
    Diagnostic::error(
        summary,
        coded(
            code,
            &format!("{}. {next}{}", chain(error), cluster_next(error)),
        ),
    )
}

/// Returns what the next step names of the error itself.
fn cluster_next(error: &ClusterError) -> String {
    match error {
        ClusterError::Forbidden { .. } => error
            .missing_rule()
            .map(|rule| format!("\n\n{rule}"))
            .unwrap_or_default(),
        ClusterError::Exists { call, import_id } if call.resource.kind == "WorkloadEntry" => {
            format!("Import it:\n\n  terraform import mesh_vm_workload.NAME {import_id}")
        }
        ClusterError::Exists { call, .. } => format!(
            "Delete that {}, or give the workload or the service another name.",
            call.resource.kind
        ),
        ClusterError::Invalid { causes, .. } => {
            let lines: Vec<String> = causes
                .iter()
                .map(|cause| format!("{}: {}", cause.field, cause.message))
                .collect();
            said(&lines)
        }
        _ => String::new(),
    }
}

/// Tells why a VM could not be used.
#[expect(clippy::too_many_lines, reason = "a table: one row for each error")]
pub(crate) fn vm(error: &VmError) -> Diagnostic {
    use VmError as E;
    let (code, summary, next, at) = match error.root() {
        E::Coordinate { .. } => (
            "ssh-coordinate",
            "The VM's SSH settings are not valid",
            "Correct them.",
            "ssh",
        ),
        E::OpenSsh { .. } => (
            "ssh-client",
            "OpenSSH's client is missing",
            "Install it where Terraform runs.",
            "ssh",
        ),
        E::Local { .. } => (
            "ssh-local",
            "The SSH connection cannot be set up",
            "Check the machine that Terraform runs on.",
            "ssh",
        ),
        E::Key(error) => return key(error),
        E::Configuration { .. } => (
            "ssh-config",
            "OpenSSH rejects its configuration",
            "Correct the file of ssh.config_file.",
            "ssh",
        ),
        E::Connect { .. } => (
            "ssh-connect",
            "The VM is not reachable over SSH",
            "Check the address, the port, the firewalls in between, and that sshd runs.",
            "ssh.host",
        ),
        E::HostKey { .. } => (
            "ssh-host-key",
            "The VM's host key is not the expected one",
            "Nothing was sent. If the machine was rebuilt, set its new key. Otherwise, someone may be intercepting \
             the connection.",
            "ssh.host_key",
        ),
        E::Auth { .. } => (
            "ssh-auth",
            "The VM rejects the login",
            "Check ssh.user and ssh.identity, and that the identity's public key is authorized on the VM.",
            "ssh.user",
        ),
        E::NoSudo { .. } => (
            "ssh-sudo",
            "The user may not become root on the VM",
            "Log in as root, or allow the user `NOPASSWD: /bin/sh` in sudoers.",
            "ssh.user",
        ),
        E::Silent { .. } | E::Dropped { .. } => (
            "ssh-lost",
            "The connection to the VM was lost",
            "Apply again: the provider finds the run and finishes it.",
            "ssh",
        ),
        E::Token(_) => (
            "token",
            "The service account token could not be created",
            "See the cause.",
            "service_account",
        ),
        E::Excess { .. } => (
            "vm-answer",
            "The VM's answer cannot be used",
            "Check whether something else on the VM writes to the output, e.g. a shell profile, or whether someone \
             changed the program.",
            "ssh",
        ),
        E::Remote { .. } => (
            "vm-program",
            "The program on the VM failed",
            "See its last lines.",
            "ssh",
        ),
        E::Bastion { .. } => (
            "ssh-bastion",
            "The connection through the bastion failed",
            "See the cause.",
            "ssh.bastion",
        ),
    };
    let at = match error {
        E::Bastion { .. } => "ssh.bastion",
        _ => at,
    };
    let rule = match error.root() {
        E::Token(source) => source.downcast_ref().and_then(ClusterError::missing_rule),
        _ => None,
    };
    let next = rule.map_or_else(
        || next.to_owned(),
        |rule| format!("Add the rule to the role:\n\n{rule}"),
    );
    Diagnostic::error(summary, coded(code, &format!("{}. {next}", chain(error)))).at(at)
}

/// Tells why an identity cannot be used. Shows nothing of it.
pub(crate) fn key(error: &KeyError) -> Diagnostic {
    Diagnostic::error(
        "The SSH identity cannot be used",
        coded("ssh-identity", &format!("{}.", chain(error))),
    )
}

/// Ends a text with its code, which is the anchor in the troubleshooting guide.
pub(crate) fn coded(code: &str, text: &str) -> String {
    format!("{text}\n\n[{code}]")
}

/// Returns lines of others, each on a line of its own behind a text: bounded, and with nothing that a terminal obeys.
pub(crate) fn said(lines: &[String]) -> String {
    let shown = lines.iter().take(MOST_LINES);
    let mut text: String = shown
        .map(|line| format!("\n  {}", plain::line(line.trim_end(), LONGEST_LINE)))
        .collect();
    if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// Returns the error and its causes, outermost first: what a VM, a cluster or a tool says is in it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = source.source();
    }
    plain::lines(&text, LONGEST)
}
