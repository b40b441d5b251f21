//! Shell quoting of `cluster.env`, which the proxy's start script sources as root.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Returns the content of the file: `KEY=value` lines, sorted by key.
pub(crate) fn write(variables: &BTreeMap<String, String>) -> String {
    variables
        .iter()
        .fold(String::new(), |mut text, (key, value)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key}={}", quote(value));
            text
        })
}

/// Quotes a value as one shell word that expands to exactly this value.
pub(crate) fn quote(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r#"'"'"'"#))
}

/// Returns the variables that a file sets; the last assignment of a name wins. `None`: it contains more than plain
/// assignments, e.g. a command, an expansion or an open quote.
pub(crate) fn read(text: &str) -> Option<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(['\n', ' ', '\t']) {
            rest = after;
        } else if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else {
            let (key, after) = rest.split_once('=')?;
            key.parse::<crate::names::EnvName>().ok()?;
            let (value, after) = word(after)?;
            variables.insert(key.to_owned(), value);
            rest = after;
        }
    }
    Some(variables)
}

/// Reads one shell word up to the end of its line: plain characters, '…', and "…" without expansions.
fn word(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        match first {
            '\n' => return Some((value, after)),
            '\'' | '"' => {
                let (inner, after) = after.split_once(first)?;
                if first == '"' && inner.contains(['$', '`', '\\']) {
                    return None;
                }
                value.push_str(inner);
                rest = after;
            }
            ' ' | '\t' | '\\' | '$' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | '\r' => {
                return None;
            }
            plain => {
                value.push(plain);
                rest = after;
            }
        }
    }
    Some((value, ""))
}
