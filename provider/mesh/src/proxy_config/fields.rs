//! Fields of Istio's `ProxyConfig` (istio.io/api, `mesh/v1alpha1/proxy.proto`), and which values istiod reads for them.

use serde_json::{Map, Value};

use crate::nearest::nearest;

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Number,
    /// A duration such as `5s`.
    Duration,
    /// The name of a choice, or its number.
    Choice,
    /// A list of texts.
    Texts,
    /// Texts by name.
    TextMap,
    /// A message with fields of its own, which are not checked.
    Message,
}

/// All fields by their names in the definition.
pub const FIELDS: [(&str, Kind); 40] = [
    ("availability_zone", Kind::Text),
    ("binary_path", Kind::Text),
    ("ca_certificates_pem", Kind::Texts),
    ("concurrency", Kind::Number),
    ("config_path", Kind::Text),
    ("connection_settings", Kind::Message),
    ("control_plane_auth_policy", Kind::Choice),
    ("custom_config_file", Kind::Text),
    ("discovery_address", Kind::Text),
    ("discovery_refresh_delay", Kind::Duration),
    ("drain_duration", Kind::Duration),
    ("envoy_access_log_service", Kind::Message),
    ("envoy_metrics_service", Kind::Message),
    ("envoy_metrics_service_address", Kind::Text),
    ("extra_stat_tags", Kind::Texts),
    ("file_flush_interval", Kind::Duration),
    ("file_flush_min_size_kb", Kind::Number),
    ("gateway_topology", Kind::Message),
    ("hold_application_until_proxy_starts", Kind::Truth),
    ("image", Kind::Message),
    ("interception_mode", Kind::Choice),
    ("mesh_id", Kind::Text),
    ("private_key_provider", Kind::Message),
    ("proxy_admin_port", Kind::Number),
    ("proxy_bootstrap_template_path", Kind::Text),
    ("proxy_headers", Kind::Message),
    ("proxy_metadata", Kind::TextMap),
    ("proxy_stats_matcher", Kind::Message),
    ("readiness_probe", Kind::Message),
    ("runtime_values", Kind::TextMap),
    ("sds", Kind::Message),
    ("service_cluster", Kind::Text),
    ("stat_name_length", Kind::Number),
    ("stats_compression", Kind::Truth),
    ("statsd_udp_address", Kind::Text),
    ("status_port", Kind::Number),
    ("termination_drain_duration", Kind::Duration),
    ("tracing", Kind::Message),
    ("tracing_service_name", Kind::Choice),
    ("zipkin_address", Kind::Text),
];

/// Plain words that Istio's YAML reader takes for true and false, besides these two.
const TRUE: [&str; 8] = ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"];
const FALSE: [&str; 8] = ["n", "N", "no", "No", "NO", "off", "Off", "OFF"];

/// Returns the type of a setting by its JSON name; `None`: there is no such setting.
fn kind_of(name: &str) -> Option<Kind> {
    let mut all = FIELDS.iter();
    all.find(|(field, _)| camel(field) == name)
        .map(|(_, kind)| *kind)
}

/// Returns a value as Istio's YAML reader reads it: `on` is true for a field that is true or false.
pub(super) fn read(name: &str, value: &Value) -> Value {
    let word = value
        .as_str()
        .filter(|_| kind_of(name) == Some(Kind::Truth));
    match word {
        Some(word) if TRUE.contains(&word) => true.into(),
        Some(word) if FALSE.contains(&word) => false.into(),
        _ => value.clone(),
    }
}

/// Returns what is wrong with settings that have their JSON names, each as a sentence without values. `unknown` says
/// what to do with a name that is in no definition.
pub(super) fn problems(settings: &Map<String, Value>, unknown: Unknown) -> Vec<String> {
    let found = settings
        .iter()
        .filter_map(|(name, value)| match kind_of(name) {
            Some(kind) => wrong(name, kind, value),
            None if unknown == Unknown::Refused => Some(no_such(name)),
            None => None,
        });
    found.collect()
}

/// What to do with an unknown name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The user wrote it.
    Refused,
    /// Istio ignores it, or has a newer definition.
    Kept,
}

fn no_such(name: &str) -> String {
    let shown = plain::line(name, 60);
    let names: Vec<String> = FIELDS.iter().map(|(field, _)| camel(field)).collect();
    match nearest(name, &names) {
        Some(near) => format!("There is no setting {shown}. Did you mean {near}?"),
        None => format!("There is no setting {shown}. Remove it."),
    }
}

/// Returns how a value differs from what istiod reads.
fn wrong(name: &str, kind: Kind, value: &Value) -> Option<String> {
    let number = |text: &str| text.parse::<i64>().is_ok();
    let is_text = |of: &Value| of.is_string() || of.is_null();
    let (fits, rule) = match kind {
        Kind::Text => (value.is_string(), "a text"),
        Kind::Truth => (value.is_boolean(), "true or false"),
        // The reader takes a quoted number as well.
        Kind::Number => (
            value.is_i64() || value.is_u64() || value.as_str().is_some_and(number),
            "a whole number",
        ),
        Kind::Duration => (
            value.as_str().is_some_and(is_duration),
            "a duration such as 5s",
        ),
        Kind::Choice => (
            value.is_string() || value.is_i64() || value.is_u64(),
            "the name of a choice",
        ),
        Kind::Texts => (
            value.as_array().is_some_and(|of| of.iter().all(is_text)),
            "a list of texts",
        ),
        Kind::TextMap => {
            let map = value.as_object();
            let first =
                map.and_then(|map| map.iter().find(|(_, of)| !of.is_string() && !of.is_null()));
            if let Some((key, of)) = first {
                let key = plain::line(key, 60);
                return Some(format!(
                    "{name}.{key} must be a text and is {}. Put it in quotes.",
                    described(of)
                ));
            }
            (map.is_some(), "texts by name")
        }
        Kind::Message => (value.is_object(), "a block of settings"),
    };
    (!fits).then(|| format!("{name} must be {rule} and is {}.", described(value)))
}

/// Returns true for what Go reads as a duration: numbers, each with its unit.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == '.');
        let digits = &rest[..rest.len() - unit.len()];
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        let after = units.iter().find_map(|of| unit.strip_prefix(of));
        match after {
            Some(after) if digits.parse::<f64>().is_ok() => rest = after,
            _ => return false,
        }
    }
    true
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Returns the JSON name of a field.
pub(super) fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut name, part| {
        let mut letters = part.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}
