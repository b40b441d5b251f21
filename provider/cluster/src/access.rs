//! Who we are to the API server, for as long as a run takes: the client and the header of each request, renewed before
//! a credential ends and where the server does not accept it any longer.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, Config};
use tokio::time::Instant;

use crate::credentials::{Credential, Source};
use crate::error::ClusterError;
use crate::origin::Origin;
use crate::shared::Failure;
use crate::transport;

/// How long before its end a credential is renewed.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);
/// How soon a source is asked again that was asked after a refusal, failed while its credential was valid, or gave one
/// that was over.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

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
}

/// A renewal that is under way, for all who wait for it.
type Renewal = Shared<BoxFuture<'static, Result<Arc<Pass>, ClusterError>>>;

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failure<ClusterError>>,
    renewal: Option<Renewal>,
    /// When the last renewal ended.
    renewed: Option<Instant>,
    /// When the last renewal after a refusal ended.
    refused: Option<Instant>,
}

/// What makes passes.
struct Issuer {
    source: Source,
    /// The server, and where it is configured.
    server: Option<(Origin, Config)>,
    state: Mutex<State>,
}

/// The way to one cluster.
pub(crate) struct Access(Arc<Issuer>);

impl Access {
    pub(crate) fn new(source: Source, origin: Origin, config: Config) -> Self {
        Self(Arc::new(Issuer {
            source,
            server: Some((origin, config)),
            state: Mutex::default(),
        }))
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
        };
        Self(Arc::new(Issuer {
            source: Source::Fixed(Credential::default()),
            server: None,
            state: Mutex::new(State {
                held: Some(held),
                ..State::default()
            }),
        }))
    }

    /// Returns what the next request is sent with. Whoever waits for a plugin gets its credential, or its failure.
    /// Nobody waits while the present credential is valid.
    pub(crate) async fn pass(&self) -> Result<Arc<Pass>, ClusterError> {
        let renewal = {
            let mut state = self.0.state();
            let now = Timestamp::now();
            if let Some(held) = &state.held {
                let pass = Arc::clone(&held.pass);
                if held.due.is_none_or(|due| now < due) {
                    return Ok(pass);
                }
                if held.credential.until.is_some_and(|end| now < end) {
                    if !is_recent(state.renewed) && state.renewal.is_none() {
                        let _goes_on_by_itself = self.begin(&mut state);
                    }
                    return Ok(pass);
                }
            }
            self.renewal(&mut state)
        };
        let renewed = match renewal {
            Ok(renewal) => renewal.await,
            Err(error) => Err(error),
        };
        // A file that is gone leaves what was read: some are removed once they were.
        match (renewed, &self.0.state().held) {
            (Err(_), Some(held)) if self.0.source.is_file() => Ok(Arc::clone(&held.pass)),
            (renewed, _) => renewed,
        }
    }

    /// Returns another pass than one that the server did not accept; `None`: there is no other.
    pub(crate) async fn instead_of(
        &self,
        refused: &Pass,
    ) -> Result<Option<Arc<Pass>>, ClusterError> {
        let renewal = {
            let mut state = self.0.state();
            if let Some(held) = &state.held
                && held.pass.number != refused.number
            {
                return Ok(Some(Arc::clone(&held.pass)));
            }
            let waits = is_recent(state.refused) && state.renewal.is_none();
            if waits || matches!(self.0.source, Source::Fixed(_)) {
                return Ok(None);
            }
            self.renewal(&mut state)
        };
        let renewed = match renewal {
            Ok(renewal) => renewal.await,
            Err(error) => Err(error),
        };
        let pass = match renewed {
            Err(_) if self.0.source.is_file() => return Ok(None),
            renewed => renewed?,
        };
        self.0.state().refused = Some(Instant::now());
        Ok((pass.number != refused.number).then_some(pass))
    }

    /// Returns the renewal that is under way, or begins one.
    ///
    /// # Errors
    /// The failure of the last one, for as long as it is kept.
    fn renewal(&self, state: &mut State) -> Result<Renewal, ClusterError> {
        if let Some(renewal) = &state.renewal {
            return Ok(renewal.clone());
        }
        match state.failed.as_ref().and_then(Failure::kept) {
            Some(error) => Err(error),
            None => Ok(self.begin(state)),
        }
    }

    /// Begins a renewal on a task of its own: it goes on when nobody waits for it.
    fn begin(&self, state: &mut State) -> Renewal {
        let issuer = Arc::clone(&self.0);
        let task = tokio::spawn(async move { issuer.renew().await });
        let renewal = async move {
            match task.await.map_err(tokio::task::JoinError::try_into_panic) {
                Ok(renewed) => renewed,
                Err(Ok(panic)) => resume_unwind(panic),
                // The process ends.
                Err(Err(_)) => pending().await,
            }
        };
        let renewal = renewal.boxed().shared();
        state.renewal = Some(renewal.clone());
        renewal
    }

    #[cfg(test)]
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl Issuer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self) -> Result<Arc<Pass>, ClusterError> {
        let since = Instant::now();
        let credential = self.source.credential().await;
        let mut state = self.state();
        let credential = match credential {
            Err(error) if state.held.is_none() => self.source.instead().ok_or(error),
            credential => credential,
        };
        let held = credential.and_then(|credential| self.held(credential, state.held.as_ref()));
        state.renewal = None;
        state.renewed = Some(Instant::now());
        match held {
            Ok(held) => {
                let pass = Arc::clone(&held.pass);
                state.held = Some(held);
                state.failed = None;
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
/// One that is over when it comes is shown all the same, since clocks differ.
fn due(end: Timestamp) -> Timestamp {
    let now = Timestamp::now();
    let left = end.duration_since(now).max(SignedDuration::ZERO);
    let due = end.checked_sub(AHEAD.min(left / 2)).unwrap_or(end);
    due.max(now.checked_add(PAUSE).unwrap_or(now))
}

fn is_recent(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at.elapsed() < PAUSE.unsigned_abs())
}

#[cfg(test)]
mod tests;
