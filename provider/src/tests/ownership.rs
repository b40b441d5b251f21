//! Whose an object is: by its mark, or by what the state has seen of it, never by what its neighbours look like.

use contract::Severity;
use serde_json::{Value as Json, json};

use super::api_server::{ApiServer, Fault, Kept, texts};

const SERVICE: &str = "serviceentries/ratings-ratings";
const SIDECAR: &str = "sidecars/ratings";
/// A service of another fleet of the same name.
const OTHER: &str = "serviceentries/ratings-other";

/// What somebody else has made, which selects the VMs of the fleet or of the workload.
fn by_hand(at: &str, name: &str) -> Json {
    if at == SIDECAR {
        return json!({ "spec": { "workloadSelector": { "labels": { "mesh.vm/fleet": name } }, "egress": [{ "hosts": ["./*"] }] } });
    }
    json!({ "spec": {
        "hosts": ["ratings.vm.bookinfo"], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": [{ "name": "http", "number": 9080, "protocol": "HTTP" }],
        "workloadSelector": { "labels": { "app": "ratings" } },
    } })
}

/// Another run creates an object of a fleet of the same name, just before the first create of this one.
fn create_meanwhile(server: &ApiServer, at: &'static str) {
    let mut is_first = true;
    server.fail(move |asked, objects| {
        if asked.method == "POST" && std::mem::take(&mut is_first) {
            let labels = json!({ "app.kubernetes.io/managed-by": mesh::mark::MANAGER, "mesh.vm/fleet": "ratings" });
            objects.put_istio(at, json!({ "metadata": { "labels": labels }, "spec": {} }));
        }
        None
    });
}

#[tokio::test]
async fn a_destroy_of_a_fleet_leaves_an_object_of_others_that_took_one_of_its_names() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = Kept::fleet();
    fleet.config["sidecar"] = Json::Null;
    assert_eq!(fleet.apply(&client).await, []);
    // The fleet's only object is replaced by one of somebody else.
    server.objects().remove(SERVICE);
    server.objects().put_istio(SERVICE, by_hand(SERVICE, ""));
    let reported = fleet.destroy(&server.provider().await).await;
    assert!(server.objects().get(SERVICE).is_some());
    assert_eq!(texts(&reported, Severity::Error), "");
    let warned = texts(&reported, Severity::Warning);
    assert!(warned.contains("[object-foreign]"), "{warned}");
}

#[tokio::test]
async fn an_update_takes_over_no_object_of_others_that_took_a_name() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = Kept::fleet();
    assert_eq!(fleet.apply(&client).await, []);
    server.objects().remove(SERVICE);
    server.objects().put_istio(SERVICE, by_hand(SERVICE, ""));
    let before = server.objects().get(SERVICE).cloned();
    let refused = fleet.apply(&server.provider().await).await;
    let refused = texts(&refused, Severity::Error);
    assert!(refused.contains("[cluster-exists]"), "{refused}");
    assert_eq!(server.objects().get(SERVICE).cloned(), before);
}

/// The service was adopted, the Sidecar was not.
#[tokio::test]
async fn an_import_whose_apply_stopped_halfway_is_destroyed_whole() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = Kept::fleet();
    for at in [SERVICE, SIDECAR] {
        server.objects().put_istio(at, by_hand(at, "ratings"));
    }
    fleet.import(&client, "bookinfo/ratings").await;
    assert!(fleet.state.is_some());
    server.fail(|asked, _| {
        let fails = asked.method == "PATCH" && asked.path.contains("sidecars");
        fails.then_some(Fault::Refused(400))
    });
    let failed = fleet.apply(&client).await;
    assert_ne!(texts(&failed, Severity::Error), "");
    server.heal();
    {
        let objects = server.objects();
        let is_ours = |at| mesh::mark::is_ours(objects.get(at).unwrap());
        assert_eq!((is_ours(SERVICE), is_ours(SIDECAR)), (true, false));
    }
    let reported = fleet.destroy(&client).await;
    assert_eq!(reported, []);
    assert_eq!(server.objects().names().len(), 0);
}

/// The entry of an import is replaced by one of somebody else.
#[tokio::test]
async fn only_the_object_that_was_imported_is_deleted() {
    const ENTRY: &str = "workloadentries/ratings-vm-1";
    let server = ApiServer::start();
    let client = server.provider().await;
    let entry = json!({ "spec": { "address": "10.0.0.5", "labels": { "app": "ratings" } } });
    for is_replaced in [false, true] {
        let mut workload = Kept::workload();
        server.objects().put_istio(ENTRY, entry.clone());
        workload.import(&client, "bookinfo/ratings-vm-1").await;
        if is_replaced {
            server.objects().put_istio(ENTRY, entry.clone());
        }
        let reported = workload.destroy(&server.provider().await).await;
        assert_eq!(texts(&reported, Severity::Error), "");
        assert_eq!(server.objects().get(ENTRY).is_some(), is_replaced);
    }
}

/// The configuration no longer has the service, and its name is somebody else's by now.
#[tokio::test]
async fn an_update_deletes_no_object_of_others_that_took_a_name() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = Kept::fleet();
    assert_eq!(fleet.apply(&client).await, []);
    server.objects().remove(SERVICE);
    server.objects().put_istio(SERVICE, by_hand(SERVICE, ""));
    fleet.config["services"] = json!({});
    let reported = fleet.apply(&server.provider().await).await;
    assert_eq!(texts(&reported, Severity::Error), "");
    let warned = texts(&reported, Severity::Warning);
    assert!(warned.contains("[object-foreign]"), "{warned}");
    assert!(server.objects().get(SERVICE).is_some());
}

/// Two fleets of one name, whose objects have different names, so that no request of one meets the other.
#[tokio::test]
async fn of_two_creates_of_a_fleet_without_a_common_object_one_is_refused() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = Kept::fleet();
    create_meanwhile(&server, OTHER);
    let refused = texts(&fleet.apply(&client).await, Severity::Error);
    assert!(refused.contains("[fleet-exists]"), "{refused}");
    assert!(refused.contains("at the same time"), "{refused}");
    assert!(fleet.state.is_none());
    assert_eq!(server.objects().names(), [OTHER].into());
}

/// Both create the Sidecar; the one that comes second has created the service alone.
#[tokio::test]
async fn a_create_that_is_refused_deletes_only_what_it_created() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let mut fleet = Kept::fleet();
    create_meanwhile(&server, SIDECAR);
    assert_ne!(texts(&fleet.apply(&client).await, Severity::Error), "");
    assert!(fleet.state.is_none());
    assert_eq!(server.objects().names(), [SIDECAR].into());
}

/// A member that waited for its turn may have made the Lease before.
#[tokio::test]
async fn a_fleet_is_created_over_the_lease_of_a_member() {
    let server = ApiServer::start();
    let client = server.provider().await;
    let bare = mesh::rollout::bare_lease(&"bookinfo/ratings".parse().unwrap()).unwrap();
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/bookinfo/leases/{}",
        bare.id.name
    );
    server.objects().put(&path, bare.body);
    let mut kept = Kept::fleet();
    kept.config["rollout"] = json!({ "max_unavailable": "2" });
    let reported = kept.apply(&client).await;
    assert_eq!(texts(&reported, Severity::Error), "");
    assert!(kept.state.is_some());
}
