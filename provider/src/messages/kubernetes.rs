//! Errors of the provider's `kubernetes` block as diagnostics.

use cluster::ClusterError;
use plugin::{Diagnostic, Diagnostics, Path};

use super::{Code, Message, cluster};

/// Reports what is wrong with the provider's `kubernetes` block, each problem at its attribute. `files` is the attribute
/// of the kubeconfig. A file that does not exist is a warning: the same apply may create it.
pub(crate) fn kubernetes_block(error: &ClusterError, files: &'static str) -> Diagnostics {
    let at = |attribute: &'static str| Path::root().name("kubernetes").name(attribute);
    match error {
        ClusterError::Settings(problems) => problems
            .iter()
            .map(|problem| {
                Message::new(Code::ClusterSettings)
                    .text(format!("{problem}."))
                    .at(at(problem.attribute))
                    .error()
            })
            .collect(),
        ClusterError::NoKubeconfig { .. } => Message::new(Code::ClusterKubeconfig)
            .title("The kubeconfig is not there yet")
            .text(format!(
                "{error}. It must be there when the apply needs the cluster."
            ))
            .at(at(files))
            .warning()
            .into(),
        other => {
            let diagnostic = cluster(other);
            diagnostic.at(at(files)).into()
        }
    }
}

/// Reports a `kubernetes` block in which nothing is set.
pub(crate) fn kubernetes_unset() -> Diagnostic {
    Message::new(Code::KubernetesUnset)
        .text(
            "Each attribute of the block is null, so the environment of Terraform would choose the cluster. Either a \
             name in the block is misspelt, which Terraform does not report, or a variable is null. Set config_path \
             or host. If the environment is meant to choose, remove the block.",
        )
        .at("kubernetes")
        .error()
}
