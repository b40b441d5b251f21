//! How the proxy runs on a VM, and its conversions.

use mesh::names::{Cidr, ImageName, IstioVersion, Sha256};
use mesh::proxy_config::ProxyConfig;
use mesh::workload::{Install, Interception, Proxy, PullPolicy, Runtime};
use plugin::{Diagnostic, Text, Value, object};

use super::scalars::PortNumber;
use super::values::{from_list, from_texts, text, texts};
use crate::messages::{Code, Message};
use crate::rule::{BOOTSTRAP, PACKAGE};

object! {
    /// How the proxy runs on the VM.
    pub struct ProxyInput {
        /// Runtime of the proxy: `systemd` (Istio's package and its unit), `docker` or `podman` (a container from
        /// Istio's image). A change removes what the previous runtime needed. Default: `systemd`.
        Optional runtime: Text<Runtime> => PACKAGE,
        /// Container image, with tag or digest: Istio's `proxyv2` in the control plane's version. Required with
        /// `docker` and `podman`, not allowed otherwise.
        Optional image: Text<ImageName> => PACKAGE,
        /// When a bootstrap pulls the image: `IfNotPresent`, `Always` or `Never`, as in Kubernetes. Default: `IfNotPresent`.
        Optional pull_policy: Text<PullPolicy> => PACKAGE,
        /// How traffic reaches the proxy: `redirect` (NAT rules), `tproxy` (like `redirect`, but the application sees
        /// the client's address) or `none` (only through the `Sidecar`'s listeners). Default: `redirect`.
        Optional interception: Text<Interception> => BOOTSTRAP,
        /// The package to install, with `systemd`. Default: the installed one, otherwise that of Istio's release.
        Optional install: InstallInput => PACKAGE,
        /// Version of Istio's release to install, with `systemd` and without `install`, e.g. `1.31.0`. Default: the
        /// installed version, otherwise the control plane's.
        Optional version: Text<IstioVersion> => PACKAGE,
        /// Inbound ports that bypass the proxy, in addition to those of sshd and of the proxy itself.
        Optional exclude_inbound_ports: Vec<PortNumber> => BOOTSTRAP,
        /// Destinations that bypass the proxy, in addition to the clouds' metadata addresses.
        Optional exclude_cidrs: Vec<Text<Cidr>> => BOOTSTRAP,
        /// Whether the proxy answers DNS queries for mesh hosts. Default: from the mesh config.
        Optional dns_capture: bool => BOOTSTRAP,
        /// Proxy settings that override the mesh's, in YAML, as in the annotation `proxy.istio.io/config`.
        Optional config: Text<ProxyConfig> => BOOTSTRAP.hidden(),
        /// Shell command that prints a new token for the proxy: a JWT of the workload's service account for the audience
        /// `istio-ca`. With it, a VM that was off for longer than its certificate is valid returns to the mesh by
        /// itself. The VM runs it as root, bypassing the proxy: in each bootstrap, which fails before the proxy stops
        /// if the command prints no such token, at each start of the proxy, and every five minutes. It is in the
        /// state, in plans and on the VM, so it must not contain secrets. For the data source `mesh_vm_bundle`, it is
        /// the same as its own `token_command`. Default: only a bootstrap brings a new token.
        Optional token_command: String => BOOTSTRAP,
    }
}

object! {
    /// Istio's sidecar package.
    pub struct InstallInput {
        /// URL that the VM downloads the package from: `https://`, `http://`, or `file:///` for a package that is
        /// already on the VM.
        Required url: String => PACKAGE.hidden(),
        /// SHA-256 of the package in hex, with or without `sha256:` in front.
        Required sha256: Text<Sha256> => PACKAGE,
    }
}

/// Returns how the proxy runs.
pub(crate) fn proxy(input: &ProxyInput) -> Proxy {
    Proxy {
        runtime: text(&input.runtime).unwrap_or(Runtime::Systemd),
        image: text(&input.image),
        pull_policy: text(&input.pull_policy),
        interception: text(&input.interception).unwrap_or(Interception::Redirect),
        install: input.install.known().and_then(install),
        version: text(&input.version),
        exclude_inbound_ports: input
            .exclude_inbound_ports
            .known()
            .into_iter()
            .flatten()
            .map(|port| port.0)
            .collect(),
        exclude_cidrs: texts(&input.exclude_cidrs),
        dns_capture: input.dns_capture.known().copied(),
        config: text(&input.config),
        token_command: input.token_command.known().cloned(),
    }
}

/// Refuses a token command that does nothing.
pub(crate) fn check_token_command(command: &Value<String>, at: &str) -> Option<Diagnostic> {
    let command = command.known()?;
    command.trim().is_empty().then(|| {
        let text = format!(
            "{at} must be a shell command that prints a token, got {command:?}. Without one, the VM would have no \
             token. Set a command that prints one."
        );
        Message::new(Code::TokenCommand).text(text).at(at).error()
    })
}

/// Refuses a token command of the proxy that does nothing.
pub(crate) fn check_proxy(proxy: &Value<ProxyInput>) -> Option<Diagnostic> {
    check_token_command(&proxy.known()?.token_command, "proxy.token_command")
}

fn install(input: &InstallInput) -> Option<Install> {
    Some(Install {
        url: input.url.known()?.clone(),
        sha256: text(&input.sha256)?,
    })
}

/// Returns the proxy as it is declared; null if everything is a default.
pub(crate) fn from_proxy(proxy: Proxy) -> Value<ProxyInput> {
    let ports = proxy.exclude_inbound_ports.into_iter();
    let input = ProxyInput {
        runtime: Some(proxy.runtime)
            .filter(|of| *of != Runtime::Systemd)
            .map(Text)
            .into(),
        image: proxy.image.map(Text).into(),
        pull_policy: proxy.pull_policy.map(Text).into(),
        interception: Some(proxy.interception)
            .filter(|of| *of != Interception::Redirect)
            .map(Text)
            .into(),
        install: proxy.install.map(from_install).into(),
        version: proxy.version.map(Text).into(),
        exclude_inbound_ports: from_list(ports.map(PortNumber).collect()),
        exclude_cidrs: from_texts(proxy.exclude_cidrs),
        dns_capture: proxy.dns_capture.into(),
        config: proxy.config.map(Text).into(),
        token_command: proxy.token_command.into(),
    };
    if input == ProxyInput::default() {
        Value::Null
    } else {
        Value::Known(input)
    }
}

fn from_install(install: Install) -> InstallInput {
    InstallInput {
        url: Value::Known(install.url),
        sha256: Value::Known(Text(install.sha256)),
    }
}
