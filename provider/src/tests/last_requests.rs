//! The last requests of an apply are repeated after a fault that passes: what they did before would be left halfway.

use contract::{Client, Severity};
use serde_json::json;

use super::api_server::{ApiServer, Asked, Fault, Kept, texts};

const FAULTS: [Fault; 3] = [Fault::Refused(500), Fault::Refused(0), Fault::Lost];

/// Lets the first of the requests that `fails` picks meet a fault each.
fn meet_faults(server: &ApiServer, fails: impl Fn(&Asked) -> bool + Send + 'static) {
    let mut faults = FAULTS.into_iter();
    server.fail(move |asked, _| if fails(asked) { faults.next() } else { None });
}

fn is_delete(asked: &Asked) -> bool {
    asked.method == "DELETE"
}

async fn applied(server: &ApiServer, client: &Client) -> Kept {
    let mut fleet = Kept::fleet();
    assert_eq!(fleet.apply(client).await, []);
    meet_faults(server, is_delete);
    fleet
}

#[tokio::test]
async fn objects_are_pruned_and_deleted_after_each_fault_that_passes() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = applied(&server, &client).await;
    fleet.config["sidecar"] = json!(null);
    assert_eq!(fleet.apply(&client).await, []);
    assert_eq!(server.objects().names().len(), 1);
    meet_faults(&server, is_delete);
    assert_eq!(fleet.destroy(&client).await, []);
    assert_eq!(server.objects().names().len(), 0);
}

#[tokio::test]
async fn what_a_failed_create_wrote_is_deleted_after_each_fault_that_passes() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = Kept::fleet();
    let mut faults = FAULTS.into_iter();
    server.fail(move |asked, _| match asked.method.as_str() {
        "DELETE" => faults.next(),
        "POST" if asked.path.ends_with("sidecars") => Some(Fault::Refused(400)),
        _ => None,
    });
    let reported = fleet.apply(&client).await;
    let errors = texts(&reported, Severity::Error);
    assert_eq!(reported.len(), 1, "{errors}");
    assert!(fleet.state.is_none());
    assert_eq!(server.objects().names().len(), 0);
}

#[tokio::test]
async fn a_token_is_minted_after_each_fault_that_passes() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let folder = tempfile::tempdir().unwrap();
    let mut workload = Kept::workload();
    workload.config["bundle"] = json!({ "path": folder.path().join("vm.tar") });
    meet_faults(&server, |asked| asked.path.ends_with("/token"));
    let reported = workload.apply(&client).await;
    assert_eq!(texts(&reported, Severity::Error), "");
    assert!(folder.path().join("vm.tar").exists());
}
