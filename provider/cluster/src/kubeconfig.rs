//! Kubeconfigs: which one, and the one cluster and user that the settings choose of it.

mod choice;
mod chosen;
mod load;
mod overrides;
mod pairs;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster, ExecInteractiveMode, Kubeconfig, KubeconfigError};

use crate::credentials::bearer;
use crate::environment::Environment;
use crate::error::ClusterError;
use crate::origin::Origin;
use crate::settings::{Settings, problems};
pub(crate) use chosen::Chosen;
pub(crate) use load::embed;
use overrides::{complete_server, override_cluster, own_user};
use pairs::{check_cluster, check_user};

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

/// Returns the cluster and the user that the settings choose, and where they come from.
pub(crate) fn selected(
    settings: &Settings,
    environment: Environment<'_>,
) -> Result<Chosen, ClusterError> {
    let problems = problems(settings);
    if !problems.is_empty() {
        return Err(ClusterError::Settings(problems));
    }
    let Chosen {
        origin,
        mut cluster,
        user: file_user,
        nobody,
        ..
    } = found(settings, environment)?;
    override_cluster(&mut cluster, settings);
    check_cluster(&cluster).map_err(|reason| origin.refused(reason))?;
    if cluster.server.is_none() {
        return Err(origin.refused("the cluster it names has no server"));
    }
    let (user_origin, mut user, nobody) = match own_user(settings) {
        Some(own) => (Origin::Block, own, None),
        None => (origin.clone(), file_user, nobody),
    };
    check_user(&user).map_err(|reason| user_origin.refused(reason))?;
    complete_server(&mut cluster, &user);
    if let Some(token) = user.token.as_ref().filter(|_| user.token_file.is_none())
        && let Err(reason) = bearer(token)
    {
        return Err(user_origin.refused(format!("its user: {reason}")));
    }
    if let Some(exec) = &mut user.exec {
        if exec.command.is_none() {
            return Err(user_origin.refused("the exec plugin of its user has no command"));
        }
        // Standard input is Terraform's: a plugin that prompts would hang.
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    Ok(Chosen {
        origin,
        cluster,
        user_origin,
        user,
        nobody,
    })
}

fn found(settings: &Settings, environment: Environment<'_>) -> Result<Chosen, ClusterError> {
    let home = environment("HOME");
    let of_files = |paths: &[PathBuf]| choice::choose(settings, read(paths, home.as_deref())?);
    if !settings.config_paths.is_empty() {
        return of_files(&settings.config_paths);
    }
    if settings.host.is_some() {
        return Ok(alone(
            Origin::Block,
            Cluster::default(),
            AuthInfo::default(),
        ));
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
            return of_files(&paths);
        }
    }
    in_pod(environment).ok_or(ClusterError::NoConfiguration)
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
fn unusable(path: &Path, error: &KubeconfigError) -> ClusterError {
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
        context: None,
        reason,
    }
}

/// The pod's own service account, as every Kubernetes client finds it.
fn in_pod(environment: Environment<'_>) -> Option<Chosen> {
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
    let user = AuthInfo {
        token_file: Some(format!("{POD}/token")),
        ..AuthInfo::default()
    };
    Some(alone(Origin::Pod, cluster, user))
}

fn alone(origin: Origin, cluster: Cluster, user: AuthInfo) -> Chosen {
    Chosen {
        user_origin: origin.clone(),
        origin,
        cluster,
        user,
        nobody: None,
    }
}

#[cfg(test)]
mod tests;
