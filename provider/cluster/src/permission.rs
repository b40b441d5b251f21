//! The permission that a call lacks.

use crate::call::{Call, Verb};

/// A permission.
struct Permission<'a> {
    verb: &'a str,
    resource: &'a str,
    group: &'a str,
}

impl<'a> Permission<'a> {
    /// Reads it out of `User "…" cannot VERB resource "RESOURCE" in API group "GROUP" …`.
    fn read(message: &'a str) -> Option<Self> {
        let (_, rest) = message.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once('"')?;
        let rest = rest.strip_prefix(" in API group \"")?;
        let (group, _) = rest.split_once('"')?;
        Some(Self {
            verb,
            resource,
            group,
        })
    }
}

/// Returns the rule that a call needs, as YAML. The message may name another permission than that of the call, such as
/// that to impersonate a user.
pub(crate) fn missing_rule(call: &Call, message: &str) -> String {
    let own = call.verb.to_string();
    let of_call = Permission {
        verb: &own,
        resource: call.resource.plural,
        group: call.resource.group,
    };
    let missing = Permission::read(message).unwrap_or(of_call);
    let is_written = call.verb == Verb::Patch && missing.resource == call.resource.plural;
    // A server-side apply of an absent object creates it.
    let verbs = if missing.resource == "leases" {
        "get, create, patch, delete"
    } else if is_written {
        "patch, create"
    } else {
        missing.verb
    };
    let (group, resource) = (
        plain::line(missing.group, 253),
        plain::line(missing.resource, 253),
    );
    format!(
        "- apiGroups: [\"{group}\"]\n  resources: [{resource}]\n  verbs: [{}]",
        plain::line(verbs, 253)
    )
}

#[cfg(test)]
mod tests {
    use mesh::desired::Kind;

    use super::*;
    use crate::call::Resource;

    #[test]
    fn the_rule_is_that_of_the_message() {
        let call = Call::new(Verb::Patch, Resource::of(Kind::WorkloadEntry), "ns", "vm");
        let impersonate = "users \"jane\" is forbidden: User \"ci\" cannot impersonate resource \"users\" in API group \
                           \"\" at the cluster scope";
        assert_eq!(
            missing_rule(&call, impersonate),
            "- apiGroups: [\"\"]\n  resources: [users]\n  verbs: [impersonate]"
        );
        let lease = Call::new(
            Verb::Get,
            Resource::of(Kind::Lease),
            "ns",
            "mesh-vm-fleet-x",
        );
        let rule = "- apiGroups: [\"coordination.k8s.io\"]\n  resources: [leases]\n  verbs: [get, create, patch, delete]";
        assert_eq!(missing_rule(&lease, "another text"), rule);
        let create = "workloadentries.networking.istio.io \"vm\" is forbidden: User \"u\" cannot create resource \
                      \"workloadentries\" in API group \"networking.istio.io\" in the namespace \"ns\"";
        let rule = "- apiGroups: [\"networking.istio.io\"]\n  resources: [workloadentries]\n  verbs: [patch, create]";
        for message in [create, "another text"] {
            assert_eq!(missing_rule(&call, message), rule);
        }
    }
}
