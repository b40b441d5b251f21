//! The end of the process that started the plugin.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use contract::{Address, COOKIE, Client, Handshake, connect};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::{signal, toy};

/// How long a test waits for an end that must come. The provider needs about a second.
const PATIENCE: Duration = Duration::from_mins(2);

/// A shell in Terraform's place, and the plugin that it started.
struct Started {
    shell: Child,
    plugin: u32,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Started {
    async fn new(arguments: &str) -> Self {
        let script = format!("{} {arguments} 2>&1 & echo $!; wait", toy().display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env(COOKIE.0, COOKIE.1);
        let mut shell = command
            .env("TF_LOG_PROVIDER", "INFO")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        let (mut plugin, mut line) = (0, String::new());
        // The shell and the plugin write at the same time.
        while plugin == 0 || line.is_empty() {
            let mut next = String::new();
            output.read_line(&mut next).await.unwrap();
            match next.trim_end().parse() {
                Ok(id) => plugin = id,
                Err(_) if next.contains("/plugin") => line = next,
                // Another line of the log or of the explanation.
                Err(_) => assert!(!next.is_empty(), "it ended"),
            }
        }
        Self {
            shell,
            plugin,
            output,
            line,
        }
    }

    /// Waits for a line of the log.
    async fn logged(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(
                self.output.read_line(&mut line).await.unwrap() > 0,
                "it ended"
            );
        }
    }

    fn kill(&self) {
        signal("KILL", self.shell.id().unwrap());
    }

    /// Waits until the plugin has exited: nobody else holds its standard output then.
    async fn ended(&mut self) {
        let mut rest = String::new();
        let end = self.output.read_to_string(&mut rest);
        timeout(PATIENCE, end).await.unwrap().unwrap();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has ended in a test that passes.
        let mut kill = std::process::Command::new("kill");
        kill.args(["-KILL", &self.plugin.to_string()]);
        _ = kill.stderr(Stdio::null()).status();
    }
}

async fn client(socket: &Path) -> Client {
    let channel = connect(&Address::Unix(socket.to_owned())).await.unwrap();
    let client = Client::over(channel).await.unwrap();
    client.configure(&json!({})).await.unwrap().ok().unwrap();
    client
}

#[tokio::test]
async fn a_plugin_whose_parent_was_killed_stops_its_calls_and_exits() {
    let mut started = Started::new("").await;
    let Address::Unix(socket) = Handshake::parse(&started.line).unwrap().address else {
        panic!("TCP")
    };
    let client = client(&socket).await;
    let note = client.resource("toy_note").unwrap();
    let config = json!({ "text": "a", "fault": "hang" });
    let plan = note.plan(None, &config).await.unwrap().ok().unwrap();
    let mut hanging = std::pin::pin!(note.apply(&plan, &config));
    tokio::select! {
        _ = &mut hanging => panic!("it hangs"),
        () = started.logged("written") => {}
    }
    started.kill();
    // What StopProvider does: the call ends with what it reached.
    let answer = timeout(PATIENCE, hanging).await.unwrap();
    let answer = answer.unwrap();
    assert_eq!(answer.errors().len(), 1);
    assert!(answer.value.unwrap().tainted);
    started.ended().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_debugged_plugin_outlives_its_parent() {
    let debugged = Started::new("--debug").await;
    let mut other = Started::new("").await;
    debugged.kill();
    other.kill();
    // The parent of the debugged one ended before.
    other.ended().await;
    let (_, attached) = debugged.line.split_once("TF_REATTACH_PROVIDERS='").unwrap();
    let attached = attached.trim_end().strip_suffix('\'').unwrap();
    let attached: Value = serde_json::from_str(attached).unwrap();
    let socket = &attached["registry.terraform.io/test/toy"]["Addr"]["String"];
    client(Path::new(socket.as_str().unwrap())).await;
    signal("INT", debugged.plugin);
}
