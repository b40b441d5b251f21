//! Istio's kinds where the API server does not serve them in v1: Istio before 1.22.
//!
//! Requests are written for v1. Only if that is not served, the provider looks up which version is; the kinds are the same
//! in each version.

use http::{Request, Uri};
use serde_json::Value;

use crate::call::{API_GROUP, Call, Verb};
use crate::connect::Cluster;

const GROUP: &str = "networking.istio.io";
/// Older versions, the newest first.
const OLDER: [&str; 2] = ["v1beta1", "v1alpha3"];

impl Cluster {
    /// Returns a request in the version that is served, as far as that was found out.
    pub(crate) fn versioned(&self, request: Request<Vec<u8>>) -> Request<Vec<u8>> {
        match self.istio_version().get() {
            Some(version) => in_version(request, version),
            None => request,
        }
    }

    /// Returns whether a kind that was not found in the version `sent` is served in an older one only.
    pub(crate) async fn falls_back(&self, call: &Call, sent: Option<&str>) -> bool {
        if call.resource.group != GROUP || sent.is_some() {
            return false;
        }
        let plural = call.resource.plural;
        if self.istio_version().get().is_none() && !Box::pin(self.serves("v1", plural)).await {
            for version in OLDER {
                if Box::pin(self.serves(version, plural)).await {
                    // A concurrent request found the same.
                    let _ = self.istio_version().set(version);
                    break;
                }
            }
        }
        self.istio_version().get().is_some()
    }

    /// Returns whether the API server lists a kind in a version of Istio's group.
    async fn serves(&self, version: &str, plural: &str) -> bool {
        let call = Call::new(Verb::Get, API_GROUP, "", GROUP);
        let request = Request::get(format!("/apis/{GROUP}/{version}")).body(vec![]);
        let Ok(request) = request else {
            return false;
        };
        let listed = self.send(&call, request).await.unwrap_or_default();
        let mut kinds = listed["resources"].as_array().into_iter().flatten();
        kinds.any(|kind| kind["name"] == plural)
    }
}

fn in_version(request: Request<Vec<u8>>, version: &str) -> Request<Vec<u8>> {
    let (mut head, mut body) = request.into_parts();
    let path = head.uri.to_string();
    let older = path.replacen(
        &format!("/apis/{GROUP}/v1/"),
        &format!("/apis/{GROUP}/{version}/"),
        1,
    );
    if older == path {
        return Request::from_parts(head, body);
    }
    if let Ok(uri) = older.parse::<Uri>() {
        head.uri = uri;
    }
    if let Ok(Value::Object(mut object)) = serde_json::from_slice(&body) {
        // A patch of an object names its version; options of a delete have one of their own.
        if object
            .get("apiVersion")
            .is_some_and(|of| *of == format!("{GROUP}/v1"))
        {
            object.insert("apiVersion".into(), format!("{GROUP}/{version}").into());
            body = Value::Object(object).to_string().into_bytes();
        }
    }
    Request::from_parts(head, body)
}
