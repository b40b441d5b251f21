//! What controllers write into a new namespace: a moment after it was created, or never.

use std::time::Duration;

use mesh::names::Id;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::call::{CONFIG_MAP, Call, NAMESPACE, Verb};
use crate::connect::Cluster;
use crate::error::{ClusterError, RootCause};

/// How long a controller may take: istiod and the controller of service accounts need a second or two.
const SOON: Duration = Duration::from_secs(20);
/// Between two reads.
const PAUSE: Duration = Duration::from_millis(500);

impl Cluster {
    /// Reads an object that a controller creates in each namespace. One that is absent is awaited, once per process.
    pub(crate) async fn arrival(&self, call: &Call) -> Result<Option<Value>, ClusterError> {
        let key = (
            call.resource.plural,
            call.namespace.clone(),
            call.name.clone(),
        );
        let until = self.arrivals().lock().map_or(Instant::now(), |mut begun| {
            *begun
                .entry(key.clone())
                .or_insert_with(|| Instant::now() + SOON)
        });
        let awaited = async {
            loop {
                let found = self.get(call).await?;
                if found.is_some() || Instant::now() >= until {
                    return Ok(found);
                }
                sleep(PAUSE).await;
            }
        };
        let found = self.answers().get(key, awaited).await?;
        Ok((*found).clone())
    }

    /// Reads the mesh's root certificate, which istiod writes into each namespace that it watches.
    pub(crate) async fn root(
        &self,
        id: &Id,
        name: &str,
        mesh_config: &Value,
    ) -> Result<String, ClusterError> {
        let call = Call::new(Verb::Get, CONFIG_MAP, id.namespace.as_str(), name);
        let missing = |cause| ClusterError::RootMissing {
            call: call.clone(),
            cause,
        };
        if self.get(&call).await?.is_none() {
            self.check_namespace(&call, mesh_config).await?;
        }
        let map = self.arrival(&call).await?;
        let map = map.ok_or_else(|| missing(RootCause::Istiod))?;
        let root = map["data"]["root-cert.pem"].as_str();
        let root = root.filter(|root| !root.is_empty());
        root.map(str::to_owned)
            .ok_or_else(|| ClusterError::NotFound {
                call,
                message: "it has no key root-cert.pem".into(),
            })
    }

    /// Reports why nothing will ever be written into the namespace, as far as that can be seen.
    async fn check_namespace(&self, call: &Call, mesh_config: &Value) -> Result<(), ClusterError> {
        let get = Call::new(Verb::Get, NAMESPACE, "", &call.namespace);
        let missing = |cause| ClusterError::RootMissing {
            call: call.clone(),
            cause,
        };
        let namespace = match self.get(&get).await {
            Err(error) if error.is_forbidden() => return Ok(()),
            found => found?.ok_or_else(|| missing(RootCause::NoNamespace))?,
        };
        if namespace["metadata"]["deletionTimestamp"].is_string() {
            return Err(ClusterError::NamespaceTerminating { call: call.clone() });
        }
        if is_selected(
            &mesh_config["discoverySelectors"],
            &namespace["metadata"]["labels"],
        ) {
            return Ok(());
        }
        Err(missing(RootCause::NotSelected))
    }
}

/// Returns whether istiod watches a namespace with these labels: any selector is enough, and without any all are.
fn is_selected(selectors: &Value, labels: &Value) -> bool {
    let selectors = selectors
        .as_array()
        .filter(|selectors| !selectors.is_empty());
    selectors.is_none_or(|selectors| selectors.iter().any(|of| selects(of, labels)))
}

/// Returns whether a Kubernetes `LabelSelector` selects labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object();
    let mut equal = equal.into_iter().flatten();
    let expressions = selector["matchExpressions"].as_array();
    let mut expressions = expressions.into_iter().flatten();
    let fits = |expression: &Value| {
        let label = &labels[expression["key"].as_str().unwrap_or_default()];
        let values = expression["values"].as_array();
        let is_in = values.is_some_and(|values| values.contains(label));
        match expression["operator"].as_str() {
            Some("In") => is_in,
            Some("NotIn") => !is_in,
            Some("Exists") => label.is_string(),
            Some("DoesNotExist") => !label.is_string(),
            _ => true,
        }
    };
    equal.all(|(key, value)| &labels[key] == value) && expressions.all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_is_selected_by_any_selector() {
        let labels = json!({ "mesh": "on", "team": "books" });
        let expression = |key: &str, operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        let fits = [
            json!([]),
            json!(null),
            json!([{}]),
            json!([{ "matchLabels": { "mesh": "off" } }, { "matchLabels": { "mesh": "on" } }]),
            json!([expression("mesh", "In", &["on"])]),
            json!([expression("other", "NotIn", &["on"])]),
            json!([expression("mesh", "Exists", &[])]),
            json!([expression("other", "DoesNotExist", &[])]),
        ];
        for selectors in fits {
            assert!(is_selected(&selectors, &labels), "{selectors}");
        }
        let others = [
            json!([{ "matchLabels": { "mesh": "on", "team": "films" } }]),
            json!([expression("mesh", "NotIn", &["on"])]),
            json!([expression("other", "Exists", &[])]),
        ];
        for selectors in others {
            assert!(!is_selected(&selectors, &labels), "{selectors}");
        }
        assert!(!is_selected(
            &json!([{ "matchLabels": { "mesh": "on" } }]),
            &Value::Null
        ));
    }
}
