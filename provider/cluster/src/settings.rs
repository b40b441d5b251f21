//! What the user says of the cluster: the provider's blocks `kubernetes` and `istio`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::Uri;
use mesh::names::{Address, HostPort, ReleaseUrl};
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};

use crate::credentials::bearer;
use crate::error::SettingProblem;
use crate::proxy;

/// The provider's blocks `kubernetes` and `istio`. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Kubeconfig files, merged as kubectl does; `~/` is the home directory.
    pub config_paths: Vec<PathBuf>,
    /// Context to use instead of the current one.
    pub config_context: Option<String>,
    /// Cluster to use instead of the context's.
    pub config_context_cluster: Option<String>,
    /// User to use instead of the context's.
    pub config_context_auth_info: Option<String>,
    /// URL of the API server; `https://` unless it says otherwise.
    pub host: Option<String>,
    /// Bearer token.
    pub token: Option<SecretString>,
    /// Name for basic authentication.
    pub username: Option<String>,
    /// Password for basic authentication.
    pub password: Option<SecretString>,
    /// PEM of the CAs that sign the API server's certificate.
    pub cluster_ca_certificate: Option<String>,
    /// PEM of the client's certificate.
    pub client_certificate: Option<String>,
    /// PEM of the client's key.
    pub client_key: Option<SecretString>,
    /// Name that the API server's certificate carries, where that is not the host's.
    pub tls_server_name: Option<String>,
    /// `http://`, `https://` or `socks5://` proxy; may hold a password.
    pub proxy_url: Option<SecretString>,
    /// Whether any certificate of the API server is accepted.
    pub insecure: bool,
    /// A plugin that prints credentials.
    pub exec: Option<Exec>,
    /// Where the control plane is.
    pub istio: IstioSettings,
}

/// A credential plugin, as in a kubeconfig.
#[derive(Clone, Debug)]
pub struct Exec {
    /// `client.authentication.k8s.io/v1` or `…/v1beta1`.
    pub api_version: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment added to ours; values may be secret.
    pub env: BTreeMap<String, SecretString>,
}

/// The provider's block `istio`.
#[derive(Clone, Debug)]
pub struct IstioSettings {
    /// Namespace of the control plane.
    pub namespace: String,
    /// Its revision; `None`, empty and `default`: one without.
    pub revision: Option<String>,
    /// Name of the cluster; `None`: as the chart's values say.
    pub cluster_id: Option<String>,
    /// Trust domain of the mesh; `None`: as the mesh config says.
    pub trust_domain: Option<String>,
    /// Name of the `ConfigMap` with the trust root; `None`: as the chart's values say.
    pub trust_bundle_name: Option<String>,
    /// Where certificates come from; `None`: as the mesh config or the chart's values say, else istiod.
    pub ca_address: Option<HostPort>,
    /// How VMs reach istiod: an IP address for their hosts file, or a name that they resolve; `None`: as the mesh
    /// config's `discoveryAddress` or the Service `istio-eastwestgateway` says.
    pub control_plane_address: Option<Address>,
    /// Name that istiod's certificate carries; `None`: the one that it is called by.
    pub control_plane_san: Option<String>,
    /// Where Istio's packages are.
    pub releases: ReleaseUrl,
}

impl Default for IstioSettings {
    fn default() -> Self {
        Self {
            namespace: "istio-system".into(),
            revision: None,
            cluster_id: None,
            trust_domain: None,
            trust_bundle_name: None,
            ca_address: None,
            control_plane_address: None,
            control_plane_san: None,
            releases: ReleaseUrl::default(),
        }
    }
}

impl IstioSettings {
    /// Returns the revision that names end with, if any.
    pub fn revision(&self) -> Option<&str> {
        self.revision
            .as_deref()
            .filter(|revision| !matches!(*revision, "" | "default"))
    }
}

/// Returns everything that is wrong with the block itself.
pub(crate) fn problems(settings: &Settings) -> Vec<SettingProblem> {
    let proxy = settings.proxy_url.as_ref().map(ExposeSecret::expose_secret);
    let name = settings.tls_server_name.as_deref();
    let host = mesh::names::without_login(settings.host.as_deref().unwrap_or_default());
    let host = format!("must be a URL such as https://192.0.2.1:6443, got {host:?}");
    let rules = [
        (
            settings
                .token
                .as_ref()
                .is_some_and(|token| bearer(token).is_err()),
            "token",
            "must be one line of printable characters, as in trimspace(file(\"token\"))",
        ),
        (
            settings.host.as_deref().is_some_and(|host| !is_url(host)),
            "host",
            &host,
        ),
        (
            name.is_some_and(|name| ServerName::try_from(name).is_err()),
            "tls_server_name",
            "must be a DNS name or an IP address",
        ),
        (
            settings
                .exec
                .as_ref()
                .is_some_and(|exec| exec.command.is_empty()),
            "exec",
            "must have a command",
        ),
        (
            proxy.is_some_and(|url| proxy::parse(url).is_err()),
            "proxy_url",
            proxy::RULE,
        ),
    ];
    let rules = pem_rules(settings)
        .into_iter()
        .chain(pair_rules(settings))
        .chain(rules);
    rules
        .filter(|(broken, ..)| *broken)
        .map(|(_, attribute, text)| SettingProblem {
            attribute,
            text: text.into(),
        })
        .collect()
}

/// Returns the rules of attributes that need or exclude each other.
fn pair_rules(settings: &Settings) -> [(bool, &'static str, &'static str); 4] {
    let one_of = |left: bool, right: bool| left != right;
    [
        (
            one_of(
                settings.client_certificate.is_some(),
                settings.client_key.is_some(),
            ),
            "client_certificate",
            "and client_key must be set together",
        ),
        (
            one_of(settings.username.is_some(), settings.password.is_some()),
            "username",
            "and password must be set together",
        ),
        (
            settings.token.is_some() && settings.username.is_some(),
            "token",
            "and username must not be set together",
        ),
        (
            settings.insecure && settings.cluster_ca_certificate.is_some(),
            "insecure",
            "and cluster_ca_certificate must not be set together",
        ),
    ]
}

/// Returns the rules of the attributes that hold PEM text.
fn pem_rules(settings: &Settings) -> [(bool, &'static str, &'static str); 3] {
    const CERTIFICATE: &str =
        "must be a PEM certificate: its text, e.g. file(\"ca.pem\"), decoded if it was base64";
    let lacks = |text: Option<&str>, what: &str| text.is_some_and(|text| !text.contains(what));
    let key = settings.client_key.as_ref();
    let key = key.map(ExposeSecret::expose_secret);
    let authority = settings.cluster_ca_certificate.as_deref();
    let certificate = settings.client_certificate.as_deref();
    [
        (
            lacks(authority, "BEGIN CERTIFICATE"),
            "cluster_ca_certificate",
            CERTIFICATE,
        ),
        (
            lacks(certificate, "BEGIN CERTIFICATE"),
            "client_certificate",
            CERTIFICATE,
        ),
        (
            lacks(key, "PRIVATE KEY"),
            "client_key",
            "must be a PEM private key: its text, decoded if it was base64",
        ),
    ]
}

/// Whether a text is the URL of a server, with `https://`, `http://` or neither before it.
pub(crate) fn is_url(text: &str) -> bool {
    /// Longer ones could not be joined with the path of a request.
    const LONGEST: usize = 2000;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or(text);
    text.len() <= LONGEST
        && !rest.contains("://")
        && format!("https://{rest}").parse::<Uri>().is_ok_and(|uri| {
            uri.host().is_some_and(|host| !host.is_empty()) && has_usable_port(&uri)
        })
}

/// Parsing a URL takes anything for a port, such as a password with a slash.
fn has_usable_port(uri: &Uri) -> bool {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let authority = authority.unwrap_or_default();
    let server = authority.rsplit_once('@').map_or(authority, |(_, of)| of);
    uri.port_u16().is_some() || uri.host() == Some(server.trim_end_matches(':'))
}
