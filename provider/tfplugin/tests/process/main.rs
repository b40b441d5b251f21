//! The plugin process, started and driven as Terraform does.

#![expect(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::path::PathBuf;
use std::process::{Command, Output};

use contract::{Client, ClientCertificate, Error, Process};

mod handshake;
mod life;
mod log;
mod parent;

/// Returns the example `toy`, which cargo builds with the tests.
fn toy() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap();
    let toy = built
        .join("examples/toy")
        .with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        toy.exists(),
        "`cargo build -p tfplugin --examples` makes {}",
        toy.display()
    );
    toy
}

/// Starts the toy and configures it.
async fn configured(env: &[(&str, &str)]) -> Client {
    let client = Client::launch(toy(), env).await.unwrap();
    client
        .configure(&serde_json::json!({}))
        .await
        .unwrap()
        .ok()
        .unwrap();
    client
}

async fn start(env: &[(&str, &str)], certificate: Option<&ClientCertificate>) -> Process {
    Process::start(toy(), env, certificate).await.unwrap()
}

/// Makes one call over a connection that may not stand.
async fn call(process: &Process, certificate: Option<&ClientCertificate>) -> Result<(), Error> {
    let client = Client::over(process.connect(certificate).await?).await?;
    client.resource("toy_note").map(drop)
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}
