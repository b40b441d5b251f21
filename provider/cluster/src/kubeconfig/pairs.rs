//! Parts of a kubeconfig that say the same twice. The rules are those of client-go: some pairs it refuses, since it is
//! not clear which is meant, and of others it takes one.

use kube::config::{AuthInfo, Cluster};

/// # Errors
/// What is set twice.
pub(super) fn check_cluster(cluster: &Cluster) -> Result<(), &'static str> {
    let has_file = cluster.certificate_authority.is_some();
    let has_data = cluster.certificate_authority_data.is_some();
    if has_file && has_data {
        return Err(
            "its cluster has both certificate-authority and certificate-authority-data: remove one",
        );
    }
    if (has_file || has_data) && cluster.insecure_skip_tls_verify == Some(true) {
        return Err(
            "its cluster has both a certificate-authority and insecure-skip-tls-verify: remove one",
        );
    }
    Ok(())
}

/// # Errors
/// What is set twice, or lacks its other half.
pub(super) fn check_user(user: &AuthInfo) -> Result<(), &'static str> {
    let has_certificate_file = user.client_certificate.is_some();
    let has_certificate = has_certificate_file || user.client_certificate_data.is_some();
    let (has_token, has_token_file) = (user.token.is_some(), user.token_file.is_some());
    let has_name = user.username.is_some();
    let impersonates_more = user.impersonate_uid.is_some()
        || user
            .impersonate_groups
            .as_ref()
            .is_some_and(|of| !of.is_empty())
        || user
            .impersonate_user_extra
            .as_ref()
            .is_some_and(|of| !of.is_empty());
    let rules = [
        (
            (has_name && (has_token || has_token_file)) || (user.password.is_some() && has_token),
            "its user has both a token and a user name or password: remove one",
        ),
        (
            has_certificate_file && user.client_certificate_data.is_some(),
            "its user has both client-certificate and client-certificate-data: remove one",
        ),
        (
            has_certificate && user.client_key.is_some() && user.client_key_data.is_some(),
            "its user has both client-key and client-key-data: remove one",
        ),
        (
            user.exec.is_some() && user.auth_provider.is_some(),
            "its user has both an exec plugin and an auth-provider: remove one",
        ),
        (
            impersonates_more && user.impersonate.is_none(),
            "its user has as-uid, as-groups or as-user-extra without as",
        ),
    ];
    let broken = rules.into_iter().find(|(broken, _)| *broken);
    broken.map_or(Ok(()), |(_, reason)| Err(reason))
}
