//! What the configured provider hands to its resources: the cluster and the settings of SSH. The cluster
//! is connected on first use.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{Cluster, Exec, IstioSettings, Settings};
use plugin::{Diagnostic, Diagnostics, SecretText, Shape as _, Value};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;
use vm::Bastions;

use crate::messages::{self, Code, Message};
use crate::provider_config::{ExecBlock, IstioBlock, KubernetesBlock, ProviderBlock, SshBlock};
use crate::reservations::Reservations;
use crate::turns::Turns;

/// The provider, configured.
pub(crate) struct Context {
    /// `None`: something about the cluster is not known yet.
    settings: Option<Settings>,
    cluster: OnceCell<Cluster>,
    /// `None`: something about the VMs is not known yet.
    ssh: Option<SshBlock>,
    /// Whether a namespace that may not be read was reported.
    unseen: AtomicBool,
    /// Connections to bastions, shared by all VMs of this process.
    pub(crate) bastions: Bastions,
    /// What this process works on.
    pub(crate) reservations: Reservations,
    /// What the members of fleets share in this process.
    pub(crate) turns: Turns,
}

impl Context {
    /// Returns the context. Nothing is connected yet, and unknown settings fail when they are first used.
    pub(crate) fn new(block: &ProviderBlock) -> Self {
        let ssh_known = !write(&block.ssh).has_unknown();
        Self {
            settings: settings_if_known(block),
            cluster: OnceCell::new(),
            ssh: ssh_known.then(|| block.ssh.known().cloned().unwrap_or_default()),
            unseen: AtomicBool::new(false),
            bastions: Bastions::default(),
            reservations: Reservations::default(),
            turns: Turns::default(),
        }
    }

    /// Returns the cluster, connected.
    pub(crate) async fn cluster(&self) -> Result<&Cluster, Diagnostics> {
        let settings = self
            .settings
            .as_ref()
            .ok_or_else(|| unknown("kubernetes", "the cluster"))?;
        let ready = async || {
            let new = async || {
                let cluster = Cluster::new(settings, &environment)?;
                tracing::info!("the cluster is {}", cluster.described());
                Ok(cluster)
            };
            let cluster = self.cluster.get_or_try_init(new).await?;
            cluster.ready().await.map(|()| cluster)
        };
        ready()
            .await
            .map_err(|error| messages::cluster(&error).into())
    }

    /// Returns the defaults and credentials for VMs.
    pub(crate) fn ssh(&self) -> Result<&SshBlock, Diagnostics> {
        self.ssh
            .as_ref()
            .ok_or_else(|| unknown("ssh", "the VMs").into())
    }

    /// Returns true at the first call.
    pub(crate) fn is_first_unseen(&self) -> bool {
        !self.unseen.swap(true, Ordering::Relaxed)
    }

    /// Returns whether the whole provider block is known.
    pub(crate) fn is_known(&self) -> bool {
        self.settings.is_some() && self.ssh.is_some()
    }
}

/// Returns the settings of the cluster; `None` while one is unknown.
pub(crate) fn settings_if_known(block: &ProviderBlock) -> Option<Settings> {
    let unknown = write(&block.kubernetes).has_unknown() || write(&block.istio).has_unknown();
    (!unknown).then(|| settings(block))
}

/// Reads one variable of this process's environment.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn write<T: plugin::Shape>(value: &Value<T>) -> plugin::Raw {
    value.write()
}

fn unknown(attribute: &'static str, what: &str) -> Diagnostic {
    Message::new(Code::ProviderUnknown)
        .text(format!(
            "The provider block's {attribute} depends on values that are known only after an apply, so {what} cannot \
             be reached now. For a data source, add a depends_on with the resource that these values come from."
        ))
        .error()
}

fn settings(block: &ProviderBlock) -> Settings {
    let kubernetes = block.kubernetes.known().cloned().unwrap_or_default();
    let istio = block.istio.known().map(istio).unwrap_or_default();
    let KubernetesBlock {
        config_path,
        config_paths,
        config_context,
        config_context_cluster,
        config_context_auth_info,
        host,
        token,
        username,
        password,
        cluster_ca_certificate,
        client_certificate,
        client_key,
        tls_server_name,
        proxy_url,
        insecure,
        exec,
    } = kubernetes;
    let paths = config_paths
        .into_known()
        .unwrap_or_default()
        .into_iter()
        .chain(config_path.into_known())
        .filter(|path| !path.is_empty());
    Settings {
        config_paths: paths.map(PathBuf::from).collect(),
        config_context: text(config_context),
        config_context_cluster: text(config_context_cluster),
        config_context_auth_info: text(config_context_auth_info),
        host: text(host),
        token: secret(token),
        username: text(username),
        password: secret(password),
        cluster_ca_certificate: text(cluster_ca_certificate),
        client_certificate: text(client_certificate),
        client_key: secret(client_key),
        tls_server_name: text(tls_server_name),
        proxy_url: secret(proxy_url),
        insecure: insecure.into_known().unwrap_or(false),
        exec: exec.into_known().and_then(self::exec),
        istio,
    }
}

fn istio(block: &IstioBlock) -> IstioSettings {
    let defaults = IstioSettings::default();
    IstioSettings {
        namespace: block
            .namespace
            .known()
            .map_or(defaults.namespace, |name| name.0.to_string()),
        revision: block.revision.known().map(|name| name.0.to_string()),
        cluster_id: text(block.cluster_id.clone()),
        trust_domain: block.trust_domain.known().map(|name| name.0.to_string()),
        trust_bundle_name: block
            .trust_bundle_name
            .known()
            .map(|name| name.0.to_string()),
        ca_address: block.ca_address.known().map(|address| address.0.clone()),
        control_plane_address: block
            .control_plane_address
            .known()
            .map(|address| address.0.clone()),
        control_plane_san: block
            .control_plane_san
            .known()
            .map(|name| name.0.to_string()),
        releases: block
            .release_url
            .known()
            .map(|url| url.0.clone())
            .unwrap_or_default(),
    }
}

fn exec(block: ExecBlock) -> Option<Exec> {
    Some(Exec {
        api_version: block.api_version.into_known()?,
        command: block.command.into_known()?,
        args: block.args.into_known().unwrap_or_default(),
        env: block
            .env
            .into_known()
            .unwrap_or_default()
            .into_iter()
            .map(|(k, v)| (k, v.into_secret()))
            .collect(),
    })
}

/// Returns a text. An empty one counts as unset, as for kubectl and for the kubernetes provider.
fn text(value: Value<String>) -> Option<String> {
    value.into_known().filter(|text| !text.is_empty())
}

fn secret(value: Value<SecretText>) -> Option<SecretString> {
    let secret = value.into_known().map(SecretText::into_secret);
    secret.filter(|secret| !secret.expose_secret().is_empty())
}
