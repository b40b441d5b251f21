//! What the settings say over a kubeconfig: of its cluster, and instead of its user.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::{AuthInfo, Cluster, ExecConfig};
use secrecy::{ExposeSecret, SecretString};

use crate::settings::{Exec, Settings};

/// As kubectl's flags do it: a CA ends what the file says about verification, and `insecure` takes the file's CA away.
pub(super) fn override_cluster(cluster: &mut Cluster, settings: &Settings) {
    if let Some(host) = &settings.host {
        cluster.server = Some(with_scheme(host, "https"));
    }
    if let Some(pem) = &settings.cluster_ca_certificate {
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = Some(BASE64.encode(pem));
        cluster.insecure_skip_tls_verify = None;
    }
    if let Some(name) = &settings.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    if let Some(url) = &settings.proxy_url {
        cluster.proxy_url = Some(url.expose_secret().to_owned());
    }
    if settings.insecure {
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = Some(true);
    }
}

/// Completes a server without a scheme, as `kubectl proxy` prints it: kubectl itself speaks plain HTTP with one of which
/// the kubeconfig says nothing about TLS. Here this holds only while nothing secret is sent.
pub(super) fn complete_server(cluster: &mut Cluster, user: &AuthInfo) {
    let is_secure = cluster.certificate_authority.is_some()
        || cluster.certificate_authority_data.is_some()
        || cluster.insecure_skip_tls_verify == Some(true);
    let is_nobody = user.token.is_none()
        && user.token_file.is_none()
        && user.username.is_none()
        && user.exec.is_none()
        && user.auth_provider.is_none()
        && user.client_certificate.is_none()
        && user.client_certificate_data.is_none();
    let scheme = if is_nobody && !is_secure {
        "http"
    } else {
        "https"
    };
    let server = cluster.server.take();
    cluster.server = server.map(|server| with_scheme(&server, scheme));
}

fn with_scheme(server: &str, scheme: &str) -> String {
    if server.contains("://") {
        server.to_owned()
    } else {
        format!("{scheme}://{server}")
    }
}

/// Returns the user that the settings make: any credential there replaces all of the file's, so
/// that two kinds are never mixed.
pub(super) fn own_user(settings: &Settings) -> Option<AuthInfo> {
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
