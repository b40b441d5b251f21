//! The token with which the VM first asks for its certificate.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use mesh::SpiffeId;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::call::{Call, TOKEN, Verb};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::send::unsendable;

/// Whom istiod expects a token to be for, `--tokenAudience` unless changed.
const AUDIENCE: &str = "istio-ca";
/// The API server refuses shorter ones.
const SHORTEST: Duration = Duration::from_mins(10);

/// A service account's token. `Debug` does not show it.
pub struct Token {
    /// The JWT.
    pub secret: SecretString,
    /// When it ends; the server may have shortened it.
    pub expires: Timestamp,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Mints a token of the identity's service account for istiod's CA, for `ttl` or 10 minutes,
    /// whichever is longer.
    pub async fn mint(&self, identity: &SpiffeId, ttl: Duration) -> Result<Token, ClusterError> {
        let call = Call::new(
            Verb::Create,
            TOKEN,
            identity.namespace.as_str(),
            identity.service_account.as_str(),
        );
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "audiences": [AUDIENCE], "expirationSeconds": ttl.max(SHORTEST).as_secs() },
        });
        let request = call
            .request_with("", "application/json", &body)
            .map_err(|error| unsendable(&call, &error))?;
        let answer = self.send(&call, request).await?;
        read(&answer).ok_or_else(|| {
            let reason = "the answer holds no token, or no time at which it ends".into();
            ClusterError::Answer { call, reason }
        })
    }
}

fn read(answer: &Value) -> Option<Token> {
    let status = &answer["status"];
    let secret = SecretString::from(status["token"].as_str()?);
    Some(Token {
        secret,
        expires: status["expirationTimestamp"].as_str()?.parse().ok()?,
    })
}
