//! Connections that are refused before the login, by something in front of a real sshd.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use vm::{Target, VmError};

use crate::bed::{HOST, Sshd, connect, target};

/// How a connection is refused.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// Closed at once, as by `MaxStartups`.
    Closed,
    /// Closed with something unread, which resets it.
    Reset,
    /// Held open without a word.
    Silent,
}

const ALL: [Refusal; 3] = [Refusal::Closed, Refusal::Reset, Refusal::Silent];

/// Listens before an sshd and refuses the first connections.
struct Front {
    port: u16,
    come: Arc<AtomicUsize>,
}

impl Front {
    async fn before(sshd: &Sshd, refusal: Refusal, refused: usize) -> Self {
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let come = Arc::<AtomicUsize>::default();
        let (count, behind) = (Arc::clone(&come), sshd.port);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let refusal = (number < refused).then_some(refusal);
                tokio::spawn(serve(client, refusal, behind));
            }
        });
        Self { port, come }
    }

    fn come(&self) -> usize {
        self.come.load(Ordering::SeqCst)
    }
}

async fn serve(mut client: TcpStream, refusal: Option<Refusal>, port: u16) {
    match refusal {
        Some(Refusal::Closed) => {}
        Some(Refusal::Reset) => client.readable().await.unwrap(),
        Some(Refusal::Silent) => std::future::pending().await,
        None => {
            let mut sshd = TcpStream::connect((HOST, port)).await.unwrap();
            // Either side may end it.
            let _ = copy_bidirectional(&mut client, &mut sshd).await;
        }
    }
}

/// The sshd as a VM behind `front`, or as a bastion behind it before a VM.
fn targets(sshd: &Sshd, front: &Front) -> [Target; 2] {
    let mut hop = sshd.target().vm;
    hop.port = Some(front.port);
    let mut behind = target(sshd.target().vm);
    behind.bastions = vec![hop.clone()];
    [target(hop), behind].map(|mut target| {
        target.connect_timeout = Duration::from_secs(2);
        target
    })
}

#[tokio::test]
async fn two_connections_that_are_refused_before_the_login_are_made_up_for() {
    let sshd = Sshd::start();
    for refusal in ALL {
        for at in 0..2 {
            let front = Front::before(&sshd, refusal, 2).await;
            let reached = connect(&targets(&sshd, &front)[at], &sshd.credentials()).await;
            assert!(reached.is_ok(), "{refusal:?}, {at}: {reached:?}");
            assert_eq!(front.come(), 3, "{refusal:?}, {at}");
        }
    }
}

#[tokio::test]
async fn a_third_connection_that_is_refused_is_the_last() {
    let sshd = Sshd::start();
    for refusal in ALL {
        let front = Front::before(&sshd, refusal, usize::MAX).await;
        let error = connect(&targets(&sshd, &front)[0], &sshd.credentials()).await;
        let error = error.unwrap_err();
        assert!(
            matches!(&error, VmError::Connect { host, .. } if host.ends_with(&format!(" port {}", front.port))),
            "{refusal:?}: {error:?}"
        );
        assert_eq!(front.come(), 3, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_refused_login_are_met_once() {
    let (sshd, other) = (Sshd::start(), Sshd::prepared(""));
    for at in 0..2 {
        let front = Front::before(&sshd, Refusal::Closed, 0).await;
        let mut target = targets(&sshd, &front)[at].clone();
        let hop = target.bastions.first_mut().unwrap_or(&mut target.vm);
        hop.trust = other.pinned("ed25519");
        let error = connect(&target, &sshd.credentials()).await.unwrap_err();
        assert!(matches!(error.root(), VmError::HostKey { .. }), "{error:?}");
        assert_eq!(front.come(), 1);

        let front = Front::before(&sshd, Refusal::Closed, 0).await;
        let target = &targets(&sshd, &front)[at];
        let error = connect(target, &other.credentials()).await.unwrap_err();
        assert!(matches!(error.root(), VmError::Auth { .. }), "{error:?}");
        assert_eq!(front.come(), 1);
    }
}
