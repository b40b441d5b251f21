//! Differences of the files on the VM. The environment file and the mesh config are compared by their values, not by
//! bytes: a different notation of the same value is not drift.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finding::What;
use super::findings::{Findings, plain};
use crate::bounded;
use crate::bundle::{CLUSTER_ENV, MESH_CONFIG, TOKEN_COMMAND, of_facts, owns, quote};
use crate::cause::Cause;
use crate::desired::{Bundle, File, Watch};
use crate::observed::Seen;
use crate::workload::Interception;

pub(super) fn compare(bundle: &Bundle, observed: &BTreeMap<String, Seen>, lines: &mut Findings) {
    for file in &bundle.files {
        lines.because(Cause::Files);
        match (observed.get(&file.path), file.watch) {
            (None, _) => {}
            (Some(Seen::Missing), _) => {
                lines.because(of_content(file));
                lines.add(None, &file.path, What::Missing { should: None });
            }
            (Some(Seen::Odd(why)), _) => lines.say(&format!("{} {}", file.path, plain(why))),
            (
                Some(Seen::File {
                    owner,
                    mode,
                    content,
                }),
                Watch::Yes,
            ) => {
                access(file, owner, *mode, lines);
                contents(bundle, file, content, lines);
            }
            (
                Some(Seen::File {
                    owner,
                    mode,
                    content,
                }),
                Watch::No,
            ) => root(bundle, file, (owner, *mode), content, lines),
        }
    }
}

fn access(file: &File, owner: &str, mode: u32, lines: &mut Findings) {
    let path = &file.path;
    if owner != file.owner {
        lines.compare(Some(path), "owner", Some(owner), Some(file.owner));
    }
    if mode & 0o7777 != file.mode {
        lines.say(&format!(
            "{path}: mode is {:04o}, should be {:04o}",
            mode & 0o7777,
            file.mode
        ));
    }
}

fn contents(bundle: &Bundle, file: &File, content: &[u8], lines: &mut Findings) {
    if file.content == content {
        return;
    }
    let known = match file.path.as_str() {
        CLUSTER_ENV => parsed(file, content, |bytes| {
            quote::read(std::str::from_utf8(bytes).ok()?)
        }),
        MESH_CONFIG => parsed(file, content, |bytes| leaves(&bounded::yaml(bytes).ok()?)),
        _ => None,
    };
    lines.because(of_content(file));
    match known {
        Some((desired, seen)) => values(bundle, &file.path, &desired, &seen, lines),
        None => lines.add(Some(&file.path), "content", What::Hidden),
    }
}

/// Returns the cause if the content of a file differs as a whole. The token command is the user's own, as it is written.
fn of_content(file: &File) -> Cause {
    if file.path == TOKEN_COMMAND {
        Cause::Configuration
    } else {
        Cause::Files
    }
}

type Values = BTreeMap<String, String>;

/// Maximum total size of all paths of a document in bytes.
const LONGEST_PATHS: usize = 16 << 20;

fn parsed(
    file: &File,
    seen: &[u8],
    read: impl Fn(&[u8]) -> Option<Values>,
) -> Option<(Values, Values)> {
    Some((read(&file.content)?, read(seen)?))
}

/// Compares values one by one. Only values that the provider computes are shown: those of the mesh and the user, and
/// variables of unknown origin, may be secrets.
fn values(bundle: &Bundle, path: &str, desired: &Values, seen: &Values, lines: &mut Findings) {
    let keys: BTreeSet<&String> = desired.keys().chain(seen.keys()).collect();
    for key in keys {
        let (is, should_be) = (seen.get(key), desired.get(key));
        if is == should_be {
            continue;
        }
        let name = plain(key);
        let variable = key.strip_prefix("defaultConfig.proxyMetadata.");
        let variable = variable.unwrap_or(key);
        let public = owns(variable);
        lines.because(if of_workload(bundle, variable) {
            Cause::Configuration
        } else {
            Cause::Mesh
        });
        match (is, should_be) {
            _ if public || key == "defaultConfig.discoveryAddress" => {
                let (is, should) = (is.map(String::as_str), should_be.map(String::as_str));
                lines.compare(Some(path), &name, is, should);
            }
            (Some(_), None) => lines.add(Some(path), &name, What::Unwanted { is: None }),
            (None, _) => lines.add(Some(path), &name, What::Missing { should: None }),
            (Some(_), Some(_)) => lines.add(Some(path), &name, What::Hidden),
        }
    }
}

/// Returns true if a value comes from the configuration and not from the cluster.
fn of_workload(bundle: &Bundle, name: &str) -> bool {
    let setting: Vec<&str> = name.split('.').take(2).collect();
    let setting = setting.join(".");
    bundle.own.contains(&setting) || owns(name) && !of_facts(name)
}

/// Returns the values of a document by path. Equal numbers have the same text. `None`: the paths exceed the limit, e.g.
/// because a long name has many values below it.
fn leaves(document: &Value) -> Option<Values> {
    fn walk(at: &str, value: &Value, left: &mut usize, leaves: &mut Values) -> Option<()> {
        let below = |key: &str| {
            if at.is_empty() {
                key.to_owned()
            } else {
                format!("{at}.{key}")
            }
        };
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    let at = below(key);
                    *left = left.checked_sub(at.len())?;
                    walk(&at, value, left, leaves)?;
                }
            }
            Value::String(text) => drop(leaves.insert(at.to_owned(), text.clone())),
            Value::Number(number) => {
                let text = number
                    .as_f64()
                    .map_or_else(|| number.to_string(), |number| number.to_string());
                leaves.insert(at.to_owned(), text);
            }
            // An empty document has no values.
            Value::Null if at.is_empty() => {}
            other => drop(leaves.insert(at.to_owned(), other.to_string())),
        }
        Some(())
    }
    let (mut found, mut left) = (Values::new(), LONGEST_PATHS);
    walk("", document, &mut left, &mut found)?;
    Some(found)
}

/// Checks the trust root. The agent rewrites it with its own mode and without the last newline, so it only has to
/// contain a certificate that the proxy's user can read. With tproxy, that user is root.
fn root(
    bundle: &Bundle,
    file: &File,
    (owner, mode): (&str, u32),
    content: &[u8],
    lines: &mut Findings,
) {
    let path = &file.path;
    let is_roots = bundle.proxy.interception == Interception::Tproxy;
    if !String::from_utf8_lossy(content).contains("-----BEGIN CERTIFICATE-----") {
        lines.say(&format!("{path}: holds no certificate"));
    }
    if mode & 0o004 == 0 && !is_roots && !(owner == file.owner && mode & 0o400 != 0) {
        lines.say(&format!("{path}: {} cannot read it", file.owner));
    }
}

/// Compares the trusted roots with those of the mesh. A connected proxy follows a rotation of the mesh's root. A proxy
/// that was disconnected meanwhile trusts only roots that no longer exist, and can never reconnect by itself.
pub(super) fn compare_roots(
    bundle: &Bundle,
    observed: &BTreeMap<String, Seen>,
    lines: &mut Findings,
) {
    lines.because(Cause::Certificate);
    for file in bundle.files.iter().filter(|file| file.watch == Watch::No) {
        let Some(Seen::File { content, .. }) = observed.get(&file.path) else {
            continue;
        };
        let (trusted, present) = (certificates(content), certificates(&file.content));
        if !trusted.is_empty() && trusted.is_disjoint(&present) {
            lines.say(&format!(
                "{}: the mesh's root was rotated while the proxy was away",
                file.path
            ));
        }
    }
}

/// Returns the certificates of a PEM text, each as its base64.
fn certificates(pem: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(pem);
    let bodies = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    bodies
        .filter_map(|rest| rest.split_once("-----END CERTIFICATE-----"))
        .map(|(body, _)| body.split_whitespace().collect())
        .collect()
}
