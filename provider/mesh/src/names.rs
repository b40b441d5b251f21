//! Names of Istio and Kubernetes as types, parsed at the edges.
//!
//! **Invariant**: a value of one of these types satisfies the rule in its error, and `parse(display(x)) == x`.

mod address;
mod release;
mod service;

use std::fmt;
use std::str::FromStr;

pub use address::{Address, Cidr, Fqdn, Host, HostPort, Listen};
pub use release::{IstioVersion, ReleaseUrl};
pub use service::{EgressHost, ExportTo, Port, PortName, Protocol};

/// A text that violates the rule of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {what} ({rule}), got {found:?}")]
pub struct Invalid {
    /// The text, shortened to 80 characters.
    pub found: String,
    /// Kind of value that is expected, with its article.
    pub what: &'static str,
    /// Rule of that kind.
    pub rule: &'static str,
}

impl Invalid {
    pub(crate) fn new(found: &str, what: &'static str, rule: &'static str) -> Self {
        Self {
            found: shown(found),
            what,
            rule,
        }
    }
}

/// Returns a URL without its login, which errors and logs would show. The URL may be malformed, and a password may contain
/// characters that should be encoded, so everything up to the last `@` is removed.
pub fn without_login(url: &str) -> String {
    let Some((login, host)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let is_scheme = |text: &str| {
        let name = text.strip_suffix(':').unwrap_or(text);
        name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let scheme = login.split_once("//").map(|(scheme, _)| scheme);
    match scheme.filter(|scheme| is_scheme(scheme)) {
        Some(scheme) => format!("{scheme}//…@{host}"),
        None => format!("…@{host}"),
    }
}

/// Returns a text as errors show it: at most 80 characters, and of a URL neither its login nor its query, which may be
/// secret.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = text.to_owned();
    if text.contains("//") {
        shown = without_login(text);
        if let Some((base, _)) = shown.split_once('?') {
            shown = format!("{base}?…");
        }
    }
    if shown.chars().count() > 80 {
        shown = shown.chars().take(80).chain(['…']).collect();
    }
    shown
}

/// Declares a string type with a rule.
macro_rules! text {
    ($(#[doc = $about:literal])+ $Name:ident: $what:literal, $rule:literal, $holds:expr) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(String);

        impl $Name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $Name {
            type Err = $crate::names::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let holds: fn(&str) -> bool = $holds;
                if holds(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err($crate::names::Invalid::new(text, $what, $rule))
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use text;

/// Declares an enum of words.
macro_rules! words {
    ($(#[doc = $about:literal])+ $Name:ident: $what:literal, $rule:literal { $( $(#[doc = $doc:literal])+ $Variant:ident = $word:literal, )+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Name { $( $(#[doc = $doc])+ $Variant, )+ }

        impl std::str::FromStr for $Name {
            type Err = $crate::names::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $word => Ok(Self::$Variant), )+
                    _ => Err($crate::names::Invalid::new(text, $what, $rule)),
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $( Self::$Variant => $word, )+ })
            }
        }
    };
}
pub(crate) use words;

text! {
    /// A Kubernetes namespace.
    Namespace: "a namespace",
    "1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit",
    is_dns_label
}

text! {
    /// The name of a Kubernetes object. The name of a `WorkloadEntry` must not contain dots either (see `validate`).
    Name: "a Kubernetes name",
    "1 to 253 lower-case letters, digits, '-' and '.', each part between dots beginning and ending with a letter or digit",
    is_dns_subdomain
}

text! {
    /// The key of a label or an annotation: `name` or `prefix/name`.
    LabelKey: "a label key",
    "an optional DNS name and '/', then 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    |text| match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_qualified(name),
        None => is_qualified(text),
    }
}

text! {
    /// The value of a label, possibly empty.
    LabelValue: "a label value",
    "at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    |text| text.is_empty() || is_qualified(text)
}

text! {
    /// The ID of a network. It must be a valid label value, because gateways are labelled with it.
    Network: "a network",
    "1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    is_qualified
}

text! {
    /// `region`, `region/zone` or `region/zone/subzone`.
    Locality: "a locality",
    "region, region/zone or region/zone/subzone, each of letters, digits, '-', '_' and '.'",
    |text| {
        text.len() <= 2048
            && text.split('/').count() <= 3
            && text.split('/').all(|part| !part.is_empty() && part.bytes().all(is_word))
    }
}

text! {
    /// The name of an environment variable.
    EnvName: "the name of an environment variable",
    "letters, digits and '_', not beginning with a digit",
    |text| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
    }
}

/// A SHA-256 hash, written in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(String);

impl FromStr for Sha256 {
    type Err = Invalid;

    /// Parses 64 hex digits, also after `sha256:`, as images and download pages write a digest.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(digits.to_ascii_lowercase()))
        } else {
            Err(Invalid::new(
                text,
                "a SHA-256 hash in hex",
                "64 digits and letters from a to f, with or without sha256: in front",
            ))
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text! {
    /// The reference of a container image, as Docker and Podman accept it.
    ImageName: "an image",
    "a name and a tag or digest, such as istio/proxyv2:1.31.0, of at most 512 letters, digits and '.', '_', '-', '/', ':', '@', beginning with a letter or digit",
    |text| {
        text.len() <= 512
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte))
            && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
    }
}

/// Namespace and name, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The namespace.
    pub namespace: Namespace,
    /// The name in it.
    pub name: Name,
}

impl FromStr for Id {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (namespace, name) = text
            .split_once('/')
            .ok_or_else(|| Invalid::new(text, "an id", "namespace/name"))?;
        Ok(Self {
            namespace: namespace.parse()?,
            name: name.parse()?,
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The SPIFFE ID of a workload: `spiffe://trust-domain/ns/namespace/sa/account`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The trust domain of the mesh.
    pub trust_domain: String,
    /// The workload's namespace.
    pub namespace: Namespace,
    /// Its Kubernetes service account.
    pub service_account: Name,
}

impl FromStr for SpiffeId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text
            .strip_prefix("spiffe://")
            .unwrap_or_default()
            .split('/')
            .collect();
        match parts[..] {
            [trust_domain, "ns", namespace, "sa", account] if !trust_domain.is_empty() => {
                Ok(Self {
                    trust_domain: trust_domain.to_owned(),
                    namespace: namespace.parse()?,
                    service_account: account.parse()?,
                })
            }
            _ => Err(Invalid::new(
                text,
                "a SPIFFE ID of Istio",
                "spiffe://trust-domain/ns/namespace/sa/account",
            )),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/ns/{}/sa/{}",
            self.trust_domain, self.namespace, self.service_account
        )
    }
}

/// Returns true if a text is an RFC 1123 label as Kubernetes requires it.
pub(crate) fn is_dns_label(text: &str) -> bool {
    text.len() <= 63
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && has_alphanumeric_ends(text)
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            part.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                && has_alphanumeric_ends(part)
        })
}

fn is_qualified(text: &str) -> bool {
    text.len() <= 63 && text.bytes().all(is_word) && has_alphanumeric_ends(text)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn has_alphanumeric_ends(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.iter()
        .all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
}
