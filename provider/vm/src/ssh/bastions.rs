//! What all connections of a process share: those to bastions, and how many log in at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::arguments::Login;
use super::master::Master;
use super::{Credentials, Hop};
use crate::VmError;

/// How many connections may wait for their login at once. sshd's default `MaxStartups` of
/// `10:30:100` refuses some from ten on, and all our targets may be one sshd behind a NAT.
const LOGINS: usize = 8;

/// Every bastion that was passed: one connection each, however many VMs are behind it. It stays for
/// the next VM and ends with this. Clones share.
#[derive(Clone, Debug)]
pub struct Bastions {
    passed: Arc<Mutex<Vec<Arc<Bastion>>>>,
    logins: Arc<Semaphore>,
}

impl Default for Bastions {
    fn default() -> Self {
        Self {
            passed: Arc::default(),
            logins: Arc::new(Semaphore::new(LOGINS)),
        }
    }
}

/// The hops to a bastion, itself last. Other credentials get a connection of their own.
#[derive(Debug)]
struct Bastion {
    route: Vec<Hop>,
    credentials: Credentials,
    /// How many attempts to connect have ended.
    attempts: AtomicUsize,
    /// Locked during a connection attempt: others wait and share its outcome.
    last: tokio::sync::Mutex<Option<Result<Arc<Master>, Arc<VmError>>>>,
}

impl Bastions {
    /// Connects to the VM itself, through the last of `route`.
    pub(super) async fn reach(
        &self,
        vm: &Hop,
        login: Login<'_>,
        via: Option<Arc<Master>>,
    ) -> Result<Master, VmError> {
        // It is never closed.
        let _turn = self.logins.acquire().await.ok();
        Master::open(vm, login, via).await
    }

    /// Returns the connection to the last of `route`, through all before it; `None` if there are none.
    pub(super) async fn pass(
        &self,
        route: &[Hop],
        login: Login<'_>,
    ) -> Result<Option<Arc<Master>>, VmError> {
        let mut via = None;
        for (at, hop) in route.iter().enumerate() {
            let bastion = self.bastion(&route[..=at], login.credentials);
            let passed = self.open(&bastion, hop, login, via).await;
            via = Some(passed.map_err(|source| VmError::Bastion {
                host: hop.login(),
                source,
            })?);
        }
        Ok(via)
    }

    fn bastion(&self, route: &[Hop], credentials: &Credentials) -> Arc<Bastion> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = passed
            .iter()
            .find(|bastion| bastion.route == route && bastion.credentials == *credentials);
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let bastion = Arc::new(Bastion {
            route: route.to_vec(),
            credentials: credentials.clone(),
            attempts: AtomicUsize::new(0),
            last: tokio::sync::Mutex::default(),
        });
        passed.push(Arc::clone(&bastion));
        bastion
    }

    async fn open(
        &self,
        bastion: &Bastion,
        hop: &Hop,
        login: Login<'_>,
        via: Option<Arc<Master>>,
    ) -> Result<Arc<Master>, Arc<VmError>> {
        let before = bastion.attempts.load(Ordering::SeqCst);
        let mut last = bastion.last.lock().await;
        match &*last {
            Some(Ok(open)) if open.is_alive() => return Ok(Arc::clone(open)),
            // A bastion that is down, or refuses us, is not tried once for each VM behind it.
            Some(Err(error)) if bastion.attempts.load(Ordering::SeqCst) > before => {
                return Err(Arc::clone(error));
            }
            _ => {}
        }
        let opened = self.reach(hop, login, via).await;
        let opened = opened.map(Arc::new).map_err(Arc::new);
        bastion.attempts.fetch_add(1, Ordering::SeqCst);
        *last = Some(opened.clone());
        opened
    }
}
