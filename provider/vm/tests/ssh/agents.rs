//! Keys that only an agent can use: the user's own agent, and a security key behind one.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signature::Signer as _;
use ssh_key::private::Ed25519Keypair;
use ssh_key::sha2::{Digest as _, Sha256};
use vm::{AgentUse, Credentials, VmError};

use crate::bed::{HOST, Sshd, connect, signal, target, until};
use crate::life::{again, spell};

#[tokio::test]
async fn the_users_agent_is_used_if_that_is_configured() {
    let sshd = Sshd::start();
    let socket = sshd.path("users-agent");
    let mut agent = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the agent listens", || UnixStream::connect(&socket).is_ok()).await;
    let added = Command::new("ssh-add")
        .arg("-q")
        .arg(sshd.path("user"))
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());
    let let_in = ask(&sshd, &socket);
    signal("TERM", agent.id());
    agent.wait().unwrap();
    assert!(let_in);
    assert_eq!(sshd.logins(), 1);
}

/// ssh sees no difference to a real one, whose agent would wait for a touch here.
#[tokio::test]
async fn a_security_key_logs_in_through_the_users_agent() {
    let sshd = Sshd::start();
    let key = Arc::new(SecurityKey::default());
    std::fs::write(sshd.path("authorized_keys"), key.public()).unwrap();
    let socket = sshd.path("users-agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = Arc::clone(&key);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let key = Arc::clone(&serving);
            std::thread::spawn(move || key.serve(client));
        }
    });
    assert!(ask(&sshd, &socket));
    assert_eq!((sshd.logins(), key.used.load(Ordering::SeqCst)), (1, 1));
}

/// Logs in from a process with an agent: tests in one process share their environment.
fn ask(sshd: &Sshd, socket: &Path) -> bool {
    again("agents::asks_the_agent", sshd.dir.path())
        .env("SSH_AUTH_SOCK", socket)
        .env(ASKS, spell(sshd))
        .status()
        .unwrap()
        .success()
}

/// Not a test by itself: the process with an agent that the tests above start.
#[tokio::test]
async fn asks_the_agent() {
    let Ok(setting) = std::env::var(ASKS) else {
        return;
    };
    let (port, key) = setting.split_once(' ').unwrap();
    let trust = vm::Trust::HostKey(key.parse().unwrap());
    let hop = vm::Hop {
        host: HOST.into(),
        port: Some(port.parse().unwrap()),
        user: None,
        trust,
    };
    assert!(matches!(
        connect(&target(hop.clone()), &Credentials::default()).await,
        Err(VmError::Auth { .. })
    ));
    let asking = Credentials {
        agent: AgentUse::User,
        ..Credentials::default()
    };
    connect(&target(hop), &asking).await.unwrap();
}

const ASKS: &str = "VM_TEST_ASKS_THE_AGENT";

/// A security key (`PROTOCOL.u2f` of OpenSSH) and the agent before it (draft-miller-ssh-agent).
#[derive(Default)]
struct SecurityKey {
    pair: OnceLock<Ed25519Keypair>,
    /// How often it signed; part of each signature.
    used: AtomicU32,
}

const KIND: &[u8] = b"sk-ssh-ed25519@openssh.com";
const APPLICATION: &[u8] = b"ssh:";
const TOUCHED: u8 = 1;

impl SecurityKey {
    fn pair(&self) -> &Ed25519Keypair {
        self.pair
            .get_or_init(|| Ed25519Keypair::from_seed(&[9; 32]))
    }

    fn blob(&self) -> Vec<u8> {
        strings(&[KIND, &self.pair().public.0, APPLICATION])
    }

    fn public(&self) -> String {
        let kind = String::from_utf8_lossy(KIND);
        format!("{kind} {}\n", STANDARD.encode(self.blob()))
    }

    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        loop {
            let request = receive(&mut client)?;
            let answer = match request.first() {
                Some(11) => {
                    let key = strings(&[&self.blob(), b"security key"]);
                    [&[12, 0, 0, 0, 1][..], &key].concat()
                }
                Some(13) => {
                    let rest = request.get(1..).unwrap_or_default();
                    let (_, rest) = string(rest);
                    [&[14][..], &strings(&[&self.sign(string(rest).0)])].concat()
                }
                _ => vec![5],
            };
            client.write_all(&strings(&[&answer]))?;
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let counter = self.used.fetch_add(1, Ordering::SeqCst) + 1;
        let tail = [&[TOUCHED][..], &counter.to_be_bytes()].concat();
        let application: [u8; 32] = Sha256::digest(APPLICATION).into();
        let message: [u8; 32] = Sha256::digest(message).into();
        let signed = [&application[..], &tail, &message].concat();
        let signature: ssh_key::Signature = self.pair().sign(&signed);
        [strings(&[KIND, signature.as_bytes()]), tail].concat()
    }
}

/// Each with its length before it.
fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap().to_be_bytes();
    parts
        .iter()
        .flat_map(|part| [&length(part)[..], part].concat())
        .collect()
}

/// Splits the first string off.
fn string(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
    rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap())
}

fn receive(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    client.read_exact(&mut request)?;
    Ok(request)
}
