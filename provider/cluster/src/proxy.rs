//! The proxy that the environment names, as Go programs read it.

use std::net::IpAddr;

use http::Uri;

use crate::settings::Environment;

/// Returns the proxy for a server: none for this machine, nor for what `NO_PROXY` lists.
pub(crate) fn for_server(server: &Uri, environment: Environment<'_>) -> Option<String> {
    let variable = |upper, lower| environment(upper).or_else(|| environment(lower));
    let proxy = variable("HTTPS_PROXY", "https_proxy").filter(|proxy| !proxy.is_empty())?;
    let host = server.host()?.trim_matches(['[', ']']);
    let ip: Option<IpAddr> = host.parse().ok();
    let local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    let exempt = variable("NO_PROXY", "no_proxy").unwrap_or_default();
    if local || exempt.split(',').any(|rule| exempts(rule.trim(), host, ip)) {
        return None;
    }
    Some(if proxy.contains("://") {
        proxy
    } else {
        format!("http://{proxy}")
    })
}

/// A rule is `*`, a range of addresses, or a name with all names below it.
fn exempts(rule: &str, host: &str, ip: Option<IpAddr>) -> bool {
    if let (Some((network, length)), Some(ip)) = (rule.split_once('/'), ip) {
        return match (network.parse(), length.parse()) {
            (Ok(network), Ok(length)) => contains(network, length, ip),
            _ => false,
        };
    }
    let name = rule.trim_start_matches('.');
    let below = host
        .strip_suffix(name)
        .is_some_and(|left| left.is_empty() || left.ends_with('.'));
    rule == "*" || (!name.is_empty() && below)
}

fn contains(network: IpAddr, length: u32, ip: IpAddr) -> bool {
    let (left, right, width) = match (network, ip) {
        (IpAddr::V4(left), IpAddr::V4(right)) => {
            (left.to_bits().into(), right.to_bits().into(), 32)
        }
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits(), right.to_bits(), 128_u32),
        _ => return false,
    };
    let differs: u128 = left ^ right;
    width
        .checked_sub(length)
        .is_some_and(|host_bits| differs.checked_shr(host_bits).unwrap_or(0) == 0)
}
