//! What hostile answers, plugins and files cost: the memory of this process is measured.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod hostile;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cluster::{Cluster, Exec, Settings};
use mesh::names::Id;
use mesh::observed::Connection;
use tokio::time::Instant;

use hostile::{Answer, serve};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
/// The most that all tests together may cost, in MiB: a list may take half a gibibyte once it is parsed.
const MOST: u64 = 800;

/// The most memory that this process had until now, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() / 1024
}

fn id() -> Id {
    "bookinfo/ratings-vm-1".parse().unwrap()
}

fn at(host: String) -> Settings {
    Settings {
        host: Some(host),
        ..Settings::default()
    }
}

async fn cluster_of(answer: fn(&str) -> Answer) -> Cluster {
    Cluster::connect(&at(serve(answer)), &|_| None)
        .await
        .unwrap()
}

/// Returns what connecting fails with. A file that is waited for is a failure of its own.
async fn refused(settings: &Settings) -> String {
    let connect = Cluster::connect(settings, &|_| None);
    match tokio::time::timeout(Duration::from_secs(20), connect).await {
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) => panic!("connected"),
        Err(late) => panic!("waited for: {late}"),
    }
}

#[track_caller]
fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
    assert!(error.len() < 1000, "{} bytes", error.len());
}

/// What is measured is the process, and with it all tests that run at the same time.
#[track_caller]
fn is_bounded() {
    let peak = peak();
    assert!(peak < MOST, "{peak} MiB");
}

/// An answer that does not end, and an error that does not.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_end_are_refused() {
    let endless = cluster_of(|path| {
        if path.contains("/configmaps/") {
            Answer::new(200, "{\"a\":\"", "x".repeat(1000), GIB)
        } else {
            Answer::new(404, "no", String::new(), 0)
        }
    });
    let (endless, account) = (endless.await, "ratings".parse().unwrap());
    let error = endless.facts(&id(), &account).await;
    let error = error.unwrap_err().to_string();
    says(&error, &["get ConfigMap istio-system/istio", "4 MiB"]);
    let refusal = cluster_of(|_| Answer::new(500, "", "no ".repeat(1000), GIB));
    let error = refusal.await.observe(&id(), &[]).await.unwrap_err();
    says(&error.to_string(), &["list", "500", "256 KiB"]);
    is_bounded();
}

/// A watch that sends one line for ever: what is waited for is still awaited, and nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_line_does_not_end_is_refused() {
    let cluster = cluster_of(|path| {
        if path.contains("watch=true") {
            Answer::new(200, "{", "x".repeat(1000), GIB)
        } else {
            let entry = r#"{"metadata":{"name":"ratings-vm-1","resourceVersion":"7"}}"#;
            Answer::new(200, entry, String::new(), 0)
        }
    });
    let (cluster, soon) = (cluster.await, Instant::now() + Duration::from_secs(20));
    let waited = cluster.connected(&id(), &Connection::default(), soon).await;
    let error = waited.unwrap_err().to_string();
    says(
        &error,
        &["watch WorkloadEntry bookinfo/ratings-vm-1", "4 MiB"],
    );
    is_bounded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_prints_for_ever_is_stopped() {
    for stream in ["stdout", "stderr"] {
        let script = format!("yes | head -c 1000000000 >/dev/{stream}");
        let exec = Exec {
            api_version: "client.authentication.k8s.io/v1".into(),
            command: "sh".into(),
            args: vec!["-c".into(), script],
            env: [].into(),
        };
        let settings = Settings {
            exec: Some(exec),
            ..at("http://127.0.0.1:1".into())
        };
        let error = refused(&settings).await;
        says(&error, &["exec plugin sh", stream, "1 MiB"]);
    }
    is_bounded();
}

fn kubeconfig(ca: &str, token: &str) -> String {
    format!(
        "current-context: a\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
         clusters: [{{name: a, cluster: {{server: 'https://127.0.0.1:1', certificate-authority: '{ca}'}}}}]\n\
         users: [{{name: a, user: {{tokenFile: '{token}'}}}}]\n"
    )
}

/// Files that are too long, never end or are none, each as kubeconfig, as CA and as token.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_long_or_no_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let file = |name: &str, length: usize| {
        let file = std::fs::File::create(at(name)).unwrap();
        file.set_len(u64::try_from(length).unwrap()).unwrap();
    };
    file("large", GIB);
    file("empty", 0);
    let made = Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert!(made.success());
    let read = |path: &Path| Settings {
        config_paths: vec![path.into()],
        ..Settings::default()
    };
    let odd = [
        (at("large"), "MiB"),
        (at("fifo"), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (folder.path().into(), "not a regular file"),
    ];
    for (path, why) in odd {
        let named = path.display().to_string();
        says(&refused(&read(&path)).await, &[&named, why]);
        for (ca, token) in [(named.as_str(), "empty"), ("", named.as_str())] {
            let ca = if ca.is_empty() { "ca" } else { ca };
            std::fs::write(
                at("ca"),
                "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
            )
            .unwrap();
            std::fs::write(at("config"), kubeconfig(ca, token)).unwrap();
            says(&refused(&read(&at("config"))).await, &[&named, why]);
        }
    }
    is_bounded();
}

/// Texts of a few kilobytes that mean gigabytes.
#[tokio::test(flavor = "multi_thread")]
async fn short_texts_that_mean_long_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let long = "x".repeat(MIB / 2);
    let aliases = "*a,".repeat(1000);
    std::fs::write(&path, format!("extensions: [&a {long}, {aliases}]\n")).unwrap();
    let settings = Settings {
        config_paths: vec![path],
        ..Settings::default()
    };
    says(&refused(&settings).await, &["not a valid kubeconfig"]);
    let cluster = cluster_of(|path| {
        if path.contains("/configmaps/") {
            let long = "x".repeat(MIB / 2);
            let aliases = "*a,".repeat(1000);
            let config = format!(
                "{{\"data\":{{\"mesh\":\"a: [&a {long}, {aliases}]\",\"values\":\"{{}}\"}}}}"
            );
            Answer::new(200, &config, String::new(), 0)
        } else {
            Answer::new(200, r#"{"items":[]}"#, String::new(), 0)
        }
    });
    let facts = cluster.await;
    let facts = facts.facts(&id(), &"ratings".parse().unwrap()).await;
    let error = facts.unwrap_err().to_string();
    says(&error, &["ConfigMap istio-system/istio", "key mesh", "MiB"]);
    is_bounded();
}

/// A list of a few megabytes that means a hundred times as much, and one that does not end.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_bounded_by_its_length_and_by_what_it_takes_once_parsed() {
    let dense = cluster_of(|_| {
        Answer::new(
            200,
            "{\"items\":[",
            "{\"a\":{\"b\":0}},".repeat(100),
            40 * MIB,
        )
    });
    let error = dense.await.observe(&id(), &[]).await.unwrap_err();
    says(
        &error.to_string(),
        &["list", "in namespace bookinfo", "512 MiB"],
    );
    let endless = cluster_of(|_| Answer::new(200, "{\"items\":[", "\"x\",".repeat(1000), GIB));
    let error = endless.await.observe(&id(), &[]).await.unwrap_err();
    says(
        &error.to_string(),
        &["list", "in namespace bookinfo", "64 MiB"],
    );
    is_bounded();
}
