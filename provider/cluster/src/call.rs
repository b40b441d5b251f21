//! One request to the API server: a verb and an object.
//!
//! Paths are built by hand and objects stay JSON: a typed round trip would drop the fields that
//! a newer Istio adds, and fail a whole list over one value that it does not know.

use std::fmt;

use http::{Method, Request};
use mesh::desired::Kind;
use serde_json::Value;

/// The verb of a request, as RBAC names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads all objects of a namespace.
    List,
    /// Follows one object.
    Watch,
    /// Server-side apply; RBAC requires `patch`, and `create` if the object is absent.
    Patch,
    /// Deletes one object.
    Delete,
    /// Creates: the token of a service account, or an object that must not exist yet.
    Create,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Create => "create",
        })
    }
}

/// A resource of the API.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty: the core group.
    pub group: &'static str,
    /// Version in the group.
    pub version: &'static str,
    /// Name in URLs and in RBAC rules.
    pub plural: &'static str,
    /// Kind of its objects.
    pub kind: &'static str,
}

pub(crate) const CONFIG_MAP: &Resource = &Resource::core("configmaps", "ConfigMap");
pub(crate) const SERVICE: &Resource = &Resource::core("services", "Service");
pub(crate) const SERVICE_ACCOUNT: &Resource = &Resource::core("serviceaccounts", "ServiceAccount");
/// A subresource: its path is that of the service account with `/token` after the name.
pub(crate) const TOKEN: &Resource =
    &Resource::core("serviceaccounts/token", "token of ServiceAccount");

/// A subresource: the status that istiod writes to an entry.
pub(crate) const ENTRY_STATUS: &Resource =
    &Resource::istio("workloadentries/status", "status of WorkloadEntry");
/// In no namespace.
pub(crate) const WEBHOOK: &Resource = &Resource {
    group: "admissionregistration.k8s.io",
    version: "v1",
    plural: "mutatingwebhookconfigurations",
    kind: "MutatingWebhookConfiguration",
};
/// In no namespace, and only where this API is enabled.
pub(crate) const CLUSTER_TRUST_BUNDLE: &Resource = &Resource {
    group: "certificates.k8s.io",
    version: "v1beta1",
    plural: "clustertrustbundles",
    kind: "ClusterTrustBundle",
};
/// The API server's description of a group.
pub(crate) const API_GROUP: &Resource = &Resource::core("apis", "API group");
/// The namespaces themselves: no object of one.
pub(crate) const NAMESPACE: &Resource = &Resource::core("namespaces", "Namespace");
pub(crate) const GATEWAY: &Resource = &Resource::istio("gateways", "Gateway");
/// The Gateway API's, which a cluster may lack.
pub(crate) const KUBERNETES_GATEWAY: &Resource = &Resource {
    group: "gateway.networking.k8s.io",
    version: "v1",
    plural: "gateways",
    kind: "Gateway",
};

const WORKLOAD_ENTRY: &Resource = &Resource::istio("workloadentries", "WorkloadEntry");
const WORKLOAD_GROUP: &Resource = &Resource::istio("workloadgroups", "WorkloadGroup");
const SERVICE_ENTRY: &Resource = &Resource::istio("serviceentries", "ServiceEntry");
const SIDECAR: &Resource = &Resource::istio("sidecars", "Sidecar");
const LEASE: &Resource = &Resource {
    group: "coordination.k8s.io",
    version: "v1",
    plural: "leases",
    kind: "Lease",
};

impl Resource {
    const fn core(plural: &'static str, kind: &'static str) -> Self {
        Self {
            group: "",
            version: "v1",
            plural,
            kind,
        }
    }

    const fn istio(plural: &'static str, kind: &'static str) -> Self {
        Self {
            group: "networking.istio.io",
            version: "v1",
            plural,
            kind,
        }
    }

    /// Returns the resource that serves a kind of ours.
    pub(crate) fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::WorkloadEntry => WORKLOAD_ENTRY,
            Kind::WorkloadGroup => WORKLOAD_GROUP,
            Kind::ServiceEntry => SERVICE_ENTRY,
            Kind::Sidecar => SIDECAR,
            Kind::Lease => LEASE,
        }
    }

    /// Returns `group/version`, or the bare version in the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.into()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    fn path(&self, namespace: &str, name: &str) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        let (plural, sub) = self.plural.split_once('/').unwrap_or((self.plural, ""));
        let namespaced = if namespace.is_empty() {
            String::new()
        } else {
            format!("namespaces/{namespace}/")
        };
        let mut path = format!("/{root}/{}/{namespaced}{plural}", self.api_version());
        for part in [name, sub].into_iter().filter(|part| !part.is_empty()) {
            path.push('/');
            path.push_str(part);
        }
        path
    }
}

/// One request, as an error names it: `get ConfigMap istio-system/istio`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The verb.
    pub verb: Verb,
    /// To what sort of object.
    pub resource: &'static Resource,
    /// The namespace; empty: all, or none for a cluster-scoped resource.
    pub namespace: String,
    /// To which one; empty: to all.
    pub name: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verb,
            resource,
            namespace,
            name,
        } = self;
        match (verb, name.as_str()) {
            (_, "") if namespace.is_empty() => write!(f, "{verb} {} objects", resource.kind),
            (_, _) if namespace.is_empty() => write!(f, "{verb} {} {name}", resource.kind),
            (_, "") => write!(
                f,
                "{verb} {} objects in namespace {namespace}",
                resource.kind
            ),
            (Verb::Patch, _) => write!(f, "apply {} {namespace}/{name}", resource.kind),
            _ => write!(f, "{verb} {} {namespace}/{name}", resource.kind),
        }
    }
}

impl Call {
    /// Returns the call for one object, or for all of a namespace with an empty `name`.
    pub(crate) fn new(
        verb: Verb,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Self {
        Self {
            verb,
            resource,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Returns the request without a body; `query` is empty or `key=value&…`, already encoded.
    pub(crate) fn request(&self, query: &str) -> Result<Request<Vec<u8>>, http::Error> {
        self.build(query, None, Vec::new())
    }

    /// Returns the request with a JSON body of the given content type.
    pub(crate) fn request_with(
        &self,
        query: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Request<Vec<u8>>, http::Error> {
        self.build(query, Some(content_type), body.to_string().into_bytes())
    }

    fn build(
        &self,
        query: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Request<Vec<u8>>, http::Error> {
        let method = match self.verb {
            Verb::Get | Verb::List | Verb::Watch => Method::GET,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
            Verb::Create => Method::POST,
        };
        // One object is watched as a collection of one, and created in its collection; a token is created below its name.
        let is_below = self.resource.plural.contains('/');
        let name = match self.verb {
            Verb::Watch => "",
            Verb::Create if !is_below => "",
            _ => &self.name,
        };
        let path = self.resource.path(&self.namespace, name);
        let uri = if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(http::header::ACCEPT, "application/json");
        match content_type {
            Some(content_type) => request
                .header(http::header::CONTENT_TYPE, content_type)
                .body(body),
            None => request.body(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_has_its_method_path_and_name() {
        let cases = [
            (
                Verb::Get,
                CONFIG_MAP,
                "istio",
                "GET /api/v1/namespaces/ns/configmaps/istio",
            ),
            (
                Verb::List,
                Resource::of(Kind::Sidecar),
                "",
                "GET /apis/networking.istio.io/v1/namespaces/ns/sidecars",
            ),
            (
                Verb::Watch,
                Resource::of(Kind::WorkloadEntry),
                "vm",
                "GET /apis/networking.istio.io/v1/namespaces/ns/workloadentries",
            ),
            (
                Verb::Patch,
                Resource::of(Kind::ServiceEntry),
                "vm",
                "PATCH /apis/networking.istio.io/v1/namespaces/ns/serviceentries/vm",
            ),
            (
                Verb::Create,
                TOKEN,
                "sa",
                "POST /api/v1/namespaces/ns/serviceaccounts/sa/token",
            ),
        ];
        let everywhere = Call::new(Verb::List, SERVICE, "", "").request("a=b");
        assert_eq!(everywhere.unwrap().uri(), "/api/v1/services?a=b");
        let namespace = Call::new(Verb::Get, NAMESPACE, "", "ns").request("");
        assert_eq!(namespace.unwrap().uri(), "/api/v1/namespaces/ns");
        for (verb, resource, name, expected) in cases {
            let request = Call::new(verb, resource, "ns", name).request("").unwrap();
            assert_eq!(format!("{} {}", request.method(), request.uri()), expected);
        }
    }

    #[test]
    fn a_call_reads_as_a_sentence_part() {
        let text = |verb, resource, name| Call::new(verb, resource, "ns", name).to_string();
        assert_eq!(
            text(Verb::Patch, Resource::of(Kind::WorkloadEntry), "vm"),
            "apply WorkloadEntry ns/vm"
        );
        assert_eq!(
            text(Verb::List, Resource::of(Kind::WorkloadEntry), ""),
            "list WorkloadEntry objects in namespace ns"
        );
        assert_eq!(
            text(Verb::Create, TOKEN, "sa"),
            "create token of ServiceAccount ns/sa"
        );
    }
}
