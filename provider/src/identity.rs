//! Whether the cluster is still the one that the state knows.

use cluster::Cluster;
use mesh::drift::Finding;
use mesh::identity::{SeenNamespace, Verdict};
use mesh::names::{Id, Namespace};
use plugin::Diagnostic;

use crate::context::Context;
use crate::messages::{self, Code, Message};

/// Reads the namespace that identifies the cluster.
pub(crate) async fn namespace(
    cluster: &Cluster,
    namespace: &Namespace,
) -> Result<SeenNamespace, Diagnostic> {
    let seen = cluster.namespace(namespace).await;
    seen.map_err(|error| messages::cluster(&error))
}

/// Refuses to change anything in another cluster.
pub(crate) fn refuse_other(id: &Id, verdict: &Verdict) -> Result<(), Diagnostic> {
    match verdict {
        Verdict::Other(how) => Err(other(id, how)),
        Verdict::Same | Verdict::Unknown => Ok(()),
    }
}

/// Returns the warning that the cluster was not identified: once in a run, whatever the number of workloads.
pub(crate) fn warn_once(context: &Context, seen: &SeenNamespace) -> Option<Diagnostic> {
    let is_first = *seen == SeenNamespace::Hidden && context.is_first_unseen();
    is_first.then(|| {
        let text = "The provider is not allowed to read the namespace of the workload, whose UID identifies the cluster. \
                    Until it is, only the UID of the WorkloadEntry shows that the provider uses the wrong cluster. \
                    The rule for namespaces in examples/rbac.yaml grants this permission.";
        Message::new(Code::NamespaceUnseen).text(text).warning()
    })
}

fn other(id: &Id, how: &Finding) -> Diagnostic {
    let text = format!(
        "The provider is connected to a different cluster than the one in the state of {id}: {how}. Nothing was changed. \
         Point the provider at the cluster in which the objects are. If it is the same cluster, and the namespace or the \
         entry was deleted and created again, remove the resource from the state with `terraform state rm` and apply \
         (or import it, if its objects exist)."
    );
    Message::new(Code::ClusterOther).text(text).error()
}
