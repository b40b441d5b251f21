//! The cluster and the user that settings and contexts choose of a kubeconfig, by kubectl's rules.

use std::path::PathBuf;

use kube::config::{AuthInfo, Cluster, Context, Kubeconfig};

use super::chosen::Chosen;
use crate::error::ClusterError;
use crate::origin::Origin;
use crate::settings::Settings;

/// Returns the cluster and the user that settings and current context choose.
///
/// As for kubectl, a context may name a user that does not exist, or none: its requests carry no credential. Where the
/// settings give the server, it may lack its cluster as well.
pub(super) fn choose(
    settings: &Settings,
    (path, all): (PathBuf, Kubeconfig),
) -> Result<Chosen, ClusterError> {
    let name = settings
        .config_context
        .as_ref()
        .or(all.current_context.as_ref());
    let origin = |context| Origin::File {
        path: path.clone(),
        context,
    };
    let context = context(settings, &all, name).map_err(|reason| origin(None).refused(reason))?;
    let origin = origin(name.cloned());
    let refused = |reason| origin.refused(reason);
    let cluster = cluster(settings, &all, &context).map_err(refused)?;
    let user = user(settings, &all, &context).map_err(refused)?;
    let (user, nobody) = match user {
        Ok(user) => (user, None),
        Err(nobody) => (AuthInfo::default(), Some(nobody)),
    };
    Ok(Chosen {
        user_origin: origin.clone(),
        origin,
        cluster,
        user,
        nobody,
    })
}

fn context(
    settings: &Settings,
    all: &Kubeconfig,
    name: Option<&String>,
) -> Result<Context, String> {
    let contexts = || names(all.contexts.iter().map(|context| &context.name));
    let Some(name) = name else {
        if settings.config_context_cluster.is_some() || settings.host.is_some() {
            return Ok(Context::default());
        }
        return Err(format!(
            "it has no current context: set kubernetes.config_context; {}",
            contexts()
        ));
    };
    let mut found = all.contexts.iter().filter(|context| context.name == *name);
    let found = found.next();
    let found = found.ok_or_else(|| format!("it has no context {name}; {}", contexts()))?;
    Ok(found.context.clone().unwrap_or_default())
}

fn cluster(settings: &Settings, all: &Kubeconfig, context: &Context) -> Result<Cluster, String> {
    let chosen = settings.config_context_cluster.as_ref();
    let name = chosen.unwrap_or(&context.cluster);
    let mut found = all.clusters.iter().filter(|cluster| cluster.name == *name);
    match found.next() {
        Some(found) => Ok(found.cluster.clone().unwrap_or_default()),
        None if chosen.is_none() && settings.host.is_some() => Ok(Cluster::default()),
        None => Err(format!(
            "it has no cluster {name}; {}",
            names(all.clusters.iter().map(|cluster| &cluster.name))
        )),
    }
}

/// Returns the user, or why there is none.
///
/// # Errors
/// The settings name one that does not exist.
fn user(
    settings: &Settings,
    all: &Kubeconfig,
    context: &Context,
) -> Result<Result<AuthInfo, String>, String> {
    let chosen = settings.config_context_auth_info.as_ref();
    let Some(name) = chosen.or(context.user.as_ref()) else {
        return Ok(Err("names no user".into()));
    };
    let mut found = all.auth_infos.iter().filter(|user| user.name == *name);
    match found.next() {
        Some(found) => Ok(Ok(found.auth_info.clone().unwrap_or_default())),
        None if chosen.is_none() => Ok(Err(format!(
            "names the user {name}, which does not exist: {}",
            names(all.auth_infos.iter().map(|user| &user.name))
        ))),
        None => Err(format!(
            "it has no user {name}; {}",
            names(all.auth_infos.iter().map(|user| &user.name))
        )),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "it has none at all".into()
    } else {
        format!("it has {}", names.join(", "))
    }
}
