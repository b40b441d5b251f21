//! Sends a request and reads the response: waits as long as the server requests, and recognises refusals.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response, StatusCode};
use kube::client::Body;
use kube::core::Status;
use mesh::bounded;
use mesh::bounded::ReadError;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::access::Pass;
use crate::body::{self, most_parsed};
use crate::call::{Call, Verb};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::refusal::{refused, unanswered};
use crate::retry::{Backoff, requested_wait};

/// How long one request may take, including the waits that the server requests. API servers
/// themselves end a request after 60 s.
const LIMIT: Duration = Duration::from_secs(65);

/// Status, headers and body of an answer; a body that is too long is an error of its own.
type Sent = (StatusCode, HeaderMap, Result<Vec<u8>, ClusterError>);

impl Cluster {
    /// Sends a request and returns the answer's JSON.
    ///
    /// There is no throttle of ours. Where the server is overloaded it answers 429, or 5xx with
    /// `Retry-After`; that is obeyed, and every call here can be repeated. A server that requests no wait, or
    /// one of 0 s, is asked again with growing pauses.
    pub(crate) async fn send(
        &self,
        call: &Call,
        request: Request<Vec<u8>>,
    ) -> Result<Value, ClusterError> {
        let end = Instant::now() + LIMIT;
        let mut backoff = Backoff::new();
        loop {
            // Boxed: a join of several requests would else be tens of kilobytes.
            let version = self.istio_version().get().copied();
            let sent = Box::pin(self.send_once(call, self.versioned(request.clone())));
            let sent = timeout(end - Instant::now(), sent);
            let (status, headers, body) =
                sent.await.map_err(|elapsed| self.silent(call, elapsed))??;
            match requested_wait(status, &headers).map(|wait| backoff.next(wait)) {
                Some(wait) if wait < end.saturating_duration_since(Instant::now()) => {
                    sleep(wait).await;
                }
                Some(wait) => {
                    return Err(ClusterError::Busy {
                        call: call.clone(),
                        wait,
                    });
                }
                None => match self.answer(call, status, &body?) {
                    Err(ClusterError::MissingCrd { .. })
                        if self.falls_back(call, version).await => {}
                    answer => return answer,
                },
            }
        }
    }

    async fn send_once(
        &self,
        call: &Call,
        request: Request<Vec<u8>>,
    ) -> Result<Sent, ClusterError> {
        let (head, body) = self.ask(call, request).await?.into_parts();
        let body = body::whole(call, head.status, body).await;
        let body = body.map_err(|error| unanswered(self.named_server(), call.clone(), error))?;
        Ok((head.status, head.headers, body))
    }

    /// Sends a request with the credentials, and returns the answer as soon as it begins. Credentials that are not
    /// accepted any longer are renewed once: a plugin may not say when they end.
    pub(crate) async fn ask(
        &self,
        call: &Call,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Body>, ClusterError> {
        let pass = self.pass().await?;
        let answer = self.ask_with(&pass, call, request.clone()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match self.pass_instead_of(&pass).await? {
            Some(pass) => self.ask_with(&pass, call, request).await,
            None => Ok(answer),
        }
    }

    async fn ask_with(
        &self,
        pass: &Pass,
        call: &Call,
        mut request: Request<Vec<u8>>,
    ) -> Result<Response<Body>, ClusterError> {
        if let Some(header) = &pass.authorization {
            request.headers_mut().insert(AUTHORIZATION, header.clone());
        }
        let answer = pass.client.send(request.map(Body::from)).await;
        answer.map_err(|error| unanswered(self.named_server(), call.clone(), error))
    }

    fn silent(&self, call: &Call, elapsed: tokio::time::error::Elapsed) -> ClusterError {
        ClusterError::Unreachable {
            server: self.named_server().into(),
            call: call.clone(),
            source: Arc::new(elapsed),
        }
    }

    fn answer(&self, call: &Call, status: StatusCode, body: &[u8]) -> Result<Value, ClusterError> {
        if status.is_success() {
            let value = bounded::json(body, most_parsed(call));
            return value.map_err(|wrong| unreadable(call, wrong));
        }
        Err(self.refused(call, status, body))
    }

    /// Returns what a refusal means.
    pub(crate) fn refused(&self, call: &Call, status: StatusCode, body: &[u8]) -> ClusterError {
        let (server, credentials) = (self.server(), self.named_credentials());
        let (call, code) = (call.clone(), status.as_u16());
        let error = refused((server, credentials), call, code, read_status(body));
        self.anonymous(error)
    }

    /// Names the reason for a refusal of a request that the server saw no credentials of.
    fn anonymous(&self, error: ClusterError) -> ClusterError {
        let (call, status) = match &error {
            ClusterError::Unauthorized { call, .. } if self.nobody().is_some() => (call, 401),
            ClusterError::Forbidden { call, message } if is_of_nobody(message) => (call, 403),
            _ => return error,
        };
        let lost = || format!("{} do not reach it", self.named_credentials());
        ClusterError::Anonymous {
            call: call.clone(),
            server: self.server().to_owned(),
            status,
            reason: self.nobody().map_or_else(lost, str::to_owned),
        }
    }

    /// Reads one object; `None` only if the server says that this very object does not exist.
    pub(crate) async fn get(&self, call: &Call) -> Result<Option<Value>, ClusterError> {
        debug_assert_eq!(call.verb, Verb::Get);
        let request = call.request("").map_err(|error| unsendable(call, &error))?;
        match self.send(call, request).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the error for a request that cannot even be formed.
pub(crate) fn unsendable(call: &Call, error: &http::Error) -> ClusterError {
    ClusterError::Answer {
        call: call.clone(),
        reason: format!("the request cannot be formed: {error}"),
    }
}

fn is_of_nobody(message: &str) -> bool {
    message.contains("User \"system:anonymous\"")
}

/// The text of the answer is left out: it may be a token.
fn unreadable(call: &Call, wrong: ReadError) -> ClusterError {
    let call = call.clone();
    match wrong {
        ReadError::Syntax(reason) => ClusterError::Answer {
            call,
            reason: format!("the answer {reason}"),
        },
        ReadError::TooLarge(what) => ClusterError::Excess {
            call,
            status: StatusCode::OK.as_u16(),
            what,
        },
    }
}

/// A proxy in front of the API server answers in its own words.
fn read_status(body: &[u8]) -> Status {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text: String = String::from_utf8_lossy(body)
            .trim()
            .chars()
            .take(500)
            .collect();
        Status {
            message: text,
            ..Status::default()
        }
    })
}
