//! What signals mean to a plugin process.

use tokio_util::sync::CancellationToken;

use super::error::ServeError;

/// Takes SIGINT for this process and does nothing with it. Children still get its default action.
#[cfg(unix)]
pub(super) fn ignore_interrupt() -> Result<(), ServeError> {
    // A registered handler stays, also when nobody listens to it.
    listen(tokio::signal::unix::SignalKind::interrupt())
        .map(drop)
        .map_err(ServeError::Start)
}

/// Cancels `exit` on SIGINT.
#[cfg(unix)]
pub(super) fn cancel_on_interrupt(exit: &CancellationToken) -> Result<(), ServeError> {
    cancel_on(tokio::signal::unix::SignalKind::interrupt(), exit)
}

/// Cancels `exit` on SIGTERM, so that the socket's file is removed.
#[cfg(unix)]
pub(super) fn cancel_on_terminate(exit: &CancellationToken) -> Result<(), ServeError> {
    cancel_on(tokio::signal::unix::SignalKind::terminate(), exit)
}

#[cfg(unix)]
fn listen(kind: tokio::signal::unix::SignalKind) -> std::io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind)
}

#[cfg(unix)]
fn cancel_on(
    kind: tokio::signal::unix::SignalKind,
    exit: &CancellationToken,
) -> Result<(), ServeError> {
    let mut signal = listen(kind).map_err(ServeError::Start)?;
    let exit = exit.clone();
    tokio::spawn(async move {
        signal.recv().await;
        exit.cancel();
    });
    Ok(())
}

/// Takes Ctrl-C for this process and does nothing with it.
#[cfg(not(unix))]
pub(super) fn ignore_interrupt() -> Result<(), ServeError> {
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    Ok(())
}

/// Cancels `exit` on Ctrl-C.
#[cfg(not(unix))]
pub(super) fn cancel_on_interrupt(exit: &CancellationToken) -> Result<(), ServeError> {
    let exit = exit.clone();
    tokio::spawn(async move {
        // Without a handler for Ctrl-C its default action ends the process, which is as good.
        if tokio::signal::ctrl_c().await.is_ok() {
            exit.cancel();
        }
    });
    Ok(())
}
