//! The name under which a host must prove itself is the one of the Terraform configuration.

use super::configuration::{setting, settings};
use super::{Credentials, Hop, Trust};
use crate::VmError;

/// Refuses a configuration file whose `HostKeyAlias` names the key, or the certificate, of another host.
///
/// No option of the command line unsets an alias, so OpenSSH prints which one it would use. A pinned key needs
/// no name, and [`Trust::UserConfig`] is the file's own word.
pub(super) async fn check_names(
    hop: &Hop,
    credentials: &Credentials,
    args: &[String],
) -> Result<(), VmError> {
    let by_name = matches!(
        hop.trust,
        Trust::KnownHosts(_) | Trust::CertificateAuthority(_)
    );
    let Some(file) = credentials.config_file.as_ref().filter(|_| by_name) else {
        return Ok(());
    };
    let settings = settings(args).await?;
    match setting(&settings, "hostkeyalias") {
        Some(alias) if !alias.eq_ignore_ascii_case(&hop.host) => Err(VmError::Configuration {
            cause: format!(
                "{} sets HostKeyAlias {alias} for {}, which would accept the key of another host; remove it for this host, \
                 or use that name as the host",
                file.display(),
                hop.host
            ),
        }),
        _ => Ok(()),
    }
}
