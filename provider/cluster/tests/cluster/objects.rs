//! What is written, and whose it is.

use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{Cluster, ClusterError, Deletion, Force};
use mesh::desired::{Kind, Manifest};
use mesh::names::Id;
use mesh::withdrawal::{Operation, Withdrawal};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use crate::bed::{cluster, cluster_behind, entry, kubectl, later, manifest, path, workload};

fn set_of(id: &Id) -> Vec<Manifest> {
    let selector = json!({ "labels": { "app": "ratings" } });
    let ports = json!([{ "number": 9080, "name": "http", "protocol": "HTTP" }, { "number": 9081, "name": "more", "protocol": "HTTP" }]);
    let service = json!({ "hosts": ["ratings.vm"], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": ports, "workloadSelector": selector });
    let sidecar = json!({ "workloadSelector": selector, "egress": [{ "hosts": ["./*"] }] });
    vec![
        entry(id),
        manifest(Kind::ServiceEntry, id, &service),
        manifest(Kind::Sidecar, id, &sidecar),
    ]
}

/// The objects of `set_of`, as they are asked for.
fn wanted(id: &Id) -> [(Kind, Id); 2] {
    [Kind::ServiceEntry, Kind::Sidecar].map(|kind| (kind, id.clone()))
}

fn foreign_entry(id: &Id) -> Value {
    json!({ "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": { "namespace": id.namespace.as_str(), "name": id.name.as_str() },
        "spec": { "address": "192.0.2.9", "weight": 7 } })
}

/// The same manager as `kubectl().apply` has.
const OTHER: &str = "bed";

#[tokio::test]
async fn what_is_applied_is_observed_and_applying_it_again_changes_nothing() {
    let (cluster, id) = (cluster().await, workload());
    let set = set_of(&id);
    let applied = cluster.apply(&set, Force::Never).await.unwrap();
    let observed = cluster.observe(&id, &wanted(&id)).await.unwrap();
    let entry = observed.entry.clone().unwrap();
    assert_eq!(entry["spec"], set[0].body["spec"]);
    assert_eq!(entry["metadata"]["uid"], *applied[0].uid);
    assert_eq!(observed.services[&id.name]["spec"], set[1].body["spec"]);
    assert_eq!(observed.sidecars[&id.name]["spec"], set[2].body["spec"]);

    assert_eq!(cluster.apply(&set, Force::Never).await.unwrap(), applied);
    let again = cluster.observe(&id, &wanted(&id)).await.unwrap();
    assert_eq!(
        again, observed,
        "resourceVersion and managedFields included"
    );
}

/// Both have seen that it is absent.
#[tokio::test]
async fn of_two_who_create_an_object_at_once_one_succeeds() {
    let (one, other) = (cluster().await, cluster().await);
    for kind in [Kind::WorkloadEntry, Kind::Sidecar] {
        let id = workload();
        let object = set_of(&id).into_iter().find(|of| of.kind == kind).unwrap();
        let (one, other) = tokio::join!(one.create(&object), other.create(&object));
        let refused = match (one, other) {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
            both => panic!("{both:?}"),
        };
        assert!(matches!(refused, ClusterError::Taken { .. }), "{refused:?}");
    }
}

/// The request that creates an object has a manager of its own, which gives its fields up.
#[tokio::test]
async fn a_created_object_has_one_manager() {
    let (cluster, id) = (cluster().await, workload());
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    let found = kubectl().get(&path("workloadentries", &id)).unwrap();
    let managers = found["metadata"]["managedFields"].as_array().unwrap();
    let managers: Vec<_> = managers
        .iter()
        .map(|of| (&of["manager"], &of["operation"]))
        .collect();
    assert_eq!(managers, [(&json!(mesh::mark::MANAGER), &json!("Apply"))]);
    assert_eq!(found["metadata"]["annotations"], Value::Null);
}

#[tokio::test]
async fn what_leaves_the_manifest_leaves_the_cluster() {
    let (cluster, id) = (cluster().await, workload());
    let mut set = set_of(&id);
    set[0].body["spec"]["labels"]["version"] = json!("v1");
    cluster.apply(&set, Force::Never).await.unwrap();
    cluster.observe(&id, &[]).await.unwrap();
    set[0].body["spec"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove("version");
    set[1].body["spec"]["ports"].as_array_mut().unwrap().pop();
    cluster.apply(&set, Force::Never).await.unwrap();
    let observed = cluster.observe(&id, &[]).await.unwrap().entry.unwrap();
    assert_eq!(
        observed["spec"], set[0].body["spec"],
        "seen at once, though a list was shared just before"
    );
    let spec = |plural| kubectl().get(&path(plural, &id)).unwrap()["spec"].clone();
    assert_eq!(
        spec("workloadentries")["labels"],
        json!({ "app": "ratings" })
    );
    assert_eq!(spec("serviceentries")["ports"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn fields_of_others_stay_and_a_conflict_names_owner_and_field() {
    let (cluster, id) = (cluster().await, workload());
    let ours = entry(&id);
    cluster
        .apply(std::slice::from_ref(&ours), Force::Never)
        .await
        .unwrap();
    let mut theirs = foreign_entry(&id);
    theirs["spec"].as_object_mut().unwrap().remove("address");
    kubectl().apply(&theirs).unwrap();
    let weight = || kubectl().get(&path("workloadentries", &id)).unwrap()["spec"]["weight"].clone();

    cluster
        .apply(std::slice::from_ref(&ours), Force::Never)
        .await
        .unwrap();
    assert_eq!(weight(), 7, "a field that we do not set is theirs");

    let mut greedy = ours.clone();
    greedy.body["spec"]["weight"] = json!(1);
    let error = cluster
        .apply(std::slice::from_ref(&greedy), Force::Never)
        .await
        .unwrap_err();
    let ClusterError::Conflict { fields, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (fields[0].owner.as_str(), fields[0].field.as_str()),
        (OTHER, ".spec.weight")
    );
    assert_eq!(
        error.to_string(),
        format!("cannot apply WorkloadEntry {id}: .spec.weight is owned by bed")
    );
    assert_eq!(weight(), 7);

    cluster.apply(&[greedy], Force::Fields).await.unwrap();
    assert_eq!(weight(), 1);
}

#[tokio::test]
async fn a_foreign_object_is_refused_with_its_import_id_until_it_is_adopted() {
    let (cluster, id) = (cluster().await, workload());
    kubectl().apply(&foreign_entry(&id)).unwrap();
    for force in [Force::Never, Force::Fields] {
        let error = cluster.apply(&[entry(&id)], force).await.unwrap_err();
        let ClusterError::Exists { import_id, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*import_id, id.to_string());
    }
    let address =
        || kubectl().get(&path("workloadentries", &id)).unwrap()["spec"]["address"].clone();
    assert_eq!(address(), "192.0.2.9", "it is untouched");
    cluster.adopt(&entry(&id), None).await.unwrap();
    assert_eq!(address(), "192.0.2.1");
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
}

/// What `kubectl create` makes of the manifest, with more labels and a selector of its own.
fn made_by_hand(manifest: &Manifest) -> Value {
    let mut object = manifest.body.clone();
    object["apiVersion"] = json!("networking.istio.io/v1");
    object["kind"] = json!(manifest.kind.to_string());
    object["metadata"] = json!({ "namespace": manifest.id.namespace.as_str(), "name": manifest.id.name.as_str(),
        "annotations": { "example.com/team": "books" } });
    object
}

#[tokio::test]
async fn what_is_adopted_is_ours_alone_and_what_others_set_stays() {
    let (cluster, id) = (cluster().await, workload());
    let mut prior = entry(&id);
    prior.body["spec"]["labels"]["version"] = json!("v1");
    prior.body["spec"]["ports"] = json!({ "http": 9080 });
    prior.body["spec"]["weight"] = json!(7);
    kubectl()
        .call(
            &["create", "-f", "-"],
            made_by_hand(&prior).to_string().as_bytes(),
        )
        .unwrap();
    let spec = || kubectl().get(&path("workloadentries", &id)).unwrap()["spec"].clone();
    let mut next = entry(&id);
    next.body["spec"]["labels"]["tier"] = json!("backend");
    cluster.adopt(&next, Some(&prior)).await.unwrap();
    let mut left = next.body["spec"].clone();
    left["weight"] = json!(7);
    assert_eq!(spec(), left, "an unset weight is not ours");

    // An ordinary apply removes what was adopted: nobody else owns it.
    next.body["spec"]["labels"] = json!({ "tier": "backend" });
    cluster.apply(&[next], Force::Never).await.unwrap();
    assert_eq!(spec()["labels"], json!({ "tier": "backend" }));
    let metadata = kubectl().get(&path("workloadentries", &id)).unwrap()["metadata"].clone();
    assert_eq!(metadata["annotations"]["example.com/team"], "books");
}

#[tokio::test]
async fn a_selector_is_ours_alone_whoever_adds_to_it() {
    let (cluster, id) = (cluster().await, workload());
    let [_, service, sidecar] = <[Manifest; 3]>::try_from(set_of(&id)).unwrap();
    for (object, plural) in [(service, "serviceentries"), (sidecar, "sidecars")] {
        let mut theirs = made_by_hand(&object);
        theirs["spec"]["workloadSelector"]["labels"] = json!({ "version": "v1" });
        kubectl().apply(&theirs).unwrap();
        let labels = || {
            kubectl().get(&path(plural, &id)).unwrap()["spec"]["workloadSelector"]["labels"].clone()
        };
        cluster.adopt(&object, None).await.unwrap();
        assert_eq!(labels(), json!({ "app": "ratings" }));

        kubectl().apply(&theirs).unwrap();
        assert_eq!(labels()["version"], "v1");
        cluster.apply(&[object], Force::Never).await.unwrap();
        assert_eq!(labels(), json!({ "app": "ratings" }));
    }
}

#[tokio::test]
async fn an_adoption_goes_on_when_somebody_writes_meanwhile() {
    let id = workload();
    kubectl().apply(&foreign_entry(&id)).unwrap();
    let other = id.clone();
    let once = std::sync::atomic::AtomicBool::new(true);
    let cluster = cluster_behind(move |request| {
        let kind = request.headers().get(http::header::CONTENT_TYPE);
        let patch = kind.is_some_and(|kind| kind == "application/merge-patch+json");
        if patch && once.swap(false, std::sync::atomic::Ordering::SeqCst) {
            let more = json!({ "metadata": { "annotations": { "istio.io/connectedAt": "now" } } });
            let name = format!("workloadentry/{}", other.name);
            kubectl()
                .patch(other.namespace.as_str(), &name, &more, &[])
                .unwrap();
        }
        None
    })
    .await;
    let mut prior = entry(&id);
    prior.body["spec"]["labels"]["version"] = json!("v1");
    cluster.adopt(&entry(&id), Some(&prior)).await.unwrap();
    let written = kubectl().get(&path("workloadentries", &id)).unwrap();
    assert_eq!(
        written["metadata"]["annotations"]["istio.io/connectedAt"],
        "now"
    );
    let owner = |entry: &Value| {
        entry["manager"] == OTHER && !entry["fieldsV1"]["f:spec"]["f:address"].is_null()
    };
    let managers = written["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap();
    assert!(!managers.iter().any(owner), "{managers:?}");
    assert!(
        managers
            .iter()
            .any(|entry| entry["manager"] == "kubectl-patch"),
        "the writer's share is not lost: {managers:?}"
    );
}

#[tokio::test]
async fn an_object_of_ours_is_known_without_its_label() {
    let (cluster, id) = (cluster().await, workload());
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    let patch = json!({ "metadata": { "labels": null } });
    kubectl()
        .patch(
            id.namespace.as_str(),
            &format!("workloadentry/{}", id.name),
            &patch,
            &[],
        )
        .unwrap();
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
}

#[tokio::test]
async fn only_what_is_ours_is_deleted() {
    let (cluster, id) = (cluster().await, workload());
    let doomed = |uid| {
        [Deletion {
            kind: Kind::WorkloadEntry,
            id: id.clone(),
            mark: mesh::mark::Mark::Workload(id.name.clone()),
            uid,
            run: None,
        }]
    };
    let found = || kubectl().find(&path("workloadentries", &id)).unwrap();
    cluster.delete(&doomed(None), later()).await.unwrap();

    kubectl().apply(&foreign_entry(&id)).unwrap();
    for uid in [
        None,
        Some("00000000-0000-0000-0000-000000000000".to_owned()),
    ] {
        let error = cluster.delete(&doomed(uid), later()).await.unwrap_err();
        assert!(matches!(error, ClusterError::Exists { .. }), "{error:?}");
    }
    let uid = found().unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    cluster.delete(&doomed(Some(uid)), later()).await.unwrap();
    assert_eq!(found(), None, "the uid that was imported is ours");

    cluster.apply(&set_of(&id), Force::Never).await.unwrap();
    cluster.delete(&doomed(None), later()).await.unwrap();
    let observed = cluster.observe(&id, &wanted(&id)).await.unwrap();
    assert_eq!(observed.entry, None);
    assert!(!observed.sidecars.is_empty());
}

fn mark(run: &str) -> Withdrawal {
    Withdrawal {
        by: Some(Operation::Destroy),
        run: run.into(),
        renewal: 0,
        leaves: None,
    }
}

/// Another run took the entry over while this one was away.
#[tokio::test]
async fn an_entry_with_the_mark_of_another_run_is_not_deleted() {
    let (cluster, id) = (cluster().await, workload());
    let withdrawn = |run| [mesh::objects::withdrawn(&entry(&id), &mark(run))];
    cluster.apply(&withdrawn("4a"), Force::Never).await.unwrap();
    let doomed = |run| {
        let [of] = doomed_of(Kind::WorkloadEntry, &id);
        let run = Some(mark(run));
        [Deletion { run, ..of }]
    };
    let error = cluster.delete(&doomed("3f"), later()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Taken { .. }), "{error:?}");
    cluster.delete(&doomed("4a"), later()).await.unwrap();
    assert_eq!(kubectl().find(&path("workloadentries", &id)).unwrap(), None);
}

/// Somebody writes between the read and the write of an edit: it starts over with what is there then.
#[tokio::test]
async fn an_edit_overwrites_nothing_that_it_has_not_seen() {
    let (cluster, id) = (cluster().await, workload());
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    let (patched, object) = (AtomicBool::new(false), format!("workloadentry/{}", id.name));
    let edit = |seen: &Value| {
        if !patched.swap(true, Ordering::Relaxed) {
            let patch = json!({ "spec": { "address": "192.0.2.7" } });
            kubectl()
                .patch(id.namespace.as_str(), &object, &patch, &[])
                .unwrap();
        }
        let observed = mesh::objects::as_observed(&id, seen);
        Some(mesh::objects::withdrawn(&observed, &mark("3f")))
    };
    let edited = cluster.edit_entry(&id, Force::Never, edit).await;
    let edited = edited.unwrap().unwrap();
    assert_eq!(edited.before["spec"]["address"], "192.0.2.7");
    assert_eq!(edited.after["spec"]["address"], "192.0.2.7");
    assert!(mark("3f").is_on(&edited.after));

    let left = cluster.edit_entry(&id, Force::Never, |_| None).await;
    assert_eq!(left.unwrap(), None);
    let gone: Id = format!("{}/gone", id.namespace).parse().unwrap();
    let gone = cluster.edit_entry(&gone, Force::Never, edit).await;
    assert_eq!(gone.unwrap(), None, "an absent entry is not created");
}

const FINALIZER: &str = "example.com/backup";

/// Sets the finalizers of an object, by its kind in lower case.
fn hold(id: &Id, kind: &str, finalizers: &[&str]) {
    let patch = json!({ "metadata": { "finalizers": finalizers } });
    let object = format!("{kind}/{}", id.name);
    kubectl()
        .patch(id.namespace.as_str(), &object, &patch, &[])
        .unwrap();
}

/// Every kind that is deleted, with its plural.
const KINDS: [(Kind, &str); 4] = [
    (Kind::WorkloadEntry, "workloadentries"),
    (Kind::ServiceEntry, "serviceentries"),
    (Kind::Sidecar, "sidecars"),
    (Kind::WorkloadGroup, "workloadgroups"),
];

fn doomed_of(kind: Kind, id: &Id) -> [Deletion; 1] {
    [Deletion {
        kind,
        id: id.clone(),
        mark: mesh::mark::Mark::Workload(id.name.clone()),
        uid: None,
        run: None,
    }]
}

/// The objects of `set_of`, and a group.
async fn written(cluster: &Cluster, id: &Id) {
    let template = json!({ "template": { "serviceAccount": "ratings" } });
    let group = manifest(Kind::WorkloadGroup, id, &template);
    let all = [set_of(id), vec![group]].concat();
    cluster.apply(&all, Force::Never).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_finalizers_outlast_names_them() {
    let (cluster, id) = (cluster().await, workload());
    written(&cluster, &id).await;
    for (kind, plural) in KINDS {
        let name = kind.to_string();
        hold(&id, &name.to_lowercase(), &[FINALIZER]);
        let deleted = cluster.delete(&doomed_of(kind, &id), Instant::now()).await;
        let expected = format!(
            "cannot delete {name} {id}: it is being deleted and held by its finalizers {FINALIZER}"
        );
        assert_eq!(deleted.unwrap_err().to_string(), expected);
        let object = kubectl().get(&path(plural, &id)).unwrap();
        let dying = cluster::being_deleted(kind, &id, &object).unwrap();
        assert!(dying.to_string().contains(FINALIZER), "{dying}");
        hold(&id, &name.to_lowercase(), &[]);
    }
}

/// Returns a cluster, and how often the object was asked for since its deletion was.
async fn watched(object: String) -> (Cluster, Receiver<usize>) {
    let (looks, seen) = tokio::sync::watch::channel(0);
    let cluster = cluster_behind(move |request| {
        if request.uri().path() == object {
            let deletes = request.method() == http::Method::DELETE;
            looks.send_modify(|looks| *looks += usize::from(deletes || *looks > 0));
        }
        None
    });
    (cluster.await, seen)
}

/// The finalizer goes only once the deletion has looked at the dying object, and the deletion returns only then.
#[tokio::test]
async fn a_deletion_waits_until_finalizers_are_gone() {
    let id = workload();
    written(&cluster().await, &id).await;
    for (kind, plural) in KINDS {
        let name = kind.to_string();
        hold(&id, &name.to_lowercase(), &[FINALIZER]);
        let (cluster, mut looks) = watched(path(plural, &id)).await;
        let released = AtomicBool::new(false);
        let waits = async {
            let deleted = cluster.delete(&doomed_of(kind, &id), later()).await;
            assert!(released.load(Ordering::SeqCst), "{name}: it did not wait");
            deleted.unwrap();
            assert_eq!(kubectl().find(&path(plural, &id)).unwrap(), None, "{name}");
        };
        let release = async {
            looks.wait_for(|looks| *looks > 2).await.unwrap();
            released.store(true, Ordering::SeqCst);
            hold(&id, &name.to_lowercase(), &[]);
        };
        tokio::join!(waits, release);
    }
}

/// Another workload lists the namespace while the object is being deleted: a create that follows must not see that list.
#[tokio::test]
async fn what_a_deletion_waited_for_is_in_no_list_afterwards() {
    let id = workload();
    written(&cluster().await, &id).await;
    hold(&id, "workloadentry", &[FINALIZER]);
    let (cluster, mut looks) = watched(path("workloadentries", &id)).await;
    let doomed = doomed_of(Kind::WorkloadEntry, &id);
    let waits = cluster.delete(&doomed, later());
    let release = async {
        looks.wait_for(|looks| *looks > 2).await.unwrap();
        let entry = cluster.observe(&id, &[]).await.unwrap().entry;
        assert!(entry.unwrap()["metadata"]["deletionTimestamp"].is_string());
        hold(&id, "workloadentry", &[]);
    };
    let (deleted, ()) = tokio::join!(waits, release);
    deleted.unwrap();
    assert_eq!(cluster.observe(&id, &[]).await.unwrap().entry, None);
}

#[tokio::test]
async fn a_foreign_object_that_is_being_deleted_is_called_so() {
    let (cluster, id) = (cluster().await, workload());
    let mut foreign = foreign_entry(&id);
    foreign["metadata"]["finalizers"] = json!([FINALIZER]);
    kubectl().apply(&foreign).unwrap();
    let (namespace, object) = (id.namespace.as_str(), format!("workloadentry/{}", id.name));
    let delete = ["delete", "--wait=false", "--namespace", namespace, &object];
    kubectl().call(&delete, b"").unwrap();
    let error = cluster
        .apply(&[entry(&id)], Force::Never)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ClusterError::Terminating { finalizers, .. } if finalizers == &[FINALIZER]),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_object_is_reported_field_by_field() {
    let (cluster, id) = (cluster().await, workload());
    let cases = [
        (
            json!({ "address": "192.0.2.1", "ports": { "http": 0 } }),
            "spec.ports",
        ),
        (
            json!({ "address": "192.0.2.1", "weight": -1 }),
            "spec.weight",
        ),
        (
            json!({ "address": "unix:///run/x", "ports": { "http": 1 } }),
            "spec",
        ),
    ];
    for (spec, field) in cases {
        let refused = cluster
            .apply(&[manifest(Kind::WorkloadEntry, &id, &spec)], Force::Never)
            .await;
        let Err(ClusterError::Invalid { causes, .. }) = &refused else {
            panic!("{refused:?}")
        };
        assert!(
            causes.iter().any(|cause| cause.field.starts_with(field)),
            "{causes:?}"
        );
    }
    assert_eq!(kubectl().find(&path("workloadentries", &id)).unwrap(), None);
}

#[tokio::test]
async fn a_field_that_the_server_does_not_know_is_an_error() {
    let (cluster, id) = (cluster().await, workload());
    let spec = json!({ "address": "192.0.2.1", "colour": "blue" });
    let error = cluster
        .apply(&[manifest(Kind::WorkloadEntry, &id, &spec)], Force::Never)
        .await
        .unwrap_err();
    assert!(matches!(error, ClusterError::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains("colour"), "{error}");
    assert_eq!(kubectl().find(&path("workloadentries", &id)).unwrap(), None);
}

#[tokio::test]
async fn a_policy_that_denies_speaks_for_itself() {
    let (cluster, id) = (cluster().await, workload());
    let rule = json!({ "apiGroups": ["networking.istio.io"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["sidecars"] });
    let scope = json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": id.namespace.as_str() } } });
    let admission = "admissionregistration.k8s.io/v1";
    let policy = json!([
        { "apiVersion": admission, "kind": "ValidatingAdmissionPolicy", "metadata": { "name": "no-sidecars" },
          "spec": { "failurePolicy": "Fail", "matchConstraints": { "resourceRules": [rule] },
                    "validations": [{ "expression": "false", "message": "sidecars are not allowed here" }] } },
        { "apiVersion": admission, "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": "no-sidecars" },
          "spec": { "policyName": "no-sidecars", "validationActions": ["Deny"], "matchResources": scope } },
    ]);
    kubectl().apply(&policy).unwrap();
    let sidecar = &set_of(&id)[2];
    // The server takes a moment to know a new policy; until then it accepts.
    let denied = async {
        loop {
            if let Err(error) = cluster
                .apply(std::slice::from_ref(sidecar), Force::Never)
                .await
            {
                return error;
            }
            kubectl()
                .delete(id.namespace.as_str(), &format!("sidecar/{}", id.name))
                .unwrap();
        }
    };
    let error = tokio::time::timeout(std::time::Duration::from_mins(1), denied)
        .await
        .unwrap();
    let ClusterError::Denied { message, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        message.contains("sidecars are not allowed here"),
        "{message}"
    );
}
