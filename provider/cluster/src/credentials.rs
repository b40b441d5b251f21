//! What we show the API server, and where it comes from: as written, from a file that is read again, or from a plugin
//! that is run again.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use kube::config::{AuthInfo, AuthProviderConfig, ExecConfig};
use secrecy::{ExposeSecret, SecretString};

use crate::error::ClusterError;
use crate::identity::Identity;
use crate::origin::Origin;
use crate::{files, plugin};

/// How long a token of a file is believed, as by kubectl.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A credential: a header, a certificate, or both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credential {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) identity: Option<Identity>,
    /// When it ends.
    pub(crate) until: Option<Timestamp>,
}

/// Whether the server would see a difference.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.authorization == other.authorization && self.identity == other.identity
    }
}

/// Where credentials come from.
pub(crate) enum Source {
    Fixed(Credential),
    File {
        path: PathBuf,
        /// The user's token, which is shown as long as the file could never be read.
        instead: Option<HeaderValue>,
        identity: Option<Identity>,
        origin: Origin,
    },
    Plugin {
        exec: Box<ExecConfig>,
        origin: Origin,
    },
}

impl Source {
    /// Takes over what has to be shown, read or run for a user. Certificates and keys are embedded already.
    ///
    /// The order is kubectl's: a file with a token comes before a token, and a plugin is run only where the user has
    /// nothing else.
    pub(crate) fn new(user: &mut AuthInfo, origin: Origin) -> Result<Self, ClusterError> {
        let refused = |reason: String| origin.refused(reason);
        let identity = identity(user).map_err(refused)?;
        let (name, password) = (user.username.take(), user.password.take());
        let (token, file, exec) = (user.token.take(), user.token_file.take(), user.exec.take());
        if let Some(file) = file {
            return Ok(Self::File {
                path: PathBuf::from(file),
                instead: token.and_then(|token| bearer(&token).ok()),
                identity,
                origin,
            });
        }
        let authorization = if let Some(name) = name {
            Some(basic(&name, password.as_ref()).map_err(refused)?)
        } else if let Some(token) = token {
            Some(bearer(&token).map_err(refused)?)
        } else {
            let token = of_provider(user.auth_provider.take()).map_err(refused)?;
            token
                .map(|token| bearer(&token))
                .transpose()
                .map_err(refused)?
        };
        let has_nothing = authorization.is_none() && identity.is_none();
        if let Some(exec) = exec.filter(|_| has_nothing) {
            let exec = Box::new(exec);
            return Ok(Self::Plugin { exec, origin });
        }
        Ok(Self::Fixed(Credential {
            authorization,
            identity,
            until: None,
        }))
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Fixed(of) if *of == Credential::default())
    }

    /// Returns what is shown while nothing could be read yet.
    pub(crate) fn instead(&self) -> Option<Credential> {
        let Self::File {
            instead, identity, ..
        } = self
        else {
            return None;
        };
        Some(Credential {
            authorization: Some(instead.clone()?),
            identity: identity.clone(),
            until: Some(Timestamp::now() + MINUTE + MINUTE),
        })
    }

    /// Returns the credential as it is now.
    pub(crate) async fn credential(&self) -> Result<Credential, ClusterError> {
        match self {
            Self::Fixed(credential) => Ok(credential.clone()),
            Self::File {
                path,
                identity,
                origin,
                ..
            } => {
                let header = of_file(path).map_err(|reason| origin.refused(reason))?;
                Ok(Credential {
                    authorization: Some(header),
                    identity: identity.clone(),
                    until: Some(Timestamp::now() + MINUTE + MINUTE),
                })
            }
            Self::Plugin { exec, origin } => of_plugin(exec, origin).await,
        }
    }
}

fn identity(user: &mut AuthInfo) -> Result<Option<Identity>, String> {
    let certificate = user.client_certificate_data.take();
    let key = user.client_key_data.take();
    let decoded = |what: &str, text: &str| {
        let decoded = BASE64.decode(text);
        decoded.map_err(|_| format!("the {what} is not base64"))
    };
    match (certificate, key) {
        // As for kubectl, a key without a certificate means nothing.
        (None, _) => Ok(None),
        (Some(_), None) => Err("there is a client certificate without its key".into()),
        (Some(certificate), Some(key)) => {
            let certificate = decoded("client certificate", &certificate)?;
            let key = decoded("client key", key.expose_secret())?;
            Identity::new(&certificate, &key).map(Some)
        }
    }
}

/// Returns the token that an `auth-provider` has left in a kubeconfig.
fn of_provider(provider: Option<AuthProviderConfig>) -> Result<Option<SecretString>, String> {
    let Some(AuthProviderConfig {
        name, mut config, ..
    }) = provider
    else {
        return Ok(None);
    };
    let expiry = config.get("expiry");
    let is_over = expiry.is_some_and(|at| {
        at.parse()
            .is_ok_and(|end: Timestamp| end <= Timestamp::now())
    });
    let token = match name.as_str() {
        "oidc" => config.remove("id-token"),
        "gcp" => {
            let access = config.remove("access-token").filter(|_| !is_over);
            config.remove("id-token").or(access)
        }
        _ => None,
    };
    let token = token.ok_or_else(|| {
        format!("its auth-provider {name:?} holds no token that is valid: use a plugin by exec")
    })?;
    Ok(Some(SecretString::from(token)))
}

fn basic(name: &str, password: Option<&SecretString>) -> Result<HeaderValue, String> {
    let password = password.map_or("", |password| password.expose_secret());
    let encoded = BASE64.encode(format!("{name}:{password}"));
    sensitive(format!("Basic {encoded}"))
}

/// Returns the header `Authorization` of a token.
///
/// # Errors
/// The token has characters that no header may have, such as a line break.
pub(crate) fn bearer(token: &SecretString) -> Result<HeaderValue, String> {
    sensitive(format!("Bearer {}", token.expose_secret()))
}

fn sensitive(text: String) -> Result<HeaderValue, String> {
    let header = HeaderValue::try_from(text);
    let mut header =
        header.map_err(|_| "the token must be one line of printable characters".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

/// A file and a plugin may end their token with a line break, as kubectl allows for files.
fn trimmed(token: &SecretString) -> Result<HeaderValue, String> {
    bearer(&SecretString::from(token.expose_secret().trim()))
}

fn of_file(path: &Path) -> Result<HeaderValue, String> {
    let path_of = path.display();
    let token = files::read_text(path);
    let token =
        token.map_err(|error| format!("the token file {path_of} cannot be read: {error}"))?;
    if token.trim().is_empty() {
        return Err(format!("the token file {path_of} is empty"));
    }
    trimmed(&SecretString::from(token))
        .map_err(|reason| format!("the token file {path_of}: {reason}"))
}

async fn of_plugin(exec: &ExecConfig, origin: &Origin) -> Result<Credential, ClusterError> {
    let printed = plugin::run(exec, origin).await?;
    let header = printed.token.as_ref().map(trimmed).transpose();
    let identity = printed.certificate.as_ref();
    let identity = identity.map(|(certificate, key)| {
        Identity::new(certificate.as_bytes(), key.expose_secret().as_bytes())
    });
    let (authorization, identity) = header
        .and_then(|header| Ok((header, identity.transpose()?)))
        .map_err(|reason| plugin::useless(exec, origin, &reason))?;
    let end = identity.as_ref().and_then(|identity| identity.until);
    Ok(Credential {
        authorization,
        identity,
        until: printed.until.or(end),
    })
}
