//! An API server that fails while a VM, which runs on its bundle already, is to get its traffic back.

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use cluster::{Cluster, Force, Settings};
use mesh::desired::{Kind, Manifest};
use mesh::mark::{MANAGED_BY_LABEL, MANAGER, Mark};
use mesh::withdrawal::Operation;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::api_server::request;
use crate::objects::Objects;
use crate::run::Run;

/// A write that the server answers itself, or, with 0, a connection that breaks.
type Fault = (u16, Json);
/// A write that succeeds.
const WRITTEN: Fault = (200, Json::Null);
/// A write that succeeds, and whose answer is lost.
const LOST: Fault = (1, Json::Null);

/// Keeps one entry and answers one request per connection. Writes meet `faults` in their order and then succeed; each is
/// reported with its path.
fn serve(entry: Option<Json>, faults: Vec<Fault>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (report, writes) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut entry, mut faults) = (entry, faults.into_iter());
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (method, path, body) = request(&connection);
            let is_write = method != "GET";
            let mut fault = WRITTEN;
            if is_write {
                report.send(path.clone()).unwrap();
                fault = faults.next().unwrap_or(WRITTEN);
            }
            if is_write && (fault == WRITTEN || fault == LOST) {
                let mut written = entry.unwrap_or_default();
                if path.contains("/status") {
                    written["status"] = body["status"].clone();
                } else {
                    written["metadata"] = body["metadata"].clone();
                    written["metadata"]["uid"] = "1".into();
                }
                entry = Some(written);
            }
            let absent = || (404, json!({ "details": { "name": "vm" } }));
            let (status, body) = match fault {
                WRITTEN => entry.clone().map_or_else(absent, |entry| (200, entry)),
                (0 | 1, _) => continue,
                fault => fault,
            };
            let body = body.to_string();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            );
            connection.write_all((head + &body).as_bytes()).unwrap();
        }
    });
    (url, writes)
}

fn entry() -> Manifest {
    Manifest {
        kind: Kind::WorkloadEntry,
        id: "bookinfo/vm".parse().unwrap(),
        body: json!({ "metadata": { "labels": { MANAGED_BY_LABEL: MANAGER } }, "spec": { "address": "192.0.2.1" } }),
    }
}

async fn cluster(url: String) -> Cluster {
    let settings = Settings {
        host: Some(url),
        ..Settings::default()
    };
    Cluster::connect(&settings, &|_| None).await.unwrap()
}

fn objects(cluster: &Cluster) -> Objects<'_> {
    let mark = Mark::Workload("vm".parse().unwrap());
    Objects::new(cluster, mark, Force::Never, later())
}

fn later() -> Instant {
    Instant::now() + Duration::from_mins(5)
}

#[tokio::test]
async fn traffic_is_admitted_after_each_fault_that_passes() {
    let modified = json!({ "reason": "Conflict", "message": "the object has been modified" });
    let (url, writes) = serve(
        Some(entry().body),
        vec![(500, json!({})), (409, modified), (0, json!({}))],
    );
    let cluster = cluster(url).await;
    objects(&cluster).admit(&entry()).await.unwrap();
    assert_eq!(writes.try_iter().count(), 4);
}

#[tokio::test]
async fn an_owner_of_a_field_is_named_at_once() {
    let held = json!({
        "reason": "FieldManagerConflict",
        "message": "conflict with \"kubectl-edit\" using networking.istio.io/v1",
        "field": ".spec.weight",
    });
    let conflict = json!({ "reason": "Conflict", "details": { "name": "vm", "causes": [held] } });
    let (url, writes) = serve(Some(entry().body), vec![(409, conflict)]);
    let cluster = cluster(url).await;
    let error = objects(&cluster).admit(&entry()).await.unwrap_err();
    assert!(
        error
            .detail
            .contains(".spec.weight is owned by kubectl-edit"),
        "{error:?}"
    );
    assert_eq!(writes.try_iter().count(), 1);
}

#[tokio::test]
async fn withdrawn_traffic_is_restored_after_each_fault_that_passes() {
    let healthy = json!({ "conditions": [{ "type": "Healthy", "status": "True" }] });
    let before = json!({ "metadata": { "uid": "1" }, "spec": {}, "status": healthy });
    // The withdrawal: mark and health. Then health and mark come back, each the second time.
    let faults = vec![
        WRITTEN,
        WRITTEN,
        (503, json!({})),
        WRITTEN,
        (429, json!({})),
    ];
    let (url, writes) = serve(Some(before), faults);
    let cluster = cluster(url).await;
    let run = Run::new(&cluster, Operation::Bootstrap, Force::Never, later());
    let id = "bookinfo/vm".parse().unwrap();
    run.withdraw(&id, |_| true).await.unwrap();
    assert!(run.holds(&id).await.unwrap());
    assert_eq!(writes.try_iter().count(), 2);
    let problems = run.restore().await;
    assert!(problems.is_empty(), "{problems:?}");
    assert!(!run.holds(&id).await.unwrap());
    let restored = cluster.entry(&id).await.unwrap().unwrap();
    assert_eq!(restored["status"]["conditions"][0]["status"], "True");
    assert!(writes.try_iter().count() >= 4);
}

/// Only the cluster knows whether the write has arrived.
#[tokio::test]
async fn a_withdrawal_whose_answer_is_lost_is_restored() {
    let before = json!({ "metadata": { "uid": "1" }, "spec": {} });
    let (url, _writes) = serve(Some(before), vec![LOST]);
    let cluster = cluster(url).await;
    let run = Run::new(&cluster, Operation::Bootstrap, Force::Never, later());
    let id = "bookinfo/vm".parse().unwrap();
    let withdrawn = run.withdraw(&id, |_| true).await;
    assert!(withdrawn.is_err());
    assert!(run.holds(&id).await.unwrap());
    let problems = run.restore().await;
    assert!(problems.is_empty(), "{problems:?}");
    assert!(!run.holds(&id).await.unwrap());
}

#[tokio::test]
async fn prior_objects_are_written_after_each_fault_that_passes() {
    let (url, writes) = serve(Some(entry().body), vec![(410, json!({})), (502, json!({}))]);
    let cluster = cluster(url).await;
    let problems = objects(&cluster).write_prior(&[entry()]).await;
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(writes.try_iter().count(), 3);
}
