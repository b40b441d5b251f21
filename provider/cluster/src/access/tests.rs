//! A plugin in a long run, and a server that changes its mind.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::Cluster;
use crate::call::{CONFIG_MAP, Call, Verb};
use crate::settings::{Exec, Settings};

/// Serves `{}` to whoever shows the token that is in the given place at that time.
async fn serve(accepted: Arc<Mutex<&'static str>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, accepted.clone()));
        }
    });
    url
}

async fn answer(mut connection: TcpStream, accepted: Arc<Mutex<&'static str>>) {
    let mut asked = Vec::new();
    while let Ok(byte) = connection.read_u8().await {
        asked.push(byte);
        if !asked.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8(std::mem::take(&mut asked)).unwrap();
        let header = format!("authorization: Bearer {}\r\n", accepted.lock().unwrap());
        let status = if head.contains(&header) {
            "200 OK"
        } else {
            "401 Unauthorized"
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A plugin that prints what is in the file `answer`, and a line to the file `runs`.
fn plugin(folder: &Path, host: String) -> Settings {
    let script = format!("cd {} && echo run >> runs && cat answer", folder.display());
    let exec = Exec {
        api_version: "client.authentication.k8s.io/v1".into(),
        command: "sh".into(),
        args: vec!["-c".into(), script],
        env: [].into(),
    };
    Settings {
        host: Some(host),
        exec: Some(exec),
        ..Settings::default()
    }
}

struct Run {
    folder: TempDir,
    accepted: Arc<Mutex<&'static str>>,
    cluster: Cluster,
}

impl Run {
    async fn new(token: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let accepted = Arc::new(Mutex::new("first"));
        let settings = plugin(folder.path(), serve(accepted.clone()).await);
        let run = Self {
            folder,
            accepted,
            cluster: Cluster::new(&settings, &|_| None).unwrap(),
        };
        run.print(token, more);
        run
    }

    /// What the plugin prints from now on.
    fn print(&self, token: &str, more: &str) {
        let answer = format!(r#"{{"status":{{"token":"{token}"{more}}}}}"#);
        std::fs::write(self.folder.path().join("answer"), answer).unwrap();
    }

    fn runs(&self) -> usize {
        let runs = std::fs::read_to_string(self.folder.path().join("runs"));
        runs.unwrap_or_default().lines().count()
    }

    /// Lets the credential that is held end at this time, and renewal be due.
    fn expire(&self, until: Timestamp) {
        let mut state = self.cluster.access().state();
        state.renewed = None;
        let held = state.held.as_mut().unwrap();
        held.credential.until = Some(until);
        held.due = Some(Timestamp::now());
    }

    /// Waits for the renewal that is under way.
    async fn renewed(&self) {
        let renewal = self.cluster.access().state().renewal.clone();
        if let Some(renewal) = renewal {
            let _ = renewal.await;
        }
    }

    async fn ask(&self) -> Result<(), ClusterError> {
        let call = Call::new(Verb::Get, CONFIG_MAP, "istio-system", "istio");
        self.cluster.get(&call).await.map(drop)
    }
}

#[tokio::test]
async fn a_plugin_without_expiry_is_asked_again_after_a_401() {
    let run = Run::new("first", "").await;
    run.ask().await.unwrap();
    run.ask().await.unwrap();
    assert_eq!(run.runs(), 1);
    *run.accepted.lock().unwrap() = "second";
    run.print("second", "");
    let asked = futures::future::join_all((0..20).map(|_| run.ask())).await;
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(run.runs(), 2);
}

#[tokio::test]
async fn a_plugin_that_gives_the_same_once_more_is_left_alone_for_a_while() {
    let run = Run::new("never", "").await;
    for _ in 0..20 {
        let error = run.ask().await.unwrap_err();
        assert!(
            matches!(error, ClusterError::Unauthorized { .. }),
            "{error}"
        );
    }
    assert_eq!(run.runs(), 2);
}

#[tokio::test]
async fn a_credential_is_renewed_before_it_ends_and_kept_if_that_fails() {
    let soon = Timestamp::now() + SignedDuration::from_hours(1);
    let run = Run::new("first", &format!(r#","expirationTimestamp":"{soon}""#)).await;
    run.ask().await.unwrap();
    run.ask().await.unwrap();
    assert_eq!(run.runs(), 1);
    run.expire(Timestamp::now() + SignedDuration::from_mins(1));
    std::fs::remove_file(run.folder.path().join("answer")).unwrap();
    for _ in 0..20 {
        run.ask().await.unwrap();
    }
    run.renewed().await;
    run.ask().await.unwrap();
    assert_eq!(run.runs(), 2);
    *run.accepted.lock().unwrap() = "second";
    run.print("second", "");
    run.cluster.access().state().failed = None;
    run.ask().await.unwrap();
}

/// The plugin hangs as long as the pipe has no writer.
#[tokio::test]
async fn a_renewal_that_hangs_holds_up_nobody_while_the_credential_is_valid() {
    let soon = Timestamp::now() + SignedDuration::from_hours(1);
    let run = Run::new("first", &format!(r#","expirationTimestamp":"{soon}""#)).await;
    run.ask().await.unwrap();
    run.expire(Timestamp::now() + SignedDuration::from_mins(1));
    let answer = run.folder.path().join("answer");
    std::fs::remove_file(&answer).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&answer).status();
    assert!(made.unwrap().success());
    for _ in 0..20 {
        run.ask().await.unwrap();
    }
    assert!(run.cluster.access().state().renewal.is_some());
    run.expire(Timestamp::now());
    *run.accepted.lock().unwrap() = "second";
    let asked = futures::future::join_all((0..20).map(|_| run.ask()));
    let answered = async {
        let answer = r#"{"status":{"token":"second"}}"#;
        tokio::fs::write(run.folder.path().join("answer"), answer).await
    };
    let (asked, answered) = tokio::join!(asked, answered);
    answered.unwrap();
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(run.runs(), 2);
}

#[tokio::test]
async fn a_credential_that_is_over_when_it_comes_is_shown_and_not_asked_for_each_time() {
    let past = Timestamp::now() - SignedDuration::from_hours(1);
    let run = Run::new("first", &format!(r#","expirationTimestamp":"{past}""#)).await;
    for _ in 0..20 {
        run.ask().await.unwrap();
    }
    assert_eq!(run.runs(), 1);
}

/// With a minute for each, twenty would take twenty minutes.
#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_plugin_that_hangs_get_the_same_failure() {
    let exec = Exec {
        api_version: "client.authentication.k8s.io/v1".into(),
        command: "sleep".into(),
        args: vec!["1000".into()],
        env: [].into(),
    };
    let settings = Settings {
        exec: Some(exec),
        host: Some("https://127.0.0.1:1".into()),
        ..Settings::default()
    };
    let cluster = Cluster::new(&settings, &|_| None).unwrap();
    let begin = Instant::now();
    for _ in 0..2 {
        let waiting = futures::future::join_all((0..10).map(|_| cluster.ready())).await;
        for waited in waiting {
            let text = waited.unwrap_err().to_string();
            assert!(
                text.contains("sleep of the provider's kubernetes block did not end"),
                "{text}"
            );
        }
    }
    assert!(
        begin.elapsed() < Duration::from_secs(61),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_token_file_is_read_again_after_a_401_and_kept_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (config, token) = (folder.path().join("config"), folder.path().join("token"));
    let accepted = Arc::new(Mutex::new("first"));
    let server = serve(accepted.clone()).await;
    let text = format!(
        "current-context: a\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
         clusters: [{{name: a, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: a, user: {{tokenFile: token}}}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    std::fs::write(&token, "first\n").unwrap();
    let settings = Settings {
        config_paths: vec![config],
        ..Settings::default()
    };
    let cluster = Cluster::new(&settings, &|_| None).unwrap();
    let call = Call::new(Verb::Get, CONFIG_MAP, "istio-system", "istio");
    cluster.get(&call).await.unwrap();
    *accepted.lock().unwrap() = "second";
    std::fs::write(&token, "second\n").unwrap();
    cluster.get(&call).await.unwrap();
    std::fs::remove_file(&token).unwrap();
    cluster.access().state().held.as_mut().unwrap().due = Some(Timestamp::now());
    cluster.get(&call).await.unwrap();
}

#[test]
fn a_cluster_is_described_by_server_and_context_and_without_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let text = "current-context: prod\n\
                contexts: [{name: prod, context: {cluster: a, user: a}}]\n\
                clusters: [{name: a, cluster: {server: 'https://me:secret@k8s.example.com:6443/'}}]\n\
                users: [{name: a, user: {token: secret}}]\n";
    std::fs::write(&config, text).unwrap();
    let settings = Settings {
        config_paths: vec![config],
        ..Settings::default()
    };
    let described = Cluster::new(&settings, &|_| None).unwrap().described();
    let file = folder.path().join("config");
    let file = format!("kubeconfig {} (context prod)", file.display());
    assert_eq!(
        described,
        format!("https://…@k8s.example.com:6443 of {file} with the credentials of {file}")
    );
}
