//! A TCP forwarder that breaks on request, to lose a connection at a certain point.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Forwards each connection to a target. It runs until the process exits.
#[derive(Clone)]
pub struct Wire {
    /// Address on which it listens.
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Number of connections before the one that breaks, and number of bytes that it carries.
    planned: Mutex<Option<(usize, usize)>>,
    /// Whether responses are held back on open connections.
    held: AtomicBool,
    breaks: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// Fails if no port can be bound.
    pub fn to(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let wire = Self {
            address: listener.local_addr()?,
            state: Arc::default(),
        };
        let state = Arc::clone(&wire.state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // If the target is not reachable, the client sees a closed connection.
                thread::spawn(move || state.join(client, target));
            }
        });
        Ok(wire)
    }

    /// Breaks one of the next connections, counted from 0, once it has carried this number of bytes to the target.
    pub fn break_in(&self, connection: usize, bytes: usize) {
        *lock(&self.state.planned) = Some((connection, bytes));
    }

    /// Holds back all further responses.
    pub fn hold(&self) {
        self.state.held.store(true, Ordering::SeqCst);
    }

    /// Breaks open connections; the next one is not affected.
    pub fn cut(&self) {
        self.state.cut();
        self.state.held.store(false, Ordering::SeqCst);
    }

    /// Returns the number of broken connections.
    pub fn breaks(&self) -> usize {
        self.state.breaks.load(Ordering::SeqCst)
    }
}

impl State {
    fn join(self: Arc<Self>, client: TcpStream, target: SocketAddr) -> io::Result<()> {
        let server = TcpStream::connect_timeout(&target, Duration::from_secs(10))?;
        lock(&self.open).extend([client.try_clone()?, server.try_clone()?]);
        let (mut question, mut asked) = (client.try_clone()?, server.try_clone()?);
        let (mut answer, mut reported) = (server, client);
        let (state, mut left) = (Arc::clone(&self), self.limit());
        thread::spawn(move || {
            carry(&mut question, &mut asked, |bytes| {
                let Some(rest) = left else { return true };
                left = rest.checked_sub(bytes);
                if left.is_none() {
                    state.cut();
                }
                left.is_some()
            });
        });
        carry(&mut answer, &mut reported, |_| {
            !self.held.load(Ordering::SeqCst)
        });
        Ok(())
    }

    /// Returns the number of bytes that a new connection may carry before it breaks.
    fn limit(&self) -> Option<usize> {
        let mut planned = lock(&self.planned);
        let (before, bytes) = planned.take()?;
        *planned = before.checked_sub(1).map(|before| (before, bytes));
        planned.is_none().then_some(bytes)
    }

    fn cut(&self) {
        self.breaks.fetch_add(1, Ordering::SeqCst);
        for stream in lock(&self.open).drain(..) {
            // It may already be closed.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Forwards one direction, and discards data that must not pass.
fn carry(from: &mut TcpStream, to: &mut TcpStream, mut passes: impl FnMut(usize) -> bool) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if passes(count) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
