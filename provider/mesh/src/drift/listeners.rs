//! Differences of the listeners of a `Sidecar`. An apply replaces each list as a whole, so whatever others put into one
//! of its elements would be removed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::findings::{Findings, plain};
use super::values::{same, shown};

/// Returns true for the path of a list of listeners.
pub(super) fn is_list(at: &str) -> bool {
    ["spec.ingress", "spec.egress"].contains(&at)
}

/// Adds a finding for each listener, and for each part of one, that differs. Listeners are matched by port.
pub(super) fn compare(
    (title, at): (&str, &str),
    desired: &[Value],
    seen: &[Value],
    lines: &mut Findings,
) {
    let find = |all: &'_ [Value], key: &str| all.iter().position(|of| self::key(of) == key);
    for listener in desired {
        let at = path(at, listener);
        match find(seen, &key(listener)).and_then(|index| seen.get(index)) {
            Some(seen) => parts((title, &at), listener, seen, lines),
            None => lines.compare(Some(title), &at, None, shown(listener).as_deref()),
        }
    }
    for listener in seen {
        if find(desired, &key(listener)).is_none() {
            let at = path(at, listener);
            lines.compare(Some(title), &at, shown(listener).as_deref(), None);
        }
    }
}

/// Compares the parts of a listener one by one, in both directions.
fn parts((title, at): (&str, &str), desired: &Value, seen: &Value, lines: &mut Findings) {
    let names = |of: &Value| {
        let map = of.as_object().into_iter().flatten();
        map.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
    };
    for name in &names(desired) | &names(seen) {
        let at = format!("{at}.{}", plain(&name));
        let (should, is) = (&desired[name.as_str()], &seen[name.as_str()]);
        match (should, is) {
            (Value::Object(_), Value::Object(_)) => parts((title, &at), should, is, lines),
            _ if is_exact(should, is) || should.is_null() && is_default(&name, is) => {}
            _ => lines.compare(
                Some(title),
                &at,
                shown(is).as_deref(),
                shown(should).as_deref(),
            ),
        }
    }
}

/// Returns true if two values are equivalent in both directions.
fn is_exact(desired: &Value, seen: &Value) -> bool {
    same(desired, seen) && same(seen, desired)
}

/// Returns true if a value means the same as an absent one.
fn is_default(name: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty() || name == "captureMode" && text == "DEFAULT",
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn path(list: &str, listener: &Value) -> String {
    format!("{list}[{}]", plain(&key(listener)))
}

/// Returns the key of a listener in its list: the number of its port, or the port's name if it has no number (a Unix
/// socket); `*` for the one without a port, which takes all other traffic.
fn key(listener: &Value) -> String {
    let port = &listener["port"];
    let number = port["number"].as_u64().filter(|number| *number != 0);
    let name = || port["name"].as_str().map(str::to_owned);
    let key = number.map(|number| number.to_string()).or_else(name);
    key.unwrap_or_else(|| "*".to_owned())
}
