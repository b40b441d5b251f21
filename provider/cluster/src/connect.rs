//! The connection to the cluster, from the provider block or the environment.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use mesh::desired::Kind;
use mesh::names::Namespace;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::bearer::Bearer;
use crate::error::{ClusterError, SettingProblem};
use crate::refusal::credentials;
use crate::settings::{Environment, IstioSettings, Settings};
use crate::shared::Shared;
use crate::{kubeconfig, proxy};

/// How long a TCP and TLS handshake with the API server may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Objects of one kind and namespace by name.
pub(crate) type Listing = BTreeMap<String, Value>;

/// A connection to one cluster.
pub struct Cluster {
    client: Client,
    bearer: Option<Bearer>,
    server: String,
    istio: IstioSettings,
    /// The settings once a tag is resolved.
    tag: OnceCell<IstioSettings>,
    /// In which Istio's kinds are served, if not in v1.
    istio_version: OnceLock<&'static str>,
    listings: Shared<(Kind, Namespace), Listing>,
    answers: Shared<(&'static str, String, String), Option<Value>>,
}

impl Cluster {
    /// Finds the cluster and gets the credentials ready; no request is sent yet.
    ///
    /// Where neither `host` nor `config_paths` is set, the kubeconfig is that of
    /// `KUBE_CONFIG_PATH`, `KUBE_CONFIG_PATHS` or `KUBECONFIG`, else that of the pod we run in.
    /// There is no other default: never `localhost`, never `~/.kube/config`.
    pub async fn connect(
        settings: &Settings,
        environment: Environment<'_>,
    ) -> Result<Self, ClusterError> {
        let mut config = config(settings, environment).await?;
        let bearer = Bearer::of(&mut config.auth_info).await?;
        let server = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();
        let client = Client::try_from(config).map_err(unusable)?;
        Ok(Self {
            bearer,
            ..Self::over(client, server, settings.istio.clone())
        })
    }

    /// Returns a cluster over a client that exists: where tests put faults in between.
    pub fn over(client: Client, server: String, istio: IstioSettings) -> Self {
        Self {
            client,
            bearer: None,
            server,
            istio,
            tag: OnceCell::new(),
            istio_version: OnceLock::new(),
            listings: Shared::new(),
            answers: Shared::new(),
        }
    }

    /// Returns the URL of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn bearer(&self) -> Option<&Bearer> {
        self.bearer.as_ref()
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

    pub(crate) fn answers(&self) -> &Shared<(&'static str, String, String), Option<Value>> {
        &self.answers
    }
}

/// Returns the client's configuration for the settings.
pub(crate) async fn config(
    settings: &Settings,
    environment: Environment<'_>,
) -> Result<Config, ClusterError> {
    let (origin, mut kubeconfig) = kubeconfig::selected(settings, environment)?;
    kubeconfig::embed(&origin, &mut kubeconfig)?;
    let own_proxy = kubeconfig::proxy(&kubeconfig).map(str::to_owned);
    let made = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = made.map_err(|error| kubeconfig::unusable(&origin, &error))?;
    // kube holds NO_PROXY against the proxy's own name, so this is decided here.
    let url = own_proxy.or_else(|| proxy::for_server(&config.cluster_url, environment));
    config.proxy_url = url.and_then(|url| url.parse().ok());
    config.connect_timeout = Some(HANDSHAKE);
    // `send` waits as long as the server requests, but no longer than a request may take.
    config.default_retry = false;
    Ok(config)
}

/// Returns why no client could be made; a proxy's URL may hold a password and is left out.
fn unusable(error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Auth(error) => credentials(&error),
        kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => {
            let text = "must be an http:// or https:// URL".into();
            ClusterError::Settings(vec![SettingProblem {
                attribute: "proxy_url",
                text,
            }])
        }
        other => ClusterError::Credentials {
            reason: other.to_string(),
        },
    }
}
