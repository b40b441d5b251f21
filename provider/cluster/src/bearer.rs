//! Tokens that change: from a plugin, which is run again before one ends, or from a file, which is read again each
//! minute.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use kube::config::{AuthInfo, ExecConfig};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::error::ClusterError;
use crate::{files, plugin};

/// How long before its end a token is renewed, and how long one of a file is believed.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

enum Source {
    /// As the user or a kubeconfig writes it.
    Text,
    Plugin(Box<ExecConfig>),
    File(PathBuf),
}

struct Held {
    header: HeaderValue,
    /// When it has to be renewed.
    until: Option<Timestamp>,
}

/// The header of a token that changes.
pub(crate) struct Bearer {
    source: Source,
    held: Mutex<Held>,
}

impl Bearer {
    /// Takes over what has to be run or read for a user's credentials, and does so a first time. A certificate of a
    /// plugin becomes the user's own.
    pub(crate) async fn of(user: &mut AuthInfo) -> Result<Option<Self>, ClusterError> {
        let (file, exec) = (user.token_file.take(), user.exec.take());
        let named = |of: &kube::config::AuthProviderConfig| of.config.contains_key("cmd-path");
        if user.auth_provider.as_ref().is_some_and(named) {
            let reason = "an auth-provider with a cmd-path is not run, as kubectl does not: use a plugin by exec";
            return Err(ClusterError::Credentials {
                reason: reason.into(),
            });
        }
        let has_password = user.username.is_some() && user.password.is_some();
        if user.auth_provider.is_some() || has_password {
            return Ok(None);
        }
        let (source, held) = if let Some(token) = user.token.take() {
            let header = header(&token)?;
            (
                Source::Text,
                Held {
                    header,
                    until: None,
                },
            )
        } else if let Some(file) = file {
            let file = PathBuf::from(file);
            let held = of_file(&file)?;
            (Source::File(file), held)
        } else if let Some(exec) = exec {
            let mut credential = plugin::run(&exec).await?;
            if let Some((certificate, key)) = credential.certificate.take() {
                user.client_certificate_data = Some(BASE64.encode(certificate));
                let key = BASE64.encode(key.expose_secret());
                user.client_key_data = Some(SecretString::from(key));
            }
            let Some(token) = credential.token else {
                return Ok(None);
            };
            let held = held(&token, credential.until)?;
            (Source::Plugin(Box::new(exec)), held)
        } else {
            return Ok(None);
        };
        let held = Mutex::new(held);
        Ok(Some(Self { source, held }))
    }

    /// Returns the header, renewed where that is due.
    pub(crate) async fn header(&self) -> Result<HeaderValue, ClusterError> {
        let mut now = self.held.lock().await;
        let due = |until: Timestamp| Timestamp::now() + MINUTE >= until;
        if now.until.is_some_and(due) {
            match &self.source {
                Source::Text => {}
                Source::Plugin(exec) => {
                    let credential = plugin::run(exec).await?;
                    let token = credential.token.ok_or_else(no_token)?;
                    *now = held(&token, credential.until)?;
                }
                // A file that is gone leaves what was read: some are removed once they were.
                Source::File(path) => {
                    if let Ok(read) = of_file(path) {
                        *now = read;
                    }
                }
            }
        }
        Ok(now.header.clone())
    }
}

fn of_file(path: &Path) -> Result<Held, ClusterError> {
    let token = files::read_text(path).map_err(|error| ClusterError::Credentials {
        reason: format!("the token file {} cannot be read: {error}", path.display()),
    })?;
    let token = SecretString::from(token);
    held(&token, Some(Timestamp::now() + MINUTE + MINUTE))
}

/// A file and a plugin may end their token with a line break, as kubectl allows.
fn held(token: &SecretString, until: Option<Timestamp>) -> Result<Held, ClusterError> {
    let trimmed = SecretString::from(token.expose_secret().trim());
    let header = header(&trimmed)?;
    Ok(Held { header, until })
}

/// Returns the header `Authorization`.
///
/// # Errors
/// [`ClusterError::Credentials`] if the token has characters that no header may have, such as a line break.
pub(crate) fn header(token: &SecretString) -> Result<HeaderValue, ClusterError> {
    let header = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut header = header.map_err(|_| ClusterError::Credentials {
        reason: "the token must be one line of printable characters".into(),
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn no_token() -> ClusterError {
    ClusterError::Credentials {
        reason: "the exec plugin printed no token".into(),
    }
}
