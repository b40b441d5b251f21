//! Every error of ours as a diagnostic: what was observed, the cause, and the next step.

mod block;

use std::error::Error;

use cluster::ClusterError;
use mesh::{Problem, plain};
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
            "The API server refuses the credentials",
            "Renew them.",
        ),
        E::Forbidden { .. } => (
            "cluster-forbidden",
            "The API server forbids it",
            "Add the rule to the role:",
        ),
        E::NotFound { .. } => (
            "cluster-not-found",
            "An object of the mesh is missing",
            "Is Istio installed there?",
        ),
        E::MissingCrd { .. } => (
            "cluster-no-istio",
            "The cluster does not know Istio's kinds",
            "Install Istio's custom resource definitions, or point the provider at the right cluster.",
        ),
        E::Conflict { .. } => (
            "cluster-conflict",
            "Another owner holds these fields",
            "Leave them out of the configuration, let the owner give them up, or set field_manager.force_conflicts.",
        ),
        E::Exists { .. } => ("cluster-exists", "The object exists already", ""),
        E::Terminating { .. } => (
            "cluster-terminating",
            "An object is still being deleted",
            "Whoever set its finalizers removes them once it has cleaned up: see the log of that controller, or, if \
             it is gone for good, remove the finalizers with kubectl. Then run the same again.",
        ),
        E::Invalid { .. } => (
            "cluster-invalid",
            "The API server refuses the object",
            "Correct the fields it names.",
        ),
        E::Denied { .. } => (
            "cluster-denied",
            "An admission webhook refuses the object",
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
            "No API server sends that much of what was asked for: check that kubernetes.host or the kubeconfig names \
             one, and what stands between, such as a proxy. Where it is a list, delete objects of that kind that \
             nobody needs.",
        ),
        E::NotHealthy { .. } => (
            "not-healthy",
            "The application does not answer its health check",
            "The VM is a member of the mesh and takes traffic as soon as it answers: start it, or correct health_check.",
        ),
        E::NotConnected { .. } => (
            "istiod-silent",
            "istiod has not reported the proxy",
            "Look at istiod's log for this proxy.",
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
            "The VM's coordinates are not valid",
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
            "Check this machine.",
            "ssh",
        ),
        E::Key(error) => return key(error),
        E::Configuration { .. } => (
            "ssh-config",
            "OpenSSH refuses its configuration",
            "Correct the file of ssh.config_file.",
            "ssh",
        ),
        E::Connect { .. } => (
            "ssh-connect",
            "The VM is not reachable over SSH",
            "Check the address, the port, firewalls on the way, and that sshd runs.",
            "ssh.host",
        ),
        E::HostKey { .. } => (
            "ssh-host-key",
            "The VM's host key is not the expected one",
            "Nothing was sent. If the machine was rebuilt, give its new key; else somebody stands in between.",
            "ssh.host_key",
        ),
        E::Auth { .. } => (
            "ssh-auth",
            "The VM refuses the login",
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
            "Apply again: what had begun is found and finished.",
            "ssh",
        ),
        E::Token(_) => (
            "token",
            "The VM's token cannot be had",
            "See the cause.",
            "service_account",
        ),
        E::Excess { .. } => (
            "vm-answer",
            "The VM's answer cannot be used",
            "Look on the VM what answers in the program's place, e.g. a shell profile, or whether somebody changed it.",
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
            "The bastion cannot be passed",
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
