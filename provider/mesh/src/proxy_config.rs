//! The proxy's configuration: the mesh's, and over it the workload's.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::bounded;
use crate::names::Invalid;

/// Settings of one proxy that are laid over the mesh's `defaultConfig`, in the form that Istio's
/// annotation `proxy.istio.io/config` has. The text stays as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    text: String,
    fields: Map<String, Value>,
}

impl ProxyConfig {
    /// Returns the settings by their names in JSON.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}

/// Settings that other attributes write.
const ELSEWHERE: [(&str, &str); 3] = [
    (
        "discoveryAddress",
        "discoveryAddress is set by the provider's istio block",
    ),
    (
        "proxyMetadata",
        "what proxyMetadata would hold is written in env",
    ),
    (
        "readinessProbe",
        "a readinessProbe is written as health_check",
    ),
];

impl FromStr for ProxyConfig {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |hint| Invalid::new(text, "a proxy configuration", hint);
        let form = "YAML, with one setting per line such as \"concurrency: 2\"";
        let document = bounded::yaml(text.as_bytes()).map_err(|_| invalid(form))?;
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

/// Returns the settings of a proxy without its metadata: the mesh's, and each that the workload
/// names instead of the mesh's, as a whole.
pub(crate) fn settings(mesh_config: &Value, own: Option<&ProxyConfig>) -> Map<String, Value> {
    let mut settings = of_mesh(mesh_config);
    settings.remove("proxyMetadata");
    settings.extend(own.into_iter().flat_map(|own| own.fields.clone()));
    settings
}

/// Returns the mesh's settings for every proxy.
pub(crate) fn of_mesh(mesh_config: &Value) -> Map<String, Value> {
    mesh_config["defaultConfig"]
        .as_object()
        .map(named)
        .unwrap_or_default()
}

/// Returns the settings by their names in JSON, which may be written as in the API's definition,
/// too (`status_port`). Istio takes an explicit null for unset.
fn named(fields: &Map<String, Value>) -> Map<String, Value> {
    let set = fields.iter().filter(|(_, value)| !value.is_null());
    let (exact, other): (Vec<_>, Vec<_>) = set.partition(|(key, _)| camel(key) == **key);
    // Where both are written, the name in JSON stands.
    let named = other.into_iter().chain(exact);
    named
        .map(|(key, value)| (camel(key), value.clone()))
        .collect()
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut name, part| {
        let mut letters = part.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}
