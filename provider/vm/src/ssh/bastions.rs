//! The connections to bastions, shared by every VM behind them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::master::{Login, Master};
use super::{Credentials, Hop};
use crate::VmError;

/// Every bastion that is open now: one connection each, however many VMs are behind it. It ends
/// with the last session that goes through it. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Bastions(Arc<Mutex<Vec<Shared>>>);

/// The way to a bastion, itself last. Whoever comes with other credentials logs in for itself.
#[derive(Clone, Debug)]
struct Shared {
    way: Vec<Hop>,
    credentials: Credentials,
    /// Locked while somebody connects: the others wait and share.
    master: Arc<tokio::sync::Mutex<Weak<Master>>>,
}

impl Bastions {
    /// Returns the connection to the last of `way`, through all before it; `None` if there are none.
    pub(super) async fn pass(
        &self,
        way: &[Hop],
        login: Login<'_>,
    ) -> Result<Option<Arc<Master>>, VmError> {
        let mut via = None;
        for (at, hop) in way.iter().enumerate() {
            let slot = self.slot(&way[..=at], login.credentials);
            let passed = open(&slot, hop, login, via).await;
            via = Some(passed.map_err(|source| VmError::Bastion {
                host: hop.host.clone(),
                source: Box::new(source),
            })?);
        }
        Ok(via)
    }

    fn slot(
        &self,
        way: &[Hop],
        credentials: &Credentials,
    ) -> Arc<tokio::sync::Mutex<Weak<Master>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all
            .iter()
            .find(|shared| shared.way == way && shared.credentials == *credentials)
        {
            return Arc::clone(&known.master);
        }
        let master = Arc::default();
        all.push(Shared {
            way: way.to_vec(),
            credentials: credentials.clone(),
            master: Arc::clone(&master),
        });
        master
    }
}

async fn open(
    slot: &tokio::sync::Mutex<Weak<Master>>,
    hop: &Hop,
    login: Login<'_>,
    via: Option<Arc<Master>>,
) -> Result<Arc<Master>, VmError> {
    let mut slot = slot.lock().await;
    if let Some(open) = slot.upgrade().filter(|master| master.is_alive()) {
        return Ok(open);
    }
    let master = Arc::new(Master::open(hop, login, via).await?);
    *slot = Arc::downgrade(&master);
    Ok(master)
}
