//! Every diagnostic of the provider is made here: what was observed, the cause, and the next step.

mod cluster_error;
mod code;
mod kubernetes;
mod message;
pub(crate) mod report;
pub(crate) mod turn;
mod vm_error;

use std::collections::BTreeSet;
use std::error::Error;

use mesh::change::Problem;
use mesh::facts::Facts;
use mesh::names::{Cidr, Id};
use mesh::workload::Workload;
use plugin::{Diagnostic, Diagnostics, Paths};

pub(crate) use cluster_error::{cluster, of_cluster};
pub(crate) use code::Code;
pub(crate) use kubernetes::{kubernetes_block, kubernetes_unset};
pub(crate) use message::{Message, place};
pub(crate) use vm_error::{key, key_of, vm};

/// Reports the rules that a workload breaks, but for those that concern unknown values.
pub(crate) fn problems(problems: Vec<Problem>, unknown: &Paths) -> Diagnostics {
    problems
        .into_iter()
        .filter(|problem| !problem.concerns.iter().any(|path| unknown.is_unknown(path)))
        .map(|problem| {
            let message = Message::of_problem(&problem);
            match problem.concerns.first() {
                Some(path) => message.at(path).error(),
                None => message.error(),
            }
        })
        .collect()
}

/// Reports an input that lacks what every stored input has.
pub(crate) fn incomplete() -> Diagnostic {
    Message::new(Code::Incomplete)
        .text("The input has no namespace or no name. Please report this.")
        .error()
}

/// Warns of an excluded range that is every address of one IP version.
pub(crate) fn everything_bypasses(range: &Cidr) -> Diagnostic {
    let text = format!(
        "proxy.exclude_cidrs contains {range}, which is every destination of its IP version: no request of the VM uses \
         mutual TLS, routes or policies of the mesh. Exclude only what must bypass the proxy."
    );
    Message::new(Code::EverythingBypasses)
        .text(text)
        .at("proxy.exclude_cidrs")
        .warning()
}

/// Reports an entry that no longer carries the mark of the run.
pub(crate) fn taken(id: &Id) -> Diagnostic {
    Message::new(Code::WorkloadTaken)
        .text(format!(
            "The WorkloadEntry {id} no longer carries the mark of this run, so another run works on it. It was left as \
             it is. Plan again to see what there is now."
        ))
        .at("name")
        .error()
}

/// Returns what to do about objects of ours that exist: a destroy that comes later cannot be seen.
pub(crate) fn renamed(resource: &str, id: &Id) -> String {
    format!(
        "\n\nIf its resource was renamed in the configuration, for example by another key of for_each, say \
         so:\n\n  moved {{\n    from = {resource}.OLD\n    to   = {resource}.NEW\n  }}\n\nWith \
         create_before_destroy, the new resource is created while the old one still exists, so it needs another \
         name. If the old resource was destroyed by this apply, apply again.\n\nIf no state has it, import \
         it:\n\n  terraform import {resource}.NAME {id}"
    )
}

/// Warns of variables of `env` that the VM does not get.
pub(crate) fn of_pods_in_env(workload: &Workload) -> Option<Diagnostic> {
    let next = "Remove them from env.";
    of_pods(&mesh::bundle::left_out_of_own(workload), "env", next)
}

/// Warns of variables of the mesh that the VM does not get.
pub(crate) fn of_pods_in_mesh(facts: &Facts) -> Option<Diagnostic> {
    let next = "Nothing needs to change: the mesh's proxyMetadata may keep them for pods.";
    let names = mesh::bundle::left_out_of_mesh(facts);
    of_pods(&names, "the mesh's proxyMetadata", next)
}

fn of_pods(names: &BTreeSet<String>, of: &str, next: &str) -> Option<Diagnostic> {
    if names.is_empty() {
        return None;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let text = format!(
        "A VM cannot use these variables of {of}, because they name files that only a pod has: {}. They are left out \
         of the VM's environment. The VM's certificate is in /etc/certs. {next}",
        names.join(", ")
    );
    Some(Message::new(Code::EnvOfPods).text(text).at("env").warning())
}

impl Message {
    /// Reports a broken rule. Its text may quote what is in the cluster.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        let text = plain::lines(&problem.text, message::LONGEST);
        Self::new(Code::Rule(problem.rule)).text(text)
    }
}

/// Returns the error and its causes, outermost first. They quote what a VM, a cluster or a tool says.
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
    plain::lines(&text, message::LONGEST)
}
