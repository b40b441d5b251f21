//! Answers that are lost: what a request has done is found out, so that nothing is left without a state.

use contract::Severity;
use serde_json::json;

use super::api_server::{ApiServer, Fault, Kept, NAMESPACE, texts};

const ENTRY: &str = "workloadentries/ratings-vm-1";

#[tokio::test]
async fn a_create_whose_first_answer_is_lost_goes_on() {
    for of_fleet in [false, true] {
        for is_repeated in [false, true] {
            let server = ApiServer::start();
            let client = server.provider().await;
            let mut kept = if of_fleet {
                Kept::fleet()
            } else {
                Kept::workload()
            };
            let mut is_first = true;
            server.fail(move |asked, _| {
                let fault = if is_repeated {
                    Fault::Unanswered
                } else {
                    Fault::Lost
                };
                let meets = asked.method == "POST" && std::mem::take(&mut is_first);
                meets.then_some(fault)
            });
            let reported = kept.apply(&client).await;
            assert_eq!(texts(&reported, Severity::Error), "");
            let objects = server.objects();
            for at in objects.names() {
                let annotations = &objects.get(at).unwrap()["metadata"]["annotations"];
                assert!(annotations.get(mesh::mark::CLAIM).is_none(), "{at}");
            }
        }
    }
}

/// Nothing answers for a moment after the first write has arrived.
#[tokio::test]
async fn a_create_without_answers_leaves_nothing_without_a_state() {
    for mut kept in [Kept::workload(), Kept::fleet()] {
        let server = ApiServer::start();
        let client = server.provider().await;
        let mut silent = 0;
        server.fail(move |asked, _| {
            if asked.method == "POST" {
                silent = 2;
                return Some(Fault::Lost);
            }
            silent -= i32::from(silent > 0);
            (silent > 0).then_some(Fault::Refused(0))
        });
        let reported = kept.apply(&client).await;
        assert_ne!(texts(&reported, Severity::Error), "");
        assert!(kept.state.is_none());
        assert_eq!(server.objects().names().len(), 0);
    }
}

/// Where the namespace is hidden, only the entry's UID identifies the cluster.
#[tokio::test]
async fn an_entry_that_a_failed_update_creates_again_is_known() {
    for fails_at in ["workloadentries", "serviceentries"] {
        let server = ApiServer::start();
        let hidden = |path: &str| (path == NAMESPACE).then_some(Fault::Forbidden);
        server.fail(move |asked, _| hidden(&asked.path));
        let mut workload = Kept::workload();
        let applied = workload.apply(&server.provider().await).await;
        assert_eq!(texts(&applied, Severity::Error), "");
        server.objects().remove(ENTRY);
        server.fail(move |asked, _| {
            let fails = asked.method == "PATCH" && asked.path.contains(fails_at);
            hidden(&asked.path).or(fails.then_some(Fault::Refused(400)))
        });
        workload.config["labels"]["version"] = json!("v2");
        let failed = workload.apply(&server.provider().await).await;
        assert_ne!(texts(&failed, Severity::Error), "");
        assert!(server.objects().get(ENTRY).is_some());
        server.fail(move |asked, _| hidden(&asked.path));
        let applied = workload.apply(&server.provider().await).await;
        assert_eq!(texts(&applied, Severity::Error), "", "{fails_at}");
        let destroyed = workload.destroy(&server.provider().await).await;
        assert_eq!(texts(&destroyed, Severity::Error), "");
        assert_eq!(server.objects().names().len(), 0);
    }
}
