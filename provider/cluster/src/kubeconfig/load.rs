//! Kubeconfig files, and the files that these name, read with a bound.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use secrecy::{ExposeSecret, SecretString};

use super::chosen::Chosen;
use crate::error::ClusterError;
use crate::files;

/// Reads one kubeconfig. The files and programs that it names by a relative path are beside it. What is empty in it
/// counts as unset, as for kubectl.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let text = files::read_text(path);
    let text = text.map_err(|error| KubeconfigError::ReadConfig(error, path.to_owned()))?;
    let mut config = Kubeconfig::from_yaml(&text)?;
    unset_if_empty(&mut config.current_context);
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = |name: &mut Option<String>| {
        if let Some(name) = name.as_mut().filter(|name| Path::new(name).is_relative()) {
            *name = folder.join(&*name).to_string_lossy().into_owned();
        }
    };
    let contexts = config.contexts.iter_mut();
    for context in contexts.filter_map(|of| of.context.as_mut()) {
        unset_if_empty(&mut context.user);
    }
    let clusters = config.clusters.iter_mut();
    for cluster in clusters.filter_map(|of| of.cluster.as_mut()) {
        tidy_cluster(cluster);
        beside(&mut cluster.certificate_authority);
    }
    let users = config.auth_infos.iter_mut();
    for user in users.filter_map(|of| of.auth_info.as_mut()) {
        tidy_user(user);
        beside(&mut user.client_certificate);
        beside(&mut user.client_key);
        beside(&mut user.token_file);
        // A bare name is looked for in PATH.
        let exec = user.exec.as_mut().map(|exec| &mut exec.command);
        if let Some(command) = exec
            && command
                .as_ref()
                .is_some_and(|command| command.contains('/'))
        {
            beside(command);
        }
    }
    Ok(config)
}

fn tidy_cluster(cluster: &mut Cluster) {
    for text in [
        &mut cluster.server,
        &mut cluster.certificate_authority,
        &mut cluster.certificate_authority_data,
        &mut cluster.proxy_url,
        &mut cluster.tls_server_name,
    ] {
        unset_if_empty(text);
    }
}

fn tidy_user(user: &mut AuthInfo) {
    for text in [
        &mut user.username,
        &mut user.token_file,
        &mut user.client_certificate,
        &mut user.client_certificate_data,
        &mut user.client_key,
        &mut user.impersonate,
        &mut user.impersonate_uid,
    ] {
        unset_if_empty(text);
    }
    for secret in [
        &mut user.password,
        &mut user.token,
        &mut user.client_key_data,
    ] {
        if secret
            .as_ref()
            .is_some_and(|secret| secret.expose_secret().is_empty())
        {
            *secret = None;
        }
    }
    if let Some(exec) = &mut user.exec {
        unset_if_empty(&mut exec.command);
        unset_if_empty(&mut exec.install_hint);
    }
}

fn unset_if_empty(text: &mut Option<String>) {
    if text.as_ref().is_some_and(String::is_empty) {
        *text = None;
    }
}

/// Puts the certificates and keys that a kubeconfig names in their files' place. What is base64 is on one line then.
pub(crate) fn embed(chosen: &mut Chosen) -> Result<(), ClusterError> {
    let Chosen {
        origin,
        cluster,
        user_origin,
        user,
        ..
    } = chosen;
    let read = |name: &'static str, file: &mut Option<String>, data: Option<&str>| {
        let file = file.take();
        if let Some(data) = data {
            return Ok(Some(data.replace(['\r', '\n'], "")));
        }
        let Some(file) = file else {
            return Ok(None);
        };
        match files::read(Path::new(&file)) {
            Ok(bytes) => Ok(Some(BASE64.encode(bytes))),
            Err(error) => Err(format!("its {name} {file} cannot be read: {error}")),
        }
    };
    let data = cluster.certificate_authority_data.as_deref();
    let authority = read(
        "certificate-authority",
        &mut cluster.certificate_authority,
        data,
    );
    cluster.certificate_authority_data = authority.map_err(|reason| origin.refused(reason))?;
    let data = user.client_certificate_data.as_deref();
    let certificate = read("client-certificate", &mut user.client_certificate, data);
    user.client_certificate_data = certificate.map_err(|reason| user_origin.refused(reason))?;
    if user.client_certificate_data.is_none() {
        // As for kubectl, a key without a certificate means nothing.
        (user.client_key, user.client_key_data) = (None, None);
    }
    let data = user
        .client_key_data
        .as_ref()
        .map(ExposeSecret::expose_secret);
    let key = read("client-key", &mut user.client_key, data);
    let key = key.map_err(|reason| user_origin.refused(reason))?;
    user.client_key_data = key.map(SecretString::from);
    Ok(())
}
