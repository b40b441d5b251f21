//! What OpenSSH's own words on a failed connection mean.
//!
//! ssh has one exit status for everything, so its log at level DEBUG1 is read, in the C locale. A
//! hostile host can write lines into it (its banner) and so at worst choose which error is shown.

use super::Hop;
use crate::VmError;

/// Returns the error in the log of an `ssh` that ended before its login.
pub(super) fn refusal(hop: &Hop, log: &[String]) -> VmError {
    if let Some(cause) = last(log, is_configuration) {
        return VmError::Configuration {
            cause: cause.into(),
        };
    }
    if let Some(refused) = last(log, |line| {
        line.contains("Host key verification failed") || unmatched(line).is_some()
    }) {
        return untrusted(hop, log, refused);
    }
    if let Some(line) = last(log, |line| {
        line.contains("Permission denied (") || line.contains("Too many authentication failures")
    }) {
        return unwelcome(hop, log, line);
    }
    VmError::Connect {
        host: hop.login(),
        cause: cause(log),
    }
}

/// Whether the next attempt may well succeed: the host closed or reset the connection, or was too slow, before the login.
pub(super) fn is_passing(error: &VmError) -> bool {
    match error {
        VmError::Connect { cause, .. } => PASSING.iter().any(|words| cause.contains(words)),
        _ => false,
    }
}

/// OpenSSH's words for it, and ours. `Connection refused` is not among them: nothing listens then.
const PASSING: [&str; 5] = [
    "onnection closed",
    "onnection reset",
    "timed out",
    CLOSED,
    NO_LOGIN,
];
/// The reason for a log without one.
const CLOSED: &str = "the connection was closed";
/// How the cause of a login that takes too long begins.
pub(super) const NO_LOGIN: &str = "no login within";

/// Returns the user that ssh logs in as, which its configuration may have chosen.
pub(super) fn user(log: &[String]) -> Option<String> {
    let line = last(log, |line| line.starts_with("debug1: Authenticating to "))?;
    let (_, user) = line.rsplit_once(" as '")?;
    Some(user.trim_end_matches('\'').to_owned())
}

fn last(log: &[String], fits: impl Fn(&str) -> bool) -> Option<&str> {
    log.iter().rev().map(String::as_str).find(|line| fits(line))
}

fn is_configuration(line: &str) -> bool {
    [
        "Bad configuration option",
        "Can't open user config file",
        "terminating, ",
        "Bad owner or permissions on",
    ]
    .iter()
    .any(|words| line.contains(words))
        && !line.starts_with("debug")
}

fn unmatched(line: &str) -> Option<&str> {
    line.split_once("no matching host key type found. Their offer: ")
        .map(|(_, offer)| offer)
}

fn untrusted(hop: &Hop, log: &[String], refused: &str) -> VmError {
    let shown = last(log, |line| line.starts_with("debug1: Server host "));
    let shown = shown
        .and_then(|line| line.split_once(": "))
        .and_then(|(_, rest)| rest.split_once(": "));
    let mut found = shown.map(|(_, key)| key.split(' ').take(2).collect::<Vec<_>>().join(" "));
    if let Some(types) = unmatched(refused) {
        found = Some(format!("only keys of the types {types}"));
    }
    if let Some((_, why)) = last(log, |line| line.contains("Certificate invalid: "))
        .and_then(|line| line.split_once("invalid: "))
    {
        found = found.map(|key| format!("{key} ({why})"));
    }
    VmError::HostKey {
        host: hop.login(),
        expected: hop.trust.expectation(hop),
        found,
    }
}

fn unwelcome(hop: &Hop, log: &[String], line: &str) -> VmError {
    let accepted = line
        .split_once("denied (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(methods, _)| methods);
    VmError::Auth {
        host: hop.address(),
        user: user(log).or_else(|| hop.user.clone()).unwrap_or_default(),
        offered: offered(log),
        accepted: accepted.unwrap_or("no more attempts").into(),
    }
}

/// `debug1: Offering public key: COMMENT ED25519 SHA256:… explicit agent`
fn offered(log: &[String]) -> String {
    let offers = log
        .iter()
        .filter(|line| line.starts_with("debug1: Offering public key: "));
    let mut keys: Vec<String> = offers
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let at = words.iter().position(|word| word.starts_with("SHA256:"))?;
            Some(words[at.checked_sub(1)?..=at].join(" "))
        })
        .collect();
    keys.dedup();
    if keys.is_empty() {
        "nothing".into()
    } else {
        keys.join(", ")
    }
}

/// Returns why there is no connection, in ssh's words.
fn cause(log: &[String]) -> String {
    let plain = |line: &str| !line.starts_with("debug") && !line.is_empty();
    let known = KNOWN
        .iter()
        .find_map(|words| last(log, |line| plain(line) && line.contains(words)));
    let text = known.or_else(|| last(log, plain)).unwrap_or(CLOSED);
    if text.contains(REFUSED_BY_BASTION) {
        return "the bastion before it cannot open a connection to it".into();
    }
    // `ssh: connect to host HOST port PORT: Connection refused`: host and port are in the error.
    let short = text
        .strip_prefix("ssh: connect to host ")
        .and_then(|rest| rest.split_once(": "));
    short
        .map_or(text, |(_, reason)| reason)
        .chars()
        .take(300)
        .collect()
}

const REFUSED_BY_BASTION: &str = "tdio forwarding request failed";

/// The most telling words first: what follows from them is in the log, too.
const KNOWN: [&str; 9] = [
    REFUSED_BY_BASTION,
    "connect to host",
    "Could not resolve hostname",
    "Unable to negotiate",
    "Received disconnect",
    "banner exchange",
    "kex_exchange_identification",
    "Connection reset",
    "Connection timed out",
];
