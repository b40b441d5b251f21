//! What a 403 means. The API server answers it for much more than a missing permission, and so does whatever stands
//! before it.

use kube::core::Status;

use crate::call::Call;
use crate::error::ClusterError;

/// Returns what a 403 means. Kinds of refusals differ in their words only, but for a terminating namespace.
pub(crate) fn forbidden(call: Call, message: String, status: &Status) -> ClusterError {
    let words = |any: &[&str]| any.iter().any(|words| message.contains(words));
    if status.reason.is_empty() && status.details.is_none() {
        return ClusterError::Blocked { call, message };
    }
    if is_terminating(status) || words(&["because it is being terminated"]) {
        return ClusterError::NamespaceTerminating { call };
    }
    if words(&[
        "exceeded quota: ",
        "failed quota: ",
        "status unknown for quota: ",
        "insufficient quota to ",
    ]) {
        return ClusterError::Quota { call, message };
    }
    if words(&["forbidden: User \""]) {
        return ClusterError::Forbidden { call, message };
    }
    ClusterError::Denied { call, message }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use mesh::desired::Kind;
    use serde_json::json;

    use super::*;
    use crate::call::{Resource, Verb};

    fn call() -> Call {
        Call::new(Verb::Patch, Resource::of(Kind::WorkloadEntry), "ns", "vm")
    }

    fn cause(status: &serde_json::Value) -> ClusterError {
        let status: Status = serde_json::from_value(status.clone()).unwrap();
        forbidden(call(), status.message.clone(), &status)
    }

    fn says(why: &str) -> ClusterError {
        let message = format!("workloadentries.networking.istio.io \"vm\" is forbidden: {why}");
        cause(&json!({ "reason": "Forbidden", "message": message, "details": { "name": "vm" } }))
    }

    #[test]
    fn each_403_is_reported_by_its_cause() {
        use ClusterError as E;
        let terminating =
            "unable to create new content in namespace ns because it is being terminated";
        assert!(matches!(says(terminating), E::NamespaceTerminating { .. }));
        let quota = "exceeded quota: q, requested: count/workloadentries.networking.istio.io=1, used: \
                     count/workloadentries.networking.istio.io=1, limited: count/workloadentries.networking.istio.io=1";
        assert!(matches!(says(quota), E::Quota { .. }));
        assert!(matches!(
            says("status unknown for quota: q, resources: x"),
            E::Quota { .. }
        ));
        let right = "User \"u\" cannot patch resource \"workloadentries\" in API group \
                     \"networking.istio.io\" in the namespace \"ns\"";
        assert!(matches!(says(right), E::Forbidden { .. }));
        let iam = "User \"u\" cannot patch resource \"workloadentries\" in API group \"networking.istio.io\" in the \
                   namespace \"ns\": requires one of [\"container.thirdPartyObjects.update\"] permission(s).";
        assert!(matches!(says(iam), E::Forbidden { .. }));
        assert!(matches!(says("labels must name a team"), E::Denied { .. }));
        let page = json!({ "message": "<html>Access denied by policy</html>" });
        assert!(matches!(cause(&page), E::Blocked { .. }));
    }
}
