//! The process of a plugin: its start, its handshake line and connections to it.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use proto::plugin::Empty;
use proto::plugin::grpc_controller_client::GrpcControllerClient;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, DuplexStream};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::Error;
use crate::tls::{self, ClientCertificate};

/// Environment variable that Terraform sets, so that a plugin knows that it was not started by a user.
pub const COOKIE: (&str, &str) = (
    "TF_PLUGIN_MAGIC_COOKIE",
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
);
/// Timeout for the handshake line and for a line of the log. Terraform waits one minute for the handshake line.
const PATIENCE: Duration = Duration::from_mins(5);

/// Address on which a plugin listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

/// The handshake line that a plugin prints after its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Major version of the protocol that the plugin speaks.
    pub version: u32,
    /// Address on which it listens.
    pub address: Address,
    /// Certificate of the plugin in DER; empty: no TLS.
    pub certificate: Vec<u8>,
}

impl Handshake {
    /// Parses the line as go-plugin does: fields separated by `|`, and the certificate as base64 without padding.
    ///
    /// # Errors
    /// Returns [`Error::Handshake`] with the line.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let fields: Vec<_> = line.trim_end_matches('\n').split('|').collect();
        let wrong = || Error::Handshake(line.to_owned());
        let ["1", version, network, address, "grpc", certificate, ..] = fields[..] else {
            return Err(wrong());
        };
        let address = match network {
            "unix" => Address::Unix(address.into()),
            "tcp" => Address::Tcp(address.to_owned()),
            _ => return Err(wrong()),
        };
        let certificate = STANDARD_NO_PAD.decode(certificate).map_err(|_| wrong())?;
        Ok(Self {
            version: version.parse().map_err(|_| wrong())?,
            address,
            certificate,
        })
    }
}

/// A running plugin. Dropping it kills the process and removes its socket.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Handshake of the plugin.
    pub handshake: Handshake,
    log: watch::Sender<String>,
}

impl Process {
    /// Starts `program` with `env`, the cookie and, for mutual TLS, the client's certificate.
    ///
    /// # Errors
    /// Returns [`Error::Start`], [`Error::Handshake`] with the printed line, or [`Error::Ended`] with the reason that the
    /// plugin wrote.
    pub async fn start(
        program: impl AsRef<OsStr>,
        env: &[(&str, &str)],
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command
            .env(COOKIE.0, COOKIE.1)
            .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
            .envs(env.iter().copied());
        command
            .env("PLUGIN_MIN_PORT", "10000")
            .env("PLUGIN_MAX_PORT", "25000");
        if let Some(certificate) = certificate {
            command.env("PLUGIN_CLIENT_CERT", certificate.pem());
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(Error::Start)?;
        let log = watch::Sender::default();
        let logged = child
            .stderr
            .take()
            .map(|stderr| tokio::spawn(collect(stderr, log.clone())));
        let mut line = String::new();
        let mut stdout = BufReader::new(
            child
                .stdout
                .take()
                .ok_or_else(|| Error::Handshake(String::new()))?,
        );
        timeout(PATIENCE, stdout.read_line(&mut line))
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(Error::Start)?;
        if line.is_empty() {
            return Err(ended(child, logged, &log).await);
        }
        let handshake = Handshake::parse(&line)?;
        // Kept open and read, as by Terraform.
        tokio::spawn(collect(stdout.into_inner(), log.clone()));
        Ok(Self {
            child,
            handshake,
            log,
        })
    }

    /// Connects to the plugin, with `certificate` if the plugin uses TLS.
    ///
    /// # Errors
    /// Returns [`Error::Connect`], also if either side rejects the other's certificate.
    pub async fn connect(&self, certificate: Option<&ClientCertificate>) -> Result<Channel, Error> {
        match (
            &self.handshake.address,
            self.handshake.certificate.as_slice(),
        ) {
            (address, []) => connect(address).await,
            (Address::Unix(path), server) => {
                let stream = unix(path).await?;
                over(
                    tls::connect(stream, server, certificate)
                        .await
                        .map_err(Error::Connect)?,
                )
                .await
            }
            (Address::Tcp(address), server) => {
                let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
                over(
                    tls::connect(stream, server, certificate)
                        .await
                        .map_err(Error::Connect)?,
                )
                .await
            }
        }
    }

    /// Returns the output of the plugin so far, without the handshake line.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until the output of the plugin contains `text`. The handshake line does not count.
    ///
    /// # Errors
    /// Returns [`Error::Silent`] after a minute.
    pub async fn logged(&self, text: &str) -> Result<(), Error> {
        let mut log = self.log.subscribe();
        match timeout(PATIENCE, log.wait_for(|log| log.contains(text))).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Silent(text.to_owned())),
        }
    }

    /// Returns the ID of the process; `None` if it has exited.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Requests the plugin to shut down, as Terraform does, and waits for its exit.
    ///
    /// # Errors
    /// Returns [`Error::Call`] if the plugin does not respond, and [`Error::Start`] if waiting fails or the plugin keeps
    /// running. Terraform kills it after two seconds; a busy machine may need more.
    pub async fn shutdown(mut self, channel: Channel) -> Result<ExitStatus, Error> {
        GrpcControllerClient::new(channel)
            .shutdown(Empty {})
            .await?;
        timeout(PATIENCE, self.child.wait())
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(Error::Start)
    }

    /// Waits until the process exits by itself.
    ///
    /// # Errors
    /// Returns [`Error::Start`] if waiting fails.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.child.wait().await.map_err(Error::Start)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let (Some(_), Address::Unix(socket)) = (self.child.id(), &self.handshake.address) {
            // A plugin that is exiting may already have removed it.
            _ = std::fs::remove_file(socket);
        }
    }
}

/// Returns the error of a plugin that exited without a handshake line. Its stderr is read to the end, because the reason
/// may follow after stdout was closed.
async fn ended(
    mut child: Child,
    logged: Option<JoinHandle<()>>,
    log: &watch::Sender<String>,
) -> Error {
    let end = async {
        let status = child.wait().await?;
        if let Some(logged) = logged {
            logged.await?;
        }
        Ok(status)
    };
    match timeout(PATIENCE, end)
        .await
        .map_err(io::Error::from)
        .flatten()
    {
        Ok(status) => Error::Ended {
            status,
            log: log.borrow().clone(),
        },
        Err(error) => Error::Start(error),
    }
}

async fn collect(from: impl AsyncRead + Unpin, log: watch::Sender<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.send_modify(|log| {
            log.push_str(&line);
            log.push('\n');
        });
    }
}

/// Connects without TLS, e.g. to a process that waits for a debugger.
///
/// # Errors
/// Returns [`Error::Connect`].
pub async fn connect(address: &Address) -> Result<Channel, Error> {
    match address {
        Address::Unix(path) => over(unix(path).await?).await,
        Address::Tcp(address) => {
            over(TcpStream::connect(address).await.map_err(Error::Connect)?).await
        }
    }
}

/// Connects to a server in memory.
///
/// # Errors
/// Returns [`Error::Connect`].
pub async fn in_memory(io: DuplexStream) -> Result<Channel, Error> {
    over(io).await
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<tokio::net::UnixStream, Error> {
    tokio::net::UnixStream::connect(path)
        .await
        .map_err(Error::Connect)
}

#[cfg(not(unix))]
async fn unix(_: &std::path::Path) -> Result<TcpStream, Error> {
    Err(Error::Connect(io::ErrorKind::Unsupported.into()))
}

async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Channel, Error> {
    let mut only = Some(TokioIo::new(io));
    let connector = tower::service_fn(move |_| {
        let io = only
            .take()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(io)
    });
    // The name is in the TLS certificate but is not part of any address.
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| Error::Connect(io::Error::other(error)))
}
