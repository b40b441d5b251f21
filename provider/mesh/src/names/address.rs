//! Names and addresses on the network.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::{Invalid, has_alphanumeric_ends, text};

text! {
    /// A fully qualified domain name, as Istio accepts it: a trailing dot is allowed.
    Fqdn: "a domain name",
    "at most 255 characters; each part has 1 to 63 letters, digits and '-', beginning and ending with a letter or digit, and the last part is not a number",
    is_fqdn
}

text! {
    /// The host and port of a gRPC server.
    HostPort: "a host and a port",
    "e.g. csr.example.com:443, 192.0.2.7:443 or [2001:db8::7]:443, without a scheme",
    is_host_port
}

text! {
    /// A host name of a service, possibly with `*` as its first part.
    Host: "a service host",
    "a domain name whose first part may be '*' if others follow",
    |text| is_fqdn(text.strip_prefix("*.").unwrap_or(text))
}

impl Host {
    /// Returns true if the first part is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.as_str().starts_with('*')
    }
}

/// An address that pods connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An IP address.
    Ip(IpAddr),
    /// A name that the callers' proxies resolve.
    Fqdn(Fqdn),
}

impl Address {
    /// Returns the IP address; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Fqdn(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        text.parse()
            .map(Self::Fqdn)
            .map_err(|invalid: Invalid| Invalid {
                what: "an address",
                rule: "an IP address or a domain name without wildcard, port or scheme",
                ..invalid
            })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Fqdn(name) => name.fmt(f),
        }
    }
}

/// An address to listen on at the VM: an IP address, a Unix socket in the file system, or (with `@`) an abstract one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listen {
    /// An IP address.
    Ip(IpAddr),
    /// A Unix socket: an absolute path, or `@` and a name.
    Unix(String),
}

impl Listen {
    /// Returns the address with a port, in Envoy's notation; a Unix socket has no port.
    pub fn endpoint(&self, port: u16) -> String {
        match self {
            Self::Ip(ip) => SocketAddr::new(*ip, port).to_string(),
            Self::Unix(_) => self.to_string(),
        }
    }
}

impl FromStr for Listen {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let socket = text.strip_prefix("unix://").filter(|path| is_socket(path));
        match (socket, text.parse()) {
            (Some(path), _) => Ok(Self::Unix(path.to_owned())),
            (None, Ok(ip)) => Ok(Self::Ip(ip)),
            (None, Err(_)) => Err(Invalid::new(
                text,
                "an address on the VM",
                "an IP address, unix:// and an absolute path, or unix://@ and a name",
            )),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Unix(path) => write!(f, "unix://{path}"),
        }
    }
}

/// Istio's rule (`ValidateUnixAddress`); the kernel's limit is 107 bytes.
fn is_socket(path: &str) -> bool {
    let of_file = path.starts_with('/') && !path.ends_with('/');
    let of_name = path.len() > 1 && path.starts_with('@');
    path.len() <= 107 && (of_file || of_name) && !path.contains(char::is_control)
}

/// An IP address, or a range with a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    length: Option<u8>,
}

impl Cidr {
    /// Returns true if it is written as a range, even a range of one address.
    pub fn is_range(&self) -> bool {
        self.length.is_some()
    }

    /// Returns it as a range, because the agent's iptables code does not accept a plain address.
    #[must_use]
    pub fn as_range(&self) -> Self {
        Self {
            length: Some(self.length.unwrap_or(bits(self.address))),
            ..*self
        }
    }
}

impl FromStr for Cidr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let Some((address, length)) = text.split_once('/') else {
                return Some(Self {
                    address: text.parse().ok()?,
                    length: None,
                });
            };
            let address = address.parse().ok()?;
            let length =
                whole_number(length).filter(|length| *length <= u16::from(bits(address)))?;
            Some(Self {
                address,
                length: Some(u8::try_from(length).ok()?),
            })
        };
        parse().ok_or_else(|| {
            Invalid::new(
                text,
                "an IP address or range",
                "e.g. 10.0.0.1, 10.0.0.0/8, fd00::1 or fd00::/8",
            )
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        self.length.map_or(Ok(()), |length| write!(f, "/{length}"))
    }
}

/// Parses a number in canonical notation: no sign, no leading zero.
pub(super) fn whole_number(text: &str) -> Option<u16> {
    let number: u16 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_host_port(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok_and(|of| of.port() != 0) {
        return true;
    }
    text.rsplit_once(':').is_some_and(|(host, port)| {
        is_fqdn(host) && whole_number(port).is_some_and(|port| port != 0)
    })
}

/// Istio's rule (`ValidateFQDN` in istio/pkg/config/validation): the last part may be empty, as in `istio.io.`, and
/// must not be a number, because the name would read as an IP address.
fn is_fqdn(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_part = |part: &str| {
        part.len() <= 63
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && has_alphanumeric_ends(part)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    text.len() <= 255
        && name.split('.').all(is_part)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}
