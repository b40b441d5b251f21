//! What must not fail for a moment's fault, such as what gives a VM its traffic back, and the last deletions: repeated until
//! the deadline, for each fault of the API server that passes.

use cluster::ClusterError;
use tokio::time::Instant;

use crate::messages;

/// Repeats an attempt, and logs each fault that passes.
pub(crate) async fn insist<T, F>(
    deadline: Instant,
    attempt: impl Fn() -> F,
) -> Result<T, ClusterError>
where
    F: Future<Output = Result<T, ClusterError>>,
{
    let logged = async || {
        let done = attempt().await;
        if let Err(error) = &done
            && error.passes()
        {
            tracing::warn!("{}", messages::cluster(error).detail);
        }
        done
    };
    cluster::retry(deadline, logged).await
}
