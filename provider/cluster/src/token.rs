//! The token with which the VM requests its first certificate.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use mesh::bundle::TOKEN_AUDIENCE;
use mesh::names::SpiffeId;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::call::{Call, TOKEN, Verb};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::send::unsendable;

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
            "spec": { "audiences": [TOKEN_AUDIENCE], "expirationSeconds": ttl.max(SHORTEST).as_secs() },
        });
        let request = call
            .request_with("", "application/json", &body)
            .map_err(|error| unsendable(&call, &error))?;
        let answer = self.send(&call, request).await?;
        read(&answer).map_err(|reason| ClusterError::Answer { call, reason })
    }
}

fn read(answer: &Value) -> Result<Token, String> {
    let status = &answer["status"];
    let expires = status["expirationTimestamp"].as_str();
    let (Some(token), Some(expires)) = (
        status["token"].as_str(),
        expires.and_then(|at| at.parse().ok()),
    ) else {
        return Err("the answer holds no token, or no time at which it ends".into());
    };
    check(token).map_err(|came| format!("what came as the token is {came}"))?;
    Ok(Token {
        secret: SecretString::from(token),
        expires,
    })
}

/// Says what a text is instead of a token for istiod, and nothing of its content: what answers in the API server's
/// place may say anything.
fn check(token: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let parts: Vec<&str> = token.split('.').collect();
    let came = format!("{} bytes, {} parts", token.len(), parts.len());
    let whole = |part: &&str| !part.is_empty() && part.bytes().all(plain);
    let [_, payload, _] = parts.as_slice() else {
        return Err(format!(
            "no token: {came}, where a token has three of base64url"
        ));
    };
    if !parts.iter().all(whole) {
        return Err(format!(
            "no token: {came}, and one of them is not of base64url"
        ));
    }
    let claims: Option<Value> = URL_SAFE_NO_PAD
        .decode(payload)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(Value::Object(claims)) = claims else {
        return Err(format!("no token: {came}, the second of which is no JSON"));
    };
    match claims.get("aud") {
        Some(Value::String(audience)) if audience == TOKEN_AUDIENCE => Ok(()),
        Some(Value::Array(audiences)) if audiences.iter().any(|of| of == TOKEN_AUDIENCE) => Ok(()),
        audience => Err(format!(
            "a token of {} bytes for the audience {}, and not for {TOKEN_AUDIENCE}",
            token.len(),
            plain::line(&audience.unwrap_or(&Value::Null).to_string(), 100)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("canary.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    fn came(token: &str) -> Result<(), String> {
        let status = json!({ "token": token, "expirationTimestamp": "2030-01-01T00:00:00Z" });
        read(&json!({ "status": status })).map(drop)
    }

    #[test]
    fn a_token_has_three_parts_and_an_audience_that_fits() {
        for payload in [r#"{"aud":["other","istio-ca"]}"#, r#"{"aud":"istio-ca"}"#] {
            assert_eq!(came(&token(payload)), Ok(()));
        }
        let fine = token(r#"{"aud":["istio-ca"]}"#);
        let cases = [
            ("..".to_owned(), "2 bytes, 3 parts"),
            ("canary.b".into(), "2 parts"),
            (format!("canary: old\n{fine}"), "not of base64url"),
            (format!("{fine}\n"), "not of base64url"),
            ("canary.aaaa.c".into(), "no JSON"),
            (token(r#"["istio-ca"]"#), "no JSON"),
            (token(r#"{"aud":["other"]}"#), "the audience [\"other\"]"),
            (token("{}"), "the audience null"),
        ];
        for (text, word) in cases {
            let said = came(&text).unwrap_err();
            assert!(
                said.contains(word) && !said.contains("canary"),
                "{text}: {said}"
            );
        }
    }
}
