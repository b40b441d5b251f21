//! What stands between us and the server, or is wrong with it: never an absent object.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::{Cluster, ClusterError, Force, Settings};
use http::Response;
use kube::client::Body;
use mesh::names::Id;
use mesh::observed::Connection;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};

use crate::bed::{cluster_behind, connect, entry, later, path, server, settings, workload};

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let response = headers
        .iter()
        .fold(Response::builder().status(status), |made, (name, value)| {
            made.header(*name, *value)
        });
    response.body(Body::from(body.as_bytes().to_vec())).unwrap()
}

async fn observed(cluster: &Cluster, id: &Id) -> ClusterError {
    cluster.observe(id, &[]).await.unwrap_err()
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let id = workload();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let cluster = cluster_behind(move |request| {
        let first =
            request.method() == http::Method::POST && count.fetch_add(1, Ordering::SeqCst) < 2;
        first.then(|| {
            answer(
                429,
                &[("Retry-After", "1")],
                "Too many requests, please try again later.",
            )
        })
    })
    .await;
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    assert_eq!(refused.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_wait_longer_than_a_request_may_take_is_an_error() {
    for seconds in [3600, u64::MAX] {
        let after = seconds.to_string();
        let cluster =
            cluster_behind(move |_| Some(answer(429, &[("Retry-After", &after)], ""))).await;
        let error = observed(&cluster, &workload()).await;
        assert!(
            matches!(&error, ClusterError::Busy { wait, .. } if wait.as_secs() == seconds),
            "{error:?}"
        );
    }
}

type Expected = fn(&ClusterError) -> bool;

#[tokio::test]
async fn nothing_but_not_found_of_the_object_is_absent() {
    let id = workload();
    let gateway = "<html>no such route</html>";
    let cases: [(u16, &str, Expected); 4] = [
        (
            401,
            r#"{"kind":"Status","message":"Unauthorized","reason":"Unauthorized","code":401}"#,
            |error| matches!(error, ClusterError::Unauthorized { .. }),
        ),
        (
            500,
            r#"{"kind":"Status","message":"etcdserver: request timed out","code":500}"#,
            |error| matches!(error, ClusterError::Server { status: 500, message, .. } if message.contains("etcdserver")),
        ),
        (
            502,
            gateway,
            |error| matches!(error, ClusterError::Server { status: 502, message, .. } if message.contains("no such route")),
        ),
        (404, gateway, |error| {
            matches!(error, ClusterError::MissingCrd { .. })
        }),
    ];
    for (status, body, expected) in cases {
        let cluster = cluster_behind(move |_| Some(answer(status, &[], body))).await;
        let error = observed(&cluster, &id).await;
        assert!(expected(&error), "{status}: {error:?}");
        // The same for the GET that confirms what a LIST lacks.
        let confirmed = path("workloadentries", &id);
        let cluster = cluster_behind(move |request| {
            (request.uri().path() == confirmed).then(|| answer(status, &[], body))
        })
        .await;
        let error = observed(&cluster, &id).await;
        assert!(expected(&error), "{status} after the list: {error:?}");
    }
}

#[tokio::test]
async fn a_stale_list_does_not_make_an_object_absent() {
    let id = workload();
    let list = path("workloadentries", &id)
        .trim_end_matches("/ratings-vm-1")
        .to_owned();
    let cluster = cluster_behind(move |request| {
        (request.uri().path() == list).then(|| answer(200, &[], r#"{"items":[]}"#))
    })
    .await;
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    assert!(cluster.observe(&id, &[]).await.unwrap().entry.is_some());
}

#[tokio::test]
async fn a_hundred_workloads_share_one_list_per_kind() {
    let id = workload();
    let ids: Vec<Id> = (0..100)
        .map(|n| Id {
            name: format!("vm-{n}").parse().unwrap(),
            ..id.clone()
        })
        .collect();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let cluster = cluster_behind(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        None
    })
    .await;
    let set: Vec<_> = ids.iter().flat_map(|id| [entry(id), crate::bed::manifest(mesh::desired::Kind::Sidecar, id, &json!({ "workloadSelector": { "labels": { "vm": id.name.as_str() } }, "egress": [{ "hosts": ["./*"] }] }))]).collect();
    cluster.apply(&set, Force::Never).await.unwrap();
    requests.store(0, Ordering::SeqCst);
    let all = futures::future::join_all(ids.iter().map(|id| cluster.observe(id, &[]))).await;
    assert!(
        all.into_iter()
            .all(|observed| observed.unwrap().entry.is_some())
    );
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

/// How many attempts a request may make in a few seconds.
const FEW: usize = 5;

#[tokio::test]
async fn a_server_that_requests_no_wait_is_not_flooded() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let cluster = cluster_behind(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(answer(429, &[("Retry-After", "0")], ""))
    })
    .await;
    let id = workload();
    let observed = cluster.observe(&id, &[]);
    let three_seconds = tokio::time::timeout(Duration::from_secs(3), observed).await;
    assert!(three_seconds.is_err(), "{three_seconds:?}");
    // Three lists at once.
    assert!(requests.load(Ordering::SeqCst) <= 3 * FEW);
}

type Headers = &'static [(&'static str, &'static str)];

/// What ends a watch: as the answer, and within the stream.
#[tokio::test]
async fn a_watch_that_is_refused_or_ended_goes_on() {
    let error = |code: u16, seconds: u64| {
        let status =
            json!({ "kind": "Status", "code": code, "details": { "retryAfterSeconds": seconds } });
        json!({ "type": "ERROR", "object": status }).to_string() + "\n"
    };
    let ends: [(u16, Headers, String); 6] = [
        (429, &[("Retry-After", "1")], String::new()),
        (429, &[("Retry-After", "0")], String::new()),
        (
            410,
            &[],
            r#"{"kind":"Status","reason":"Expired","code":410}"#.into(),
        ),
        (408, &[], String::new()),
        (200, &[], error(410, 0)),
        (200, &[], error(429, 1)),
    ];
    for (status, headers, body) in ends {
        let id = workload();
        let (watches, tries) = (Arc::new(Semaphore::new(0)), AtomicUsize::new(0));
        let (count, headers) = (watches.clone(), headers.to_owned());
        let cluster = cluster_behind(move |request| {
            let query = request.uri().query().unwrap_or_default();
            if !query.contains("watch=true") {
                return None;
            }
            count.add_permits(1);
            let is_refused = tries.fetch_add(1, Ordering::SeqCst) < 2;
            is_refused.then(|| answer(status, &headers, &body))
        })
        .await;
        cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
        let before = Connection::default();
        // The third watch reaches the server.
        tokio::select! {
            ended = cluster.connected(&id, &before, later()) => panic!("{status}: {ended:?}"),
            third = watches.acquire_many(3) => drop(third),
        }
    }
}

/// Once for the GET and once for the watch: the proxy is up by then, and nothing is left to do but to wait.
#[tokio::test]
async fn a_server_that_is_away_for_a_moment_does_not_end_a_wait() {
    let id = workload();
    let asked = Arc::new(AtomicUsize::new(usize::MAX / 2));
    let count = asked.clone();
    let entries = path("workloadentries", &id)
        .trim_end_matches("/ratings-vm-1")
        .to_owned();
    let cluster = cluster_behind(move |request| {
        let of_entry =
            request.method() == http::Method::GET && request.uri().path().starts_with(&entries);
        let at = of_entry.then(|| count.fetch_add(1, Ordering::SeqCst))?;
        matches!(at, 0 | 2).then(|| answer(502, &[], "<html>no upstream</html>"))
    })
    .await;
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    asked.store(0, Ordering::SeqCst);
    let soon = Instant::now() + Duration::from_secs(4);
    let waited = cluster.connected(&id, &Connection::default(), soon).await;
    assert!(
        matches!(waited, Err(ClusterError::NotConnected { .. })),
        "{waited:?}"
    );
    assert!(asked.load(Ordering::SeqCst) >= 5);
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_not_repeated() {
    let cluster = cluster_behind(|_| Some(answer(200, &[], "eyJhbGciOi-a-token"))).await;
    let error = observed(&cluster, &workload()).await;
    assert!(matches!(error, ClusterError::Answer { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("eyJ"));
}

#[tokio::test]
async fn a_wrong_token_is_unauthorized() {
    let settings = Settings {
        token: Some(SecretString::from("not-a-token")),
        ..settings()
    };
    let error = observed(&connect(&settings).await, &workload()).await;
    assert!(
        matches!(&error, ClusterError::Unauthorized { server, .. } if *server == crate::bed::server().url()),
        "{error:?}"
    );
    assert!(!format!("{error:?}{settings:?}").contains("not-a-token"));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_with_the_cause() {
    let id = workload();
    let ca = std::fs::read_to_string(server().file("ca.crt")).unwrap();
    let closed = Settings {
        host: Some("https://127.0.0.1:1".into()),
        cluster_ca_certificate: Some(ca),
        ..Settings::default()
    };
    let other_name = Settings {
        tls_server_name: Some("another.example".into()),
        ..settings()
    };
    for (settings, cause) in [(closed, "refused"), (other_name, "another.example")] {
        let error = observed(&connect(&settings).await, &id).await;
        let ClusterError::Unreachable { source, .. } = &error else {
            panic!("{error:?}")
        };
        let causes = std::iter::successors(source.source(), |cause| cause.source());
        let chain: Vec<_> = causes.map(ToString::to_string).collect();
        let chain = chain.join(": ");
        assert!(chain.contains(cause), "{chain}");
    }
}
