use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::call::{Call, NAMESPACE, Verb};

fn call() -> Call {
    Call::new(Verb::Get, NAMESPACE, "", "ns")
}

fn answered(status: u16) -> ClusterError {
    ClusterError::Server {
        call: call(),
        status,
        message: String::new(),
    }
}

fn busy(seconds: u64) -> ClusterError {
    ClusterError::Busy {
        call: call(),
        wait: Duration::from_secs(seconds),
    }
}

fn silent() -> ClusterError {
    ClusterError::Unreachable {
        server: "https://x".into(),
        call: call(),
        source: std::sync::Arc::new(std::io::Error::other("reset")),
    }
}

fn conflict() -> ClusterError {
    ClusterError::Conflict {
        call: call(),
        fields: vec![],
    }
}

/// Repeats something that fails a few times, and returns how often it was tried and how long that took.
async fn repeated(
    fails: usize,
    fault: impl Fn() -> ClusterError,
) -> (Result<(), ClusterError>, usize, Duration) {
    let (begin, tries) = (Instant::now(), AtomicUsize::new(0));
    let attempt = || async {
        let failed = tries.fetch_add(1, Ordering::SeqCst) < fails;
        if failed { Err(fault()) } else { Ok(()) }
    };
    let done = retry(begin + Duration::from_mins(5), attempt).await;
    (done, tries.into_inner(), begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn each_fault_that_passes_is_waited_out() {
    let statuses = [408, 409, 410, 429, 500, 502, 503, 504];
    for fault in statuses {
        let (done, tries, _) = repeated(3, || answered(fault)).await;
        assert!(done.is_ok() && tries == 4, "{fault}: {done:?}");
    }
    for fault in [silent, || busy(1)] {
        let (done, tries, _) = repeated(3, fault).await;
        assert!(done.is_ok() && tries == 4, "{done:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_other_error_ends_it_at_once() {
    for fault in [conflict, || answered(403)] {
        let (done, tries, took) = repeated(1, fault).await;
        assert!(done.is_err() && tries == 1, "{done:?}");
        assert_eq!(took, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_a_limit_and_obey_the_server() {
    let (_, _, took) = repeated(6, || answered(500)).await;
    // 0.5 + 1 + 2 + 4 + 8 + 8
    assert_eq!(took.as_millis(), 23_500);
    let (_, _, took) = repeated(2, || busy(30)).await;
    assert_eq!(took.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_last_fault_is_reported() {
    let (done, _, took) = repeated(usize::MAX, || answered(500)).await;
    assert!(matches!(
        done,
        Err(ClusterError::Server { status: 500, .. })
    ));
    assert_eq!(took.as_secs(), 300);
    // A server that falls silent meanwhile takes no more time than that.
    let (begin, tries) = (Instant::now(), AtomicUsize::new(0));
    let attempt = || async {
        if tries.fetch_add(1, Ordering::SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
        Err::<(), _>(answered(500))
    };
    let done = retry(begin + Duration::from_mins(5), attempt).await;
    assert!(matches!(
        done,
        Err(ClusterError::Server { status: 500, .. })
    ));
    assert!(begin.elapsed() <= Duration::from_mins(5) + LAST);
}

#[test]
fn a_wait_is_requested_in_seconds_or_as_a_date() {
    let now = "2026-11-30T12:00:00Z".parse().unwrap();
    let wait = |text| retry_after(text, now);
    assert_eq!(wait("0"), Some(Duration::ZERO));
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(
        wait("Mon, 30 Nov 2026 12:00:09 GMT"),
        Some(Duration::from_secs(9))
    );
    assert_eq!(wait("Mon, 30 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
    assert_eq!(wait("-1"), None);
    assert_eq!(wait("soon"), None);
}

#[test]
fn which_answers_request_a_wait() {
    let wait = |status: u16, header: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("retry-after", header.parse().unwrap());
        }
        requested_wait(StatusCode::from_u16(status).unwrap(), &headers)
    };
    assert_eq!(wait(429, None), Some(Duration::ZERO));
    assert_eq!(wait(429, Some("3")), Some(Duration::from_secs(3)));
    // As client-go does.
    assert_eq!(wait(500, Some("3")), Some(Duration::from_secs(3)));
    assert_eq!(wait(503, None), None);
    assert_eq!(wait(409, Some("3")), None);
}
