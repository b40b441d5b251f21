//! Ports, protocols and hosts of services.

use std::fmt;
use std::str::FromStr;

use super::address::whole_number;
use super::{Fqdn, Host, Invalid, has_alphanumeric_ends, is_dns_label, text};

text! {
    /// A port name of at most 62 characters, as the CRD of `WorkloadEntry` requires.
    PortName: "a port name",
    "1 to 62 letters, digits and '-', beginning and ending with a letter or digit",
    |text| {
        text.len() < 63
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && has_alphanumeric_ends(text)
    }
}

text! {
    /// A namespace that a service is exported to: its name, `.` (the service's own), `*` (all) or `~` (none).
    ExportTo: "a namespace to export to",
    "a namespace, '.' for the service's own, '*' for all or '~' for none",
    |text| matches!(text, "." | "*" | "~") || is_dns_label(text)
}

text! {
    /// A host that a proxy may reach: `namespace/host`.
    EgressHost: "a host to reach",
    "namespace/host: the namespace may be '*', '.' for its own or '~' for none, the host '*' or a domain name with a dot, which may begin with '*.'",
    is_egress_host
}

/// Istio's rule (`ValidateNamespaceSlashWildcardHostname`); `~namespace` excludes a namespace.
fn is_egress_host(text: &str) -> bool {
    let Some((namespace, host)) = text.split_once('/') else {
        return false;
    };
    let of = namespace.strip_prefix('~').unwrap_or(namespace);
    let namespace_fits = namespace == "~" || matches!(of, "*" | ".") || is_dns_label(of);
    let is_name = host.parse::<Host>().is_ok() || host.parse::<Fqdn>().is_ok();
    namespace_fits && (host == "*" || is_name && host.contains('.'))
}

/// A port from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(u16);

impl Port {
    /// Returns the number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Port {
    type Error = Invalid;

    fn try_from(number: u16) -> Result<Self, Invalid> {
        number.to_string().parse()
    }
}

impl FromStr for Port {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        whole_number(text)
            .filter(|number| *number > 0)
            .map(Self)
            .ok_or_else(|| Invalid::new(text, "a port", "a whole number from 1 to 65535"))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Application protocol of a port. Parsed case-insensitively, written in Istio's upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are Istio's protocols")]
pub enum Protocol {
    Tcp,
    Udp,
    Grpc,
    GrpcWeb,
    Http,
    HttpProxy,
    Http2,
    Https,
    Tls,
    Mongo,
    Redis,
    Mysql,
}

impl Protocol {
    /// All protocols by name.
    pub const ALL: [(&'static str, Self); 12] = [
        ("TCP", Self::Tcp),
        ("UDP", Self::Udp),
        ("GRPC", Self::Grpc),
        ("GRPC-WEB", Self::GrpcWeb),
        ("HTTP", Self::Http),
        ("HTTP_PROXY", Self::HttpProxy),
        ("HTTP2", Self::Http2),
        ("HTTPS", Self::Https),
        ("TLS", Self::Tls),
        ("MONGO", Self::Mongo),
        ("REDIS", Self::Redis),
        ("MYSQL", Self::Mysql),
    ];

    /// Returns true if requests carry the host name, so that several hosts can share a port.
    pub fn names_its_host(self) -> bool {
        use Protocol::{Grpc, GrpcWeb, Http, Http2, HttpProxy, Https, Tls};
        matches!(
            self,
            Grpc | GrpcWeb | Http | HttpProxy | Http2 | Https | Tls
        )
    }
}

impl FromStr for Protocol {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, protocol)| *protocol).ok_or_else(
            || {
                Invalid::new(
                    text,
                    "a protocol",
                    "one of TCP, UDP, GRPC, GRPC-WEB, HTTP, HTTP_PROXY, HTTP2, HTTPS, TLS, MONGO, REDIS, MYSQL",
                )
            },
        )
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .iter()
            .find(|(_, protocol)| protocol == self)
            .map_or("", |(name, _)| name);
        f.write_str(name)
    }
}
