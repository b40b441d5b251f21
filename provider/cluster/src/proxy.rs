//! The proxy that the environment names for a server. The rules are those of Go's `golang.org/x/net/http/httpproxy`, by
//! which kubectl and Terraform itself go.

use std::net::IpAddr;

use http::Uri;

use crate::environment::Environment;
use crate::error::ClusterError;

/// What the URL of a proxy must be.
pub(crate) const RULE: &str = "must be an http://, https:// or socks5:// URL";

/// Reads the URL of a proxy.
///
/// # Errors
/// [`RULE`]. The URL may hold a password.
pub(crate) fn parse(url: &str) -> Result<Uri, &'static str> {
    let parsed = url.parse::<Uri>().ok();
    let is_usable = |uri: &Uri| {
        matches!(
            uri.scheme_str(),
            Some("http" | "https" | "socks5" | "socks5h")
        ) && uri.host().is_some_and(|host| !host.is_empty())
    };
    parsed.filter(is_usable).ok_or(RULE)
}

/// Returns the URL of the proxy for a server. `None`: a direct connection, as for this machine and for what `NO_PROXY`
/// lists.
///
/// # Errors
/// [`ClusterError::Variable`].
pub(crate) fn for_server(
    server: &Uri,
    environment: Environment<'_>,
) -> Result<Option<Uri>, ClusterError> {
    let variable = |upper: &str| {
        [upper.to_owned(), upper.to_lowercase()]
            .into_iter()
            .find_map(|name| {
                let value = environment(&name).filter(|value| !value.is_empty());
                value.map(|value| (name, value))
            })
    };
    let is_http = server.scheme_str() == Some("http");
    let proxy = variable(if is_http { "HTTP_PROXY" } else { "HTTPS_PROXY" });
    let target = Target::of(server, if is_http { "80" } else { "443" });
    let (Some((name, proxy)), Some(target)) = (proxy, target) else {
        return Ok(None);
    };
    let exceptions = variable("NO_PROXY").map(|(_, value)| value);
    if target.is_this_machine() || target.is_excepted(&exceptions.unwrap_or_default()) {
        return Ok(None);
    }
    let url = if proxy.contains("://") {
        proxy
    } else {
        format!("http://{proxy}")
    };
    let wrong = |reason: &str| ClusterError::Variable {
        name,
        reason: reason.into(),
    };
    parse(&url).map(Some).map_err(wrong)
}

/// The server of a connection.
struct Target {
    /// In lower case, without brackets.
    host: String,
    ip: Option<IpAddr>,
    port: String,
}

impl Target {
    fn of(server: &Uri, default_port: &str) -> Option<Self> {
        let host = server.host()?.trim_matches(['[', ']']).to_lowercase();
        let port = server.port().map(|port| port.to_string());
        Some(Self {
            ip: address(&host),
            host,
            port: port.unwrap_or_else(|| default_port.to_owned()),
        })
    }

    fn is_this_machine(&self) -> bool {
        self.host == "localhost" || self.ip.is_some_and(|ip| ip.is_loopback())
    }

    /// Whether one of the items of `NO_PROXY` matches. An item that is not understood matches nothing.
    fn is_excepted(&self, exceptions: &str) -> bool {
        let items = exceptions.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .any(|item| self.matches(&item.to_lowercase()))
    }

    /// An item is `*`, a range of addresses, or an address or a name, each with or without a port.
    fn matches(&self, item: &str) -> bool {
        if item == "*" {
            return true;
        }
        if let Some((network, length)) = range(item) {
            return self.ip.is_some_and(|ip| contains(network, length, ip));
        }
        let (host, port) = split_port(item);
        if port.is_some_and(|port| port != self.port) {
            return false;
        }
        match address(host) {
            Some(ip) => self.ip == Some(ip),
            None => self.has_name(host),
        }
    }

    /// `corp` matches the name and all names below it; `.corp` and `*.corp` only those below it.
    fn has_name(&self, name: &str) -> bool {
        let below = match name.strip_prefix('*').filter(|rest| rest.starts_with('.')) {
            Some(below) => below.to_owned(),
            None if name.starts_with('.') => name.to_owned(),
            None => format!(".{name}"),
        };
        let is_itself = !name.is_empty() && self.host == name;
        below.len() > 1 && (is_itself || self.host.ends_with(&below))
    }
}

/// Returns an IP address; one of IPv4 that is written as IPv6 is the former.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn range(item: &str) -> Option<(IpAddr, u32)> {
    let (network, length) = item.split_once('/')?;
    let (network, length) = (network.parse::<IpAddr>().ok()?, length.parse().ok()?);
    let longest = if network.is_ipv4() { 32 } else { 128 };
    (length <= longest).then_some((network, length))
}

/// Splits the port off. An address of IPv6 has one only behind brackets.
fn split_port(item: &str) -> (&str, Option<&str>) {
    if let Some(rest) = item.strip_prefix('[') {
        // Brackets without a port are no address to Go either.
        return match rest.split_once("]:") {
            Some((host, port)) => (host, Some(port)),
            None => (item, None),
        };
    }
    match item.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (item, None),
    }
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
    differs.checked_shr(width - length).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(server: &str, environment: &[(&str, &str)]) -> Option<String> {
        let lookup = |name: &str| {
            let mut all = environment.iter();
            all.find(|(of, _)| *of == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let url = for_server(&server.parse().unwrap(), &lookup).unwrap();
        url.map(|url| url.to_string().trim_end_matches('/').to_owned())
    }

    /// Checked against `httpproxy` of `golang.org/x/net` 0.58.
    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (item, server, excepted) in [
            ("localhost,", "https://api.corp", false),
            (",", "https://api.corp", false),
            ("<local>", "https://api.corp", false),
            ("https://api.corp/path", "https://api.corp", false),
            ("api.corp/path", "https://api.corp", false),
            ("a b", "https://api.corp", false),
            (" api.corp ,x", "https://api.corp", true),
            ("*", "https://api.corp", true),
            ("corp", "https://api.corp", true),
            ("corp", "https://corp", true),
            ("corp", "https://notcorp", false),
            (".corp", "https://api.corp", true),
            (".corp", "https://corp", false),
            ("*.corp", "https://api.corp", true),
            ("*.corp", "https://corp", false),
            ("*corp", "https://api.corp", false),
            (".", "https://api.corp", false),
            ("CORP", "https://api.corp", true),
            ("corp", "https://API.CORP", true),
            ("corp:6443", "https://api.corp:6443", true),
            ("corp:6443", "https://api.corp", false),
            ("corp:443", "https://api.corp", true),
            (".corp:6443", "https://api.corp:6443", true),
            (".corp:6443", "https://api.corp:6444", false),
            (":6443", "https://api.corp:6443", false),
            ("192.0.2.1", "https://192.0.2.1:6443", true),
            ("192.0.2.1:6443", "https://192.0.2.1:6443", true),
            ("192.0.2.1:443", "https://192.0.2.1:6443", false),
            ("192.0.2.0/24", "https://192.0.2.1:6443", true),
            ("192.0.2.0/24:6443", "https://192.0.2.1:6443", false),
            ("192.0.2.0/33", "https://192.0.2.1:6443", false),
            ("0.0.0.0/0", "https://192.0.2.1:6443", true),
            ("fd00::1", "https://[fd00::1]:6443", true),
            ("[fd00::1]", "https://[fd00::1]:6443", false),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("[fd00::1]:443", "https://[fd00::1]:6443", false),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("::/0", "https://[fd00::1]:6443", true),
            ("::/0", "https://192.0.2.1", false),
            ("192.0.2.1", "https://[::ffff:192.0.2.1]", true),
        ] {
            let environment = [("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", item)];
            let found = proxied(server, &environment);
            assert_eq!(found.is_none(), excepted, "{item:?} {server}");
        }
    }

    #[test]
    fn each_scheme_has_its_own_proxy_and_this_machine_has_none() {
        let both = [
            ("HTTP_PROXY", "http://plain:3128"),
            ("https_proxy", "secure:3128"),
        ];
        for (server, proxy) in [
            ("http://api.corp", Some("http://plain:3128")),
            ("https://api.corp", Some("http://secure:3128")),
            ("https://localhost:6443", None),
            ("https://127.0.0.2:6443", None),
            ("https://[::1]:6443", None),
        ] {
            assert_eq!(proxied(server, &both).as_deref(), proxy, "{server}");
        }
        let one = [("HTTPS_PROXY", "http://secure:3128")];
        assert_eq!(proxied("http://api.corp", &one), None);
        let empty = [("HTTPS_PROXY", ""), ("https_proxy", "http://lower:3128")];
        assert_eq!(
            proxied("https://api.corp", &empty).as_deref(),
            Some("http://lower:3128")
        );
    }
}
