//! Who we are to the API server, for as long as a run takes: the client and the header of each request, renewed before
//! a credential ends and where the server does not accept it any longer.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, Config};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::credentials::{Credential, Source};
use crate::error::ClusterError;
use crate::origin::Origin;
use crate::shared::Failure;
use crate::transport;

/// How long before its end a credential is renewed.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);
/// How soon a source is asked again that gave the same credential once more after a refusal.
const PAUSE: Duration = Duration::from_secs(5);

/// What one request is sent with.
pub(crate) struct Pass {
    pub(crate) client: Client,
    pub(crate) authorization: Option<HeaderValue>,
    /// Counts the credentials.
    number: u64,
}

/// A pass, and until when it is good.
struct Held {
    pass: Arc<Pass>,
    credential: Credential,
    /// When it is renewed; before its end.
    due: Option<Timestamp>,
    /// When the source gave it once more after a refusal.
    again: Option<Instant>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failure<ClusterError>>,
}

/// The way to one cluster.
pub(crate) struct Access {
    source: Source,
    /// The server, and where it is configured.
    server: Option<(Origin, Config)>,
    state: Mutex<State>,
}

impl Access {
    pub(crate) fn new(source: Source, origin: Origin, config: Config) -> Self {
        Self {
            source,
            server: Some((origin, config)),
            state: Mutex::default(),
        }
    }

    /// Returns the access of a client that exists and needs nothing else.
    pub(crate) fn over(client: Client) -> Self {
        let pass = Pass {
            client,
            authorization: None,
            number: 0,
        };
        let held = Held {
            pass: Arc::new(pass),
            credential: Credential::default(),
            due: None,
            again: None,
        };
        Self {
            source: Source::Fixed(Credential::default()),
            server: None,
            state: Mutex::new(State {
                held: Some(held),
                failed: None,
            }),
        }
    }

    /// Returns what the next request is sent with. Whoever waits for a plugin gets its credential, or its failure.
    pub(crate) async fn pass(&self) -> Result<Arc<Pass>, ClusterError> {
        let mut state = self.state.lock().await;
        let now = Timestamp::now();
        let good = state
            .held
            .as_ref()
            .filter(|held| held.due.is_none_or(|due| now < due));
        if let Some(held) = good {
            return Ok(Arc::clone(&held.pass));
        }
        let renewed = self.renew(&mut state).await;
        // A source that fails for a moment does not matter before the end. A file that is gone leaves what was read:
        // some are removed once they were.
        let lasts = |held: &&Held| {
            self.source.is_file() || held.credential.until.is_some_and(|end| now < end)
        };
        match (renewed, state.held.as_ref().filter(lasts)) {
            (Err(_), Some(held)) => Ok(Arc::clone(&held.pass)),
            (renewed, _) => renewed,
        }
    }

    /// Returns another pass than one that the server did not accept; `None`: there is no other.
    pub(crate) async fn instead_of(
        &self,
        refused: &Pass,
    ) -> Result<Option<Arc<Pass>>, ClusterError> {
        let mut state = self.state.lock().await;
        if let Some(held) = &state.held {
            if held.pass.number != refused.number {
                return Ok(Some(Arc::clone(&held.pass)));
            }
            let waits = held.again.is_some_and(|at| at.elapsed() < PAUSE);
            if waits || matches!(self.source, Source::Fixed(_)) {
                return Ok(None);
            }
        }
        let pass = match self.renew(&mut state).await {
            Err(_) if self.source.is_file() => return Ok(None),
            renewed => renewed?,
        };
        if pass.number != refused.number {
            return Ok(Some(pass));
        }
        if let Some(held) = &mut state.held {
            held.again = Some(Instant::now());
        }
        Ok(None)
    }

    async fn renew(&self, state: &mut State) -> Result<Arc<Pass>, ClusterError> {
        if let Some(error) = state.failed.as_ref().and_then(Failure::kept) {
            return Err(error);
        }
        let since = Instant::now();
        let credential = match self.source.credential().await {
            Err(error) if state.held.is_none() => self.source.instead().ok_or(error),
            credential => credential,
        };
        let held = credential.and_then(|credential| self.held(credential, state.held.as_ref()));
        match held {
            Ok(held) => {
                let pass = Arc::clone(&held.pass);
                *state = State {
                    held: Some(held),
                    failed: None,
                };
                Ok(pass)
            }
            Err(error) => {
                state.failed = Some(Failure::new(error.clone(), since));
                Err(error)
            }
        }
    }

    /// Returns what is held from now on. The connections stay unless the client's certificate is another one.
    fn held(&self, credential: Credential, before: Option<&Held>) -> Result<Held, ClusterError> {
        let due = credential.until.map(due);
        let pass = match before {
            Some(held) if held.credential == credential => Arc::clone(&held.pass),
            _ => {
                let kept = before.filter(|held| held.credential.identity == credential.identity);
                let client = match kept {
                    Some(held) => held.pass.client.clone(),
                    None => self.client(&credential)?,
                };
                Arc::new(Pass {
                    client,
                    authorization: credential.authorization.clone(),
                    number: before.map_or(0, |held| held.pass.number + 1),
                })
            }
        };
        Ok(Held {
            pass,
            credential,
            due,
            again: None,
        })
    }

    fn client(&self, credential: &Credential) -> Result<Client, ClusterError> {
        let Some((origin, config)) = &self.server else {
            return Err(Origin::Block.refused("there is no server"));
        };
        transport::client(config, credential.identity.as_ref())
            .map_err(|error| origin.refused(error.to_string()))
    }
}

/// Returns when a credential is renewed that ends at `end`: a minute before, or halfway if it comes with less than two.
fn due(end: Timestamp) -> Timestamp {
    let now = Timestamp::now();
    let left = end.duration_since(now).max(SignedDuration::ZERO);
    end.checked_sub(AHEAD.min(left / 2)).unwrap_or(end)
}

#[cfg(test)]
mod tests;
