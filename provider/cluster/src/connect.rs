//! The way to the cluster, from the provider block or the environment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use mesh::{Kind, Namespace};
use secrecy::SecretString;
use serde_json::Value;

use crate::error::{ClusterError, SettingProblem, credentials};
use crate::kubeconfig;
use crate::observe::Listing;
use crate::shared::Shared;

/// How long a TCP and TLS handshake with the API server may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long credentials may take to come: a plugin may have to ask its cloud.
const CREDENTIALS: Duration = Duration::from_mins(1);

/// Reads one environment variable.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

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
    /// `http://` or `https://` proxy; may hold a password.
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
    /// How VMs reach istiod; `None`: as the Service `istio-eastwestgateway` says.
    pub control_plane_address: Option<IpAddr>,
}

impl Default for IstioSettings {
    fn default() -> Self {
        Self {
            namespace: "istio-system".into(),
            revision: None,
            cluster_id: None,
            control_plane_address: None,
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

/// A connection to one cluster.
pub struct Cluster {
    client: Client,
    server: String,
    istio: IstioSettings,
    listings: Shared<(Kind, Namespace), Listing>,
    answers: Shared<(&'static str, String, String), Option<Value>>,
}

impl Cluster {
    /// Finds the cluster and gets the credentials ready; nothing is asked of the server yet.
    ///
    /// Where neither `host` nor `config_paths` is set, the kubeconfig is that of
    /// `KUBE_CONFIG_PATH`, `KUBE_CONFIG_PATHS` or `KUBECONFIG`, else that of the pod we run in.
    /// There is no other default: never `localhost`, never `~/.kube/config`.
    pub async fn connect(
        settings: &Settings,
        environment: Environment<'_>,
    ) -> Result<Self, ClusterError> {
        let config = config(settings, environment).await?;
        let server = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();
        // A plugin is run by a blocking call.
        let client = tokio::task::spawn_blocking(move || Client::try_from(config));
        let client = tokio::time::timeout(CREDENTIALS, client)
            .await
            .map_err(|_| late())?;
        let client = client.map_err(|_| late())?.map_err(unusable)?;
        Ok(Self::over(client, server, settings.istio.clone()))
    }

    /// Returns a cluster over a client that exists: where tests put faults in between.
    pub fn over(client: Client, server: String, istio: IstioSettings) -> Self {
        Self {
            client,
            server,
            istio,
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

    pub(crate) fn istio(&self) -> &IstioSettings {
        &self.istio
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
    let (origin, kubeconfig) = kubeconfig::selected(settings, environment)?;
    let server = kubeconfig::server(&kubeconfig);
    let own_proxy = kubeconfig::proxy(&kubeconfig);
    let made = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = made.map_err(|error| kubeconfig::unusable(&origin, &error))?;
    // kube holds NO_PROXY against the proxy's own name, so this is decided here.
    config.proxy_url = own_proxy
        .or_else(|| kubeconfig::environment_proxy(&server, environment))
        .and_then(|url| url.parse().ok());
    config.connect_timeout = Some(HANDSHAKE);
    // `send` waits as the server asks, and no longer than a request may take.
    config.default_retry = false;
    Ok(config)
}

fn late() -> ClusterError {
    let reason = format!(
        "the exec plugin did not end within {} s",
        CREDENTIALS.as_secs()
    );
    ClusterError::Credentials { reason }
}

/// Returns why no client could be made; a proxy's URL may hold a password and is left out.
fn unusable(error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Auth(error) => credentials(&error),
        kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => {
            let text = "is no http:// or https:// URL, which is what can be used".into();
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
