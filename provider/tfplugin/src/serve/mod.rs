//! The plugin process: from start to handshake, and from the first call to the exit.
//!
//! **Invariant**: standard input is the user's and never read; standard output carries the handshake line only.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use proto::plugin::grpc_broker_server::GrpcBrokerServer;
use proto::plugin::grpc_controller_server::GrpcControllerServer;
use proto::plugin::grpc_stdio_server::GrpcStdioServer;
use proto::tfplugin6::provider_server::ProviderServer;
use tokio::io::DuplexStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server as Grpc;
use tonic_health::ServingStatus;

use ::plugin::Provider;

use crate::Server;
use error::ServeError;
use handshake::Environment;
use listen::{Address, Connection, Listener, Place};
use parent::Parent;
use plugin::Plugin;
use tls::Tls;

mod error;
mod handshake;
mod listen;
mod log;
mod parent;
mod plugin;
mod signals;
mod stop;
mod tls;

pub(crate) use stop::Stop;

/// What Go providers take and give, in bytes.
const LARGEST_MESSAGE: usize = 256 << 20;
/// How long a shutdown waits for calls that still run. Terraform kills after two seconds.
const GRACE: Duration = Duration::from_millis(300);
/// How long to wait before another client is accepted after one could not be.
const RETRY: Duration = Duration::from_millis(100);
/// Size of the buffer of a connection in memory, in bytes.
const MEMORY_BUFFER: usize = 64 << 10;
/// A call waits mostly; blocking work has threads of its own.
const THREADS: usize = 2;

/// Serves `provider` as a plugin of Terraform until it is shut down, and returns the process's exit code. `address` is
/// that of its source: `registry.terraform.io/NAMESPACE/NAME`.
///
/// With the argument `--debug` it needs no Terraform: it prints the variable `TF_REATTACH_PROVIDERS` that makes
/// Terraform use this process, and serves until SIGINT. Otherwise it also ends soon after the process that started it.
pub fn serve<P: Provider>(provider: P, address: &str) -> ExitCode {
    log::report_panics();
    log::install(|name| std::env::var(name).ok());
    match run(provider, address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code reports it then.
            _ = writeln!(io::stderr(), "{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Serves `provider` on one connection in memory, without handshake and TLS. Ends with the connection.
pub async fn serve_on<P: Provider>(provider: P, mut io: DuplexStream) {
    let (near, mut far) = tokio::io::duplex(MEMORY_BUFFER);
    let (sender, connections) = mpsc::channel(1);
    _ = sender.send(Ok(Connection::new(near))).await;
    // The server ends gracefully when no client can come any more: the sender stays until this one is gone.
    tokio::select! {
        _ = answer(Server::new(provider), connections, CancellationToken::new()) => {}
        _ = tokio::io::copy_bidirectional(&mut io, &mut far) => {}
    }
    drop(sender);
}

fn run<P: Provider>(provider: P, source: &str) -> Result<(), ServeError> {
    // First: Terraform may be killed at any time.
    let parent = Parent::now();
    let debug = std::env::args_os()
        .skip(1)
        .any(|argument| argument == "--debug");
    let environment = if debug {
        None
    } else {
        Some(Environment::read(|name| std::env::var_os(name))?)
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    let result = runtime.block_on(async {
        match environment {
            Some(environment) => run_plugin(provider, &environment, parent).await,
            None => run_debug(provider, source).await,
        }
    });
    // A call that blocks must not keep the process.
    runtime.shutdown_background();
    result
}

/// Prints the handshake line, which contains the address for Terraform, and serves it.
async fn run_plugin<P: Provider>(
    provider: P,
    environment: &Environment,
    parent: Parent,
) -> Result<(), ServeError> {
    let exit = CancellationToken::new();
    // Ctrl-C reaches the whole process group; Terraform calls `StopProvider` when the plugin should stop.
    signals::ignore_interrupt()?;
    #[cfg(unix)]
    signals::cancel_on_terminate(&exit)?;
    let tls = environment
        .client_certificate
        .as_deref()
        .map(Tls::new)
        .transpose()?;
    let (listener, address) = Listener::bind(&environment.place)?;
    print(&environment.line(&address, tls.as_ref().map(|tls| &tls.certificate)))?;
    let server = Server::new(provider);
    tokio::spawn(end_with(parent, server.stop().clone(), exit.clone()));
    answer(server, connections(listener, tls, exit.clone()), exit).await
}

/// Stops running calls and cancels `exit` when the parent has ended.
async fn end_with(parent: Parent, stop: Stop, exit: CancellationToken) {
    parent.ended().await;
    tracing::warn!("stopping: the process that started the provider has ended");
    stop.stop();
    exit.cancel();
}

/// Prints how to connect Terraform with this process, and serves until SIGINT.
async fn run_debug<P: Provider>(provider: P, source: &str) -> Result<(), ServeError> {
    let exit = CancellationToken::new();
    signals::cancel_on_interrupt(&exit)?;
    #[cfg(unix)]
    signals::cancel_on_terminate(&exit)?;
    let (listener, address) = Listener::bind(&Place::read(&|_| None))?;
    let reattach = reattach(source, &address);
    print(&format!(
        "Make Terraform use this process, until you press Ctrl-C here:\n\n  export {reattach}\n"
    ))?;
    answer(
        Server::new(provider),
        connections(listener, None, exit.clone()),
        exit,
    )
    .await
}

fn reattach(provider: &str, address: &Address) -> String {
    let attached = serde_json::json!({ provider: {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": std::process::id(),
        "Test": true,
        "Addr": { "Network": address.network(), "String": address.to_string() },
    }});
    format!("TF_REATTACH_PROVIDERS='{attached}'")
}

/// Writes in one piece: who has read it may close its end.
fn print(line: &str) -> Result<(), ServeError> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())
        .and_then(|()| out.flush())
        .map_err(ServeError::Print)
}

type Sender = mpsc::Sender<io::Result<Connection>>;
type Connections = mpsc::Receiver<io::Result<Connection>>;

/// Accepts clients until `exit`; a client that fails its TLS handshake is dropped and holds up nobody.
fn connections(listener: Listener, tls: Option<Tls>, exit: CancellationToken) -> Connections {
    let (sender, receiver) = mpsc::channel(1);
    let acceptor = tls.map(|tls| tls.acceptor);
    let accept = async move {
        loop {
            match listener.accept().await {
                Ok(connection) => {
                    _ = tokio::spawn(secure(connection, acceptor.clone(), sender.clone()));
                }
                Err(error) => {
                    // Most often: too many open files. Some will be closed.
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    tokio::spawn(async move { exit.run_until_cancelled(accept).await });
    receiver
}

async fn secure(connection: Connection, acceptor: Option<TlsAcceptor>, clients: Sender) {
    let secured = match acceptor {
        None => Ok(connection),
        Some(acceptor) => acceptor.accept(connection).await.map(Connection::new),
    };
    match secured {
        // Fails only if the server has ended.
        Ok(connection) => _ = clients.send(Ok(connection)).await,
        Err(error) => tracing::warn!(%error, "refused a client"),
    }
}

/// Answers calls until `exit`, then waits a little for those that run.
async fn answer<P: Provider>(
    server: Server<P>,
    clients: Connections,
    exit: CancellationToken,
) -> Result<(), ServeError> {
    let plugin = Plugin { exit: exit.clone() };
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("plugin", ServingStatus::Serving)
        .await;
    let provider = ProviderServer::new(server)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    let answering = Grpc::builder()
        .add_service(provider)
        .add_service(GrpcControllerServer::new(plugin.clone()))
        .add_service(GrpcBrokerServer::new(plugin.clone()))
        .add_service(GrpcStdioServer::new(plugin))
        .add_service(health)
        .serve_with_incoming_shutdown(ReceiverStream::new(clients), exit.clone().cancelled_owned());
    let forced = async {
        exit.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = answering => result.map_err(ServeError::Transport),
        () = forced => Ok(()),
    }
}

/// Returns an error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
