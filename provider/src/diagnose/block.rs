//! What is wrong with the provider's `kubernetes` block.

use cluster::ClusterError;
use plugin::{Diagnostic, Diagnostics, Path};

use super::{cluster, coded};

/// Tells what is wrong with the provider's `kubernetes` block, each problem at its attribute; what
/// concerns the files is told at `files`. A file that is missing may be made in the same apply.
pub(crate) fn kubernetes_block(error: &ClusterError, files: &'static str) -> Diagnostics {
    let at = |attribute: &'static str| Path::root().name("kubernetes").name(attribute);
    match error {
        ClusterError::Settings(problems) => problems
            .iter()
            .map(|problem| {
                let text = coded("cluster-settings", &format!("{problem}."));
                Diagnostic::error("The kubernetes block cannot be used", text)
                    .at(at(problem.attribute))
            })
            .collect(),
        ClusterError::NoKubeconfig { .. } => {
            let text = format!("{error}. It must be there when the apply needs the cluster.");
            Diagnostic::warning(
                "The kubeconfig is not there yet",
                coded("cluster-kubeconfig", &text),
            )
            .at(at(files))
            .into()
        }
        other => cluster(other).at(at(files)).into(),
    }
}
