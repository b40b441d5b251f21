//! Kubeconfigs: which one, and the one cluster and user that the settings choose of it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, ExecInteractiveMode, Kubeconfig, KubeconfigError,
    NamedAuthInfo, NamedCluster, NamedContext,
};
use secrecy::{ExposeSecret, SecretString};

use crate::error::ClusterError;
use crate::settings::{Environment, Exec, Settings, problems};

/// What names the kubeconfig that is made of the settings alone.
const OWN: &str = "terraform";
const POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Finds out what shows of wrong settings without asking anybody.
///
/// Files that only the environment names are not looked at: an apply may run in another one.
///
/// # Errors
/// [`ClusterError::Settings`], [`ClusterError::Kubeconfig`], [`ClusterError::NoKubeconfig`].
pub fn check(settings: &Settings, environment: Environment<'_>) -> Result<(), ClusterError> {
    let problems = problems(settings);
    if !problems.is_empty() {
        return Err(ClusterError::Settings(problems));
    }
    if settings.config_paths.is_empty() {
        return Ok(());
    }
    selected(settings, environment).map(drop)
}

/// Returns a kubeconfig of exactly one cluster, user and context, and the file it comes from.
pub(crate) fn selected(
    settings: &Settings,
    environment: Environment<'_>,
) -> Result<(PathBuf, Kubeconfig), ClusterError> {
    let problems = problems(settings);
    if !problems.is_empty() {
        return Err(ClusterError::Settings(problems));
    }
    let (origin, all) = found(settings, environment)?;
    let (mut cluster, file_user) =
        choice(settings, &all).map_err(|reason| ClusterError::Kubeconfig {
            path: origin.clone(),
            reason,
        })?;
    override_cluster(&mut cluster, settings);
    if cluster.server.as_deref().unwrap_or_default().is_empty() {
        let reason = "the cluster it names has no server".into();
        return Err(ClusterError::Kubeconfig {
            path: origin,
            reason,
        });
    }
    let mut user = own_user(settings).unwrap_or(file_user);
    if let Some(exec) = &mut user.exec {
        // Standard input is Terraform's: a plugin that asks somebody would hang.
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    Ok((origin, single(cluster, user)))
}

fn found(
    settings: &Settings,
    environment: Environment<'_>,
) -> Result<(PathBuf, Kubeconfig), ClusterError> {
    let home = environment("HOME");
    if !settings.config_paths.is_empty() {
        return read(&settings.config_paths, home.as_deref());
    }
    if settings.host.is_some() {
        return Ok((OWN.into(), single(Cluster::default(), AuthInfo::default())));
    }
    for variable in ["KUBE_CONFIG_PATH", "KUBE_CONFIG_PATHS", "KUBECONFIG"] {
        let value = environment(variable).unwrap_or_default();
        let mut paths: Vec<PathBuf> = std::env::split_paths(&value)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        // kubectl passes over files of a list that do not exist, as long as one does.
        if paths.iter().any(|path| path.exists()) {
            paths.retain(|path| path.exists());
        }
        if !paths.is_empty() {
            return read(&paths, home.as_deref());
        }
    }
    in_pod(environment)
        .map(|config| (POD.into(), config))
        .ok_or(ClusterError::NoConfiguration)
}

fn read(paths: &[PathBuf], home: Option<&str>) -> Result<(PathBuf, Kubeconfig), ClusterError> {
    let mut merged = Kubeconfig::default();
    for path in paths {
        let path = expanded(path, home);
        let next =
            Kubeconfig::read_from(&path).and_then(|next| std::mem::take(&mut merged).merge(next));
        merged = next.map_err(|error| unusable(&path, &error))?;
    }
    let origin = std::env::join_paths(paths).map_or_else(
        |_| paths.first().cloned().unwrap_or_default(),
        PathBuf::from,
    );
    Ok((origin, merged))
}

fn expanded(path: &Path, home: Option<&str>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Path::new(home).join(rest),
        _ => path.to_owned(),
    }
}

/// Returns what is wrong with a kubeconfig. A parser's error quotes the text around the place,
/// which may be a key, so only the place is told.
pub(crate) fn unusable(path: &Path, error: &KubeconfigError) -> ClusterError {
    let reason = match error {
        KubeconfigError::ReadConfig(source, _) if source.kind() == ErrorKind::NotFound => {
            return ClusterError::NoKubeconfig {
                path: path.to_owned(),
            };
        }
        KubeconfigError::ReadConfig(source, _) => format!("it cannot be read: {source}"),
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!(
                "it is no valid kubeconfig (line {}, column {})",
                at.line(),
                at.column()
            ),
            None => "it is no valid kubeconfig".into(),
        },
        other => other.to_string(),
    };
    ClusterError::Kubeconfig {
        path: path.to_owned(),
        reason,
    }
}

/// The pod's own service account, as every Kubernetes client finds it.
fn in_pod(environment: Environment<'_>) -> Option<Kubeconfig> {
    let (host, port) = (
        environment("KUBERNETES_SERVICE_HOST")?,
        environment("KUBERNETES_SERVICE_PORT")?,
    );
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: Some(format!("{POD}/ca.crt")),
        ..Cluster::default()
    };
    Some(single(
        cluster,
        AuthInfo {
            token_file: Some(format!("{POD}/token")),
            ..AuthInfo::default()
        },
    ))
}

/// Returns the cluster and the user that settings and current context choose.
fn choice(settings: &Settings, all: &Kubeconfig) -> Result<(Cluster, AuthInfo), String> {
    let wanted = settings
        .config_context
        .as_ref()
        .or(all.current_context.as_ref())
        .filter(|name| !name.is_empty());
    let contexts = names(all.contexts.iter().map(|context| &context.name));
    let context = match wanted {
        Some(name) => all
            .contexts
            .iter()
            .find(|context| context.name == *name)
            .and_then(|context| context.context.clone())
            .ok_or_else(|| format!("it has no context {name}; {contexts}"))?,
        None if settings.config_context_cluster.is_some() => Context::default(),
        None => {
            return Err(format!(
                "it has no current context: set kubernetes.config_context; {contexts}"
            ));
        }
    };
    let name = settings
        .config_context_cluster
        .as_ref()
        .unwrap_or(&context.cluster);
    let cluster = all
        .clusters
        .iter()
        .find(|cluster| cluster.name == *name)
        .and_then(|cluster| cluster.cluster.clone());
    let clusters = || names(all.clusters.iter().map(|cluster| &cluster.name));
    let cluster = cluster.ok_or_else(|| format!("it has no cluster {name}; {}", clusters()))?;
    let Some(name) = settings
        .config_context_auth_info
        .as_ref()
        .or(context.user.as_ref())
    else {
        return Ok((cluster, AuthInfo::default()));
    };
    let user = all
        .auth_infos
        .iter()
        .find(|user| user.name == *name)
        .and_then(|user| user.auth_info.clone());
    let users = || names(all.auth_infos.iter().map(|user| &user.name));
    Ok((
        cluster,
        user.ok_or_else(|| format!("it has no user {name}; {}", users()))?,
    ))
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "it has none at all".into()
    } else {
        format!("it has {}", names.join(", "))
    }
}

fn override_cluster(cluster: &mut Cluster, settings: &Settings) {
    if let Some(host) = &settings.host {
        cluster.server = Some(host.clone());
    }
    cluster.server = cluster.server.take().map(|server| {
        if server.contains("://") || server.is_empty() {
            server
        } else {
            format!("https://{server}")
        }
    });
    if let Some(pem) = &settings.cluster_ca_certificate {
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = Some(BASE64.encode(pem));
    }
    if let Some(name) = &settings.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    if let Some(url) = &settings.proxy_url {
        cluster.proxy_url = Some(url.expose_secret().to_owned());
    }
    if settings.insecure {
        cluster.insecure_skip_tls_verify = Some(true);
    }
}

/// Returns the user that the settings make: any credential there replaces all of the file's, so
/// that two kinds are never mixed.
fn own_user(settings: &Settings) -> Option<AuthInfo> {
    let Settings {
        token,
        username,
        password,
        client_certificate,
        client_key,
        exec,
        ..
    } = settings;
    if token.is_none() && username.is_none() && client_certificate.is_none() && exec.is_none() {
        return None;
    }
    Some(AuthInfo {
        token: token.clone(),
        username: username.clone(),
        password: password.clone(),
        client_certificate_data: client_certificate.as_ref().map(|pem| BASE64.encode(pem)),
        client_key_data: client_key
            .as_ref()
            .map(|pem| SecretString::from(BASE64.encode(pem.expose_secret()))),
        exec: exec.as_ref().map(plugin),
        ..AuthInfo::default()
    })
}

fn plugin(exec: &Exec) -> ExecConfig {
    let variable = |(name, value): (&String, &SecretString)| {
        [
            ("name".to_owned(), name.clone()),
            ("value".to_owned(), value.expose_secret().to_owned()),
        ]
        .into()
    };
    ExecConfig {
        api_version: Some(exec.api_version.clone()),
        command: Some(exec.command.clone()),
        args: Some(exec.args.clone()),
        env: Some(exec.env.iter().map(variable).collect()),
        ..ExecConfig::default()
    }
}

fn single(cluster: Cluster, user: AuthInfo) -> Kubeconfig {
    let context = Context {
        cluster: OWN.into(),
        user: Some(OWN.into()),
        ..Context::default()
    };
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: OWN.into(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: OWN.into(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: OWN.into(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some(OWN.into()),
        ..Kubeconfig::default()
    }
}

/// Returns the proxy of a kubeconfig made by [`selected`].
pub(crate) fn proxy(config: &Kubeconfig) -> Option<&str> {
    config
        .clusters
        .first()?
        .cluster
        .as_ref()?
        .proxy_url
        .as_deref()
}

#[cfg(test)]
mod tests;
