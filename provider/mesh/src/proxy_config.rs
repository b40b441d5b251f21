//! The proxy configuration: that of the mesh, overridden by that of the workload.

mod fields;

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::bounded;
use crate::names::Invalid;
pub use fields::{FIELDS, Kind};
use fields::{Unknown, camel};

/// Settings of one proxy that override the mesh's `defaultConfig`, in the format of Istio's annotation
/// `proxy.istio.io/config`. The original text is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    text: String,
    fields: Map<String, Value>,
}

impl ProxyConfig {
    /// Returns the settings by their JSON names.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Returns the same settings in one notation; `None`: there are none.
    pub(crate) fn meaning(&self) -> Option<Self> {
        let mut fields = Value::from(self.fields.clone());
        fields.sort_all_objects();
        (!self.fields.is_empty()).then(|| Self {
            text: fields.to_string(),
            fields: self.fields.clone(),
        })
    }

    /// Returns the settings that Istio does not know or whose values it refuses, each as a sentence.
    pub(crate) fn problems(&self) -> Vec<String> {
        fields::problems(&self.fields, Unknown::Refused)
    }
}

/// Settings that have attributes of their own, each with a hint.
const ELSEWHERE: [(&str, &str); 3] = [
    (
        "discoveryAddress",
        "set discoveryAddress in the provider's istio block",
    ),
    ("proxyMetadata", "set proxyMetadata in env"),
    ("readinessProbe", "set readinessProbe in health_check"),
];

impl FromStr for ProxyConfig {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |hint| Invalid::new(text, "a proxy configuration", hint);
        let form = "YAML, with one setting per line such as \"concurrency: 2\"";
        let document = bounded::istio_yaml(text.as_bytes()).map_err(|_| invalid(form))?;
        let fields = named(document.as_object().ok_or_else(|| invalid(form))?);
        let taken = ELSEWHERE
            .iter()
            .find(|(name, _)| fields.contains_key(*name));
        match taken {
            Some((_, hint)) => Err(invalid(hint)),
            None => Ok(Self {
                text: text.to_owned(),
                fields,
            }),
        }
    }
}

impl fmt::Display for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the settings of a proxy without its metadata. A setting of the workload replaces the mesh's as a whole.
pub(crate) fn settings(mesh_config: &Value, own: Option<&ProxyConfig>) -> Map<String, Value> {
    let mut settings = of_mesh(mesh_config);
    settings.remove("proxyMetadata");
    settings.extend(own.into_iter().flat_map(|own| own.fields.clone()));
    settings
}

/// Returns the mesh's settings for all proxies.
pub(crate) fn of_mesh(mesh_config: &Value) -> Map<String, Value> {
    mesh_config["defaultConfig"]
        .as_object()
        .map(named)
        .unwrap_or_default()
}

/// Returns the mesh's settings for all proxies that Istio refuses, each as a sentence.
pub(crate) fn problems_of_mesh(mesh_config: &Value) -> Vec<String> {
    let of_mesh = &mesh_config["defaultConfig"];
    if !of_mesh.is_object() && !of_mesh.is_null() {
        return vec!["defaultConfig must be a block of settings.".to_owned()];
    }
    fields::problems(&self::of_mesh(mesh_config), Unknown::Kept)
}

/// Returns the settings by their JSON names. The input may also use the names of the API definition (`status_port`).
/// Istio treats an explicit null as unset.
fn named(fields: &Map<String, Value>) -> Map<String, Value> {
    let set = fields.iter().filter(|(_, value)| !value.is_null());
    let (exact, other): (Vec<_>, Vec<_>) = set.partition(|(key, _)| camel(key) == **key);
    // If both names are set, the JSON name wins.
    let named = other.into_iter().chain(exact);
    named
        .map(|(key, value)| (camel(key), fields::read(&camel(key), value)))
        .collect()
}
