//! Values of an attribute as the domain has them, and back. An unknown value counts as absent in the domain: whoever
//! reports a problem drops those that concern it.

use std::collections::BTreeMap;

use mesh::names::{Port, PortName};
use plugin::{Text, Value};

use super::scalars::PortNumber;

/// Returns a parsed text.
pub(crate) fn text<T: Clone>(value: &Value<Text<T>>) -> Option<T> {
    value.known().map(|text| text.0.clone())
}

/// Returns a port.
pub(crate) fn port(value: Value<PortNumber>) -> Option<Port> {
    value.known().map(|port| port.0)
}

/// Returns a list of parsed texts.
pub(crate) fn texts<T: Clone>(value: &Value<Vec<Text<T>>>) -> Vec<T> {
    let texts = value.known().into_iter().flatten();
    texts.map(|text| text.0.clone()).collect()
}

/// Returns a map of parsed texts.
pub(crate) fn text_map<K: Clone + Ord, V: Clone>(
    value: &Value<BTreeMap<Text<K>, Text<V>>>,
) -> BTreeMap<K, V> {
    let texts = value.known().into_iter().flatten();
    texts
        .map(|(key, text)| (key.0.clone(), text.0.clone()))
        .collect()
}

/// Returns the ports of an entry.
pub(crate) fn ports(
    value: &Value<BTreeMap<Text<PortName>, PortNumber>>,
) -> BTreeMap<PortName, Port> {
    let ports = value.known().into_iter().flatten();
    ports.map(|(name, port)| (name.0.clone(), port.0)).collect()
}

/// Returns a list as an attribute; null if it is empty.
pub(crate) fn from_list<T>(items: Vec<T>) -> Value<Vec<T>> {
    if items.is_empty() {
        Value::Null
    } else {
        Value::Known(items)
    }
}

/// Returns a list of texts as an attribute; null if it is empty.
pub(crate) fn from_texts<T>(items: Vec<T>) -> Value<Vec<Text<T>>> {
    from_list(items.into_iter().map(Text).collect())
}

/// Returns a map as an attribute; null if it is empty.
pub(crate) fn from_map<K: Ord, V>(map: BTreeMap<K, V>) -> Value<BTreeMap<K, V>> {
    if map.is_empty() {
        Value::Null
    } else {
        Value::Known(map)
    }
}

/// Returns a map of texts as an attribute; null if it is empty.
pub(crate) fn from_text_map<K: Ord, V>(map: BTreeMap<K, V>) -> Value<BTreeMap<Text<K>, Text<V>>> {
    let texts = map.into_iter();
    from_map(texts.map(|(key, text)| (Text(key), Text(text))).collect())
}

/// Returns the ports of an entry as an attribute; null if there are none.
pub(crate) fn from_ports(
    ports: BTreeMap<PortName, Port>,
) -> Value<BTreeMap<Text<PortName>, PortNumber>> {
    let ports = ports.into_iter();
    from_map(
        ports
            .map(|(name, port)| (Text(name), PortNumber(port)))
            .collect(),
    )
}
