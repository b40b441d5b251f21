//! Kubeconfig files, and the files that these name, read with a bound.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::{AuthInfo, Kubeconfig, KubeconfigError};
use secrecy::SecretString;

use crate::error::ClusterError;
use crate::files;

/// Reads one kubeconfig. The files and programs that it names by a relative path are beside it.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let text = files::read_text(path);
    let text = text.map_err(|error| KubeconfigError::ReadConfig(error, path.to_owned()))?;
    let mut config = Kubeconfig::from_yaml(&text)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = |name: &mut Option<String>| {
        if let Some(name) = name.as_mut().filter(|name| Path::new(name).is_relative()) {
            *name = folder.join(&*name).to_string_lossy().into_owned();
        }
    };
    let clusters = config.clusters.iter_mut();
    for cluster in clusters.filter_map(|of| of.cluster.as_mut()) {
        beside(&mut cluster.certificate_authority);
    }
    let users = config.auth_infos.iter_mut();
    for user in users.filter_map(|of| of.auth_info.as_mut()) {
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

/// Puts the certificates and keys that a kubeconfig names in their files' place.
pub(crate) fn embed(origin: &Path, config: &mut Kubeconfig) -> Result<(), ClusterError> {
    let read = |name: &'static str, file: &mut Option<String>, data: bool| {
        let Some(file) = file.take().filter(|_| !data) else {
            return Ok(None);
        };
        match files::read(Path::new(&file)) {
            Ok(bytes) => Ok(Some(BASE64.encode(bytes))),
            Err(error) => Err(ClusterError::Kubeconfig {
                path: origin.to_owned(),
                reason: format!("its {name} {file} cannot be read: {error}"),
            }),
        }
    };
    let clusters = config.clusters.iter_mut();
    for cluster in clusters.filter_map(|of| of.cluster.as_mut()) {
        let (file, data) = (
            &mut cluster.certificate_authority,
            &mut cluster.certificate_authority_data,
        );
        if let Some(read) = read("certificate-authority", file, data.is_some())? {
            *data = Some(read);
        }
    }
    let users = config.auth_infos.iter_mut();
    for user in users.filter_map(|of| of.auth_info.as_mut()) {
        let AuthInfo {
            client_certificate,
            client_certificate_data,
            client_key,
            client_key_data,
            ..
        } = user;
        let has = client_certificate_data.is_some();
        if let Some(read) = read("client-certificate", client_certificate, has)? {
            *client_certificate_data = Some(read);
        }
        if let Some(read) = read("client-key", client_key, client_key_data.is_some())? {
            *client_key_data = Some(SecretString::from(read));
        }
    }
    Ok(())
}
