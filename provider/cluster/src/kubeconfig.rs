//! Kubeconfigs: which one, and the one cluster and user that the settings choose of it.

mod load;
mod overrides;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kube::config::{
    AuthInfo, Cluster, Context, ExecInteractiveMode, Kubeconfig, KubeconfigError, NamedAuthInfo,
    NamedCluster, NamedContext,
};

use crate::bearer;
use crate::error::ClusterError;
use crate::settings::{Environment, Settings, problems};
pub(crate) use load::embed;
use overrides::{override_cluster, own_user};

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
    if file_user
        .token
        .as_ref()
        .is_some_and(|token| bearer::header(token).is_err())
    {
        let reason = "the token of its user must be one line of printable characters".into();
        return Err(ClusterError::Kubeconfig {
            path: origin,
            reason,
        });
    }
    let mut user = own_user(settings).unwrap_or(file_user);
    if let Some(exec) = &mut user.exec {
        // Standard input is Terraform's: a plugin that prompts would hang.
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
        let next = load::read(&path).and_then(|next| std::mem::take(&mut merged).merge(next));
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
/// which may be a key, so only the place is reported.
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
                "it is not a valid kubeconfig (line {}, column {})",
                at.line(),
                at.column()
            ),
            None => "it is not a valid kubeconfig".into(),
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
