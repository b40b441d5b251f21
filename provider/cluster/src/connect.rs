//! The connection to the cluster, from the provider block or the environment.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Uri;
use kube::config::ExecAuthCluster;
use kube::{Client, Config};
use mesh::desired::Kind;
use mesh::names::Namespace;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::access::{Access, Pass};
use crate::credentials::Source;
use crate::environment::Environment;
use crate::error::{ClusterError, SettingProblem};
use crate::kubeconfig::{self, Chosen};
use crate::origin::Origin;
use crate::proxy;
use crate::settings::{IstioSettings, Settings, is_url};
use crate::shared::Shared;

/// How long a TCP and TLS handshake with the API server may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Objects of one kind and namespace by name.
pub(crate) type Listing = BTreeMap<String, Value>;

/// How errors call the server and who asks it: by where they are configured.
struct Named {
    server: String,
    credentials: String,
    /// Why there are no credentials; `None`: there are some.
    nobody: Option<String>,
}

/// Resource, namespace and name.
type Key = (&'static str, String, String);

/// A connection to one cluster.
pub struct Cluster {
    access: Access,
    server: String,
    named: Named,
    istio: IstioSettings,
    /// The settings once a tag is resolved.
    tag: OnceCell<IstioSettings>,
    /// In which Istio's kinds are served, if not in v1.
    istio_version: OnceLock<&'static str>,
    listings: Shared<(Kind, Namespace), Listing>,
    answers: Shared<Key, Option<Value>>,
    /// What marks the objects that are created here until they are applied.
    claim: String,
    /// Until when what controllers create is awaited.
    arrivals: Mutex<BTreeMap<Key, Instant>>,
}

impl Cluster {
    /// Finds the cluster. No request is sent yet, and no plugin is run.
    ///
    /// Where neither `host` nor `config_paths` is set, the kubeconfig is that of
    /// `KUBE_CONFIG_PATH`, `KUBE_CONFIG_PATHS` or `KUBECONFIG`, else that of the pod we run in.
    /// There is no other default: never `localhost`, never `~/.kube/config`.
    pub fn new(settings: &Settings, environment: Environment<'_>) -> Result<Self, ClusterError> {
        let Way {
            origin,
            user_origin,
            nobody,
            mut config,
        } = way(settings, environment)?;
        let source = Source::new(&mut config.auth_info, user_origin.clone())?;
        let server = mesh::names::without_login(&config.cluster_url.to_string());
        let server = server.trim_end_matches('/').to_owned();
        let named = Named {
            server: match &settings.host {
                Some(_) => server.clone(),
                None => format!("{server} of {origin}"),
            },
            credentials: format!("the credentials of {user_origin}"),
            nobody: source.is_nothing().then(|| {
                let reason = nobody.as_deref().unwrap_or("holds no credentials");
                format!("{user_origin} {reason}")
            }),
        };
        let access = Access::new(source, origin, config);
        Ok(Self::with(access, server, named, settings.istio.clone()))
    }

    /// Finds the cluster and gets the credentials ready.
    pub async fn connect(
        settings: &Settings,
        environment: Environment<'_>,
    ) -> Result<Self, ClusterError> {
        let cluster = Self::new(settings, environment)?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Gets the credentials ready. All who wait for a plugin get what it gives, or the same failure.
    pub async fn ready(&self) -> Result<(), ClusterError> {
        self.access.pass().await.map(drop)
    }

    /// Returns a cluster over a client that exists: where tests put faults in between.
    pub fn over(client: Client, server: String, istio: IstioSettings) -> Self {
        let named = Named {
            server: server.clone(),
            credentials: "the credentials".into(),
            nobody: None,
        };
        Self::with(Access::over(client), server, named, istio)
    }

    fn with(access: Access, server: String, named: Named, istio: IstioSettings) -> Self {
        Self {
            access,
            server,
            named,
            istio,
            tag: OnceCell::new(),
            istio_version: OnceLock::new(),
            listings: Shared::new(),
            answers: Shared::new(),
            claim: unique(),
            arrivals: Mutex::default(),
        }
    }

    pub(crate) fn claim(&self) -> &str {
        &self.claim
    }

    /// Returns the URL of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the server and the credentials, each with what it is configured by: a file and its context, a block, a pod.
    pub fn described(&self) -> String {
        format!("{} with {}", self.named.server, self.named.credentials)
    }

    /// Returns how errors call the server: with what it is configured by.
    pub(crate) fn named_server(&self) -> &str {
        &self.named.server
    }

    /// Returns how errors call the credentials.
    pub(crate) fn named_credentials(&self) -> &str {
        &self.named.credentials
    }

    /// Returns why there are no credentials, if there are none.
    pub(crate) fn nobody(&self) -> Option<&str> {
        self.named.nobody.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) async fn pass(&self) -> Result<Arc<Pass>, ClusterError> {
        self.access.pass().await
    }

    /// Returns another pass than one that was not accepted, if there is one.
    pub(crate) async fn pass_instead_of(
        &self,
        refused: &Pass,
    ) -> Result<Option<Arc<Pass>>, ClusterError> {
        self.access.instead_of(refused).await
    }

    pub(crate) fn istio(&self) -> &IstioSettings {
        &self.istio
    }

    pub(crate) fn tag(&self) -> &OnceCell<IstioSettings> {
        &self.tag
    }

    pub(crate) fn istio_version(&self) -> &OnceLock<&'static str> {
        &self.istio_version
    }

    pub(crate) fn listings(&self) -> &Shared<(Kind, Namespace), Listing> {
        &self.listings
    }

    pub(crate) fn answers(&self) -> &Shared<Key, Option<Value>> {
        &self.answers
    }

    pub(crate) fn arrivals(&self) -> &Mutex<BTreeMap<Key, Instant>> {
        &self.arrivals
    }
}

/// The configuration of a client, with the user's credentials, and where they come from.
#[derive(Debug)]
pub(crate) struct Way {
    origin: Origin,
    user_origin: Origin,
    nobody: Option<String>,
    pub(crate) config: Config,
}

/// Returns the client's configuration for the settings.
pub(crate) fn way(settings: &Settings, environment: Environment<'_>) -> Result<Way, ClusterError> {
    let mut chosen = kubeconfig::selected(settings, environment)?;
    kubeconfig::embed(&mut chosen)?;
    let Chosen {
        origin,
        cluster,
        user_origin,
        mut user,
        nobody,
    } = chosen;
    let server = cluster.server.clone().unwrap_or_default();
    let url = server.parse::<Uri>().ok().filter(|_| is_url(&server));
    let url = url.ok_or_else(|| {
        let shown = mesh::names::without_login(&server);
        origin.refused(format!(
            "its server must be a URL such as https://192.0.2.1:6443, got {shown:?}"
        ))
    })?;
    let mut config = Config::new(url);
    if let Some(data) = &cluster.certificate_authority_data {
        let certificates = certificates(data).map_err(|text| {
            let attribute = settings.cluster_ca_certificate.is_some();
            let attribute = attribute.then_some("cluster_ca_certificate");
            unusable(&origin, attribute, "certificate-authority", text)
        })?;
        config.root_cert = Some(certificates);
    }
    if let Some(name) = &cluster.tls_server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        return Err(origin.refused(format!(
            "its tls-server-name must be a DNS name or an IP address, got {name:?}"
        )));
    }
    let by_file = cluster.proxy_url.as_deref().map(|url| {
        proxy::parse(url).map_err(|text| origin.refused(format!("its proxy-url {text}")))
    });
    // kube holds NO_PROXY against the proxy's own name, so this is decided here.
    config.proxy_url = match by_file {
        Some(url) => Some(url?),
        None => proxy::for_server(&config.cluster_url, environment)?,
    };
    if let Some(exec) = &mut user.exec
        && exec.provide_cluster_info
    {
        let of_cluster = ExecAuthCluster::try_from(&cluster);
        exec.cluster = Some(of_cluster.map_err(|error| origin.refused(error.to_string()))?);
    }
    config.tls_server_name = cluster.tls_server_name;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.connect_timeout = Some(HANDSHAKE);
    config.auth_info = user;
    Ok(Way {
        origin,
        user_origin,
        nobody,
        config,
    })
}

/// Returns the certificates of a PEM text in base64.
fn certificates(data: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let pem = BASE64.decode(data).map_err(|_| "is not base64")?;
    let certificates = CertificateDer::pem_slice_iter(&pem).map(|of| of.map(|of| of.to_vec()));
    let certificates = certificates.collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| "is not PEM")?;
    if certificates.is_empty() {
        return Err("holds no PEM certificate");
    }
    Ok(certificates)
}

/// Returns the error for a value: of the attribute that sets it, else of a part of the kubeconfig.
fn unusable(
    origin: &Origin,
    attribute: Option<&'static str>,
    part: &str,
    text: &str,
) -> ClusterError {
    match attribute {
        Some(attribute) => ClusterError::Settings(vec![SettingProblem {
            attribute,
            text: text.into(),
        }]),
        None => origin.refused(format!("its {part} {text}")),
    }
}

/// Returns a text that nobody else has: the standard library seeds each state from the system's random source.
fn unique() -> String {
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}
