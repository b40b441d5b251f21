//! A provider that is pointed at another cluster changes nothing, neither there nor on the VM.

use acceptance_tests::workload::{NAME, Workload, fails, holds, texts};
use acceptance_tests::{Done, Scenario};
use bed::ApiServer;
use contract::{Action, Value};
use serde_json::json;

use crate::cluster::endpoint;

/// The UIDs that tell one cluster from another.
const UIDS: [&str; 2] = ["namespace_uid", "entry_uid"];

/// Returns the UIDs in the state.
fn uids(workload: &Workload) -> [String; 2] {
    let state = workload.state.as_ref();
    UIDS.map(|name| {
        state.map_or(String::new(), |state| {
            state.value[name].to_json().to_string()
        })
    })
}

/// Makes the state one of a version that did not store the UIDs.
fn forget_uids(workload: &mut Workload) {
    if let Some(state) = &mut workload.state
        && let Value::Map(values) = &mut state.value
    {
        for name in UIDS {
            values.insert(name.to_owned(), Value::Null);
        }
    }
}

#[tokio::test]
async fn in_another_cluster_nothing_is_changed_there_or_on_the_vm() -> Done {
    let scenario = Scenario::begin("another")?;
    let namespace = scenario.namespace.as_str();
    let (with_it, without) = (ApiServer::start()?, ApiServer::start()?);
    with_it.kubectl().create_namespace(namespace, &[])?;
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.converge().await?;
    let mut workload = Workload::new(&scenario)?.member();
    workload.converge().await?;
    let (before, objects) = (uids(&workload), scenario.objects()?);
    assert!(!before.contains(&"null".to_owned()), "{before:?}");

    // A state of an earlier version takes the UIDs where the mark on the VM names the entry.
    forget_uids(&mut workload);
    workload.refresh().await?;
    assert_eq!(uids(&workload), before);

    let line = format!("Namespace {namespace}");
    for one in [&mut fleet, &mut workload] {
        let home = one.block["kubernetes"].clone();
        for (server, word) in [(&with_it, ": metadata.uid is '"), (&without, " is missing")] {
            one.block["kubernetes"] = json!({ "config_path": server.kubeconfig() });
            let line = format!("{line}{word}");
            one.refresh().await?;
            let lines = one.drift("objects");
            assert!(lines.len() == 1 && lines[0].starts_with(&line), "{lines:?}");
            assert_eq!(one.plan().await?.action, Action::Update);
            fails(&one.apply().await?, "cluster-other", &[&line])?;
            fails(&one.destroy().await?, "cluster-other", &[&line])?;
            assert!(one.state.is_some());
        }
        one.block["kubernetes"] = home;
    }
    assert_eq!(scenario.objects()?, objects);
    workload.converge().await?;
    // The state still knows that the VM is the workload's.
    let entry = format!("workloadentry/{NAME}");
    scenario.kubectl().delete(namespace, &entry)?;
    for mut one in [workload, fleet] {
        let reported = one.destroy().await?;
        assert!(reported.is_empty(), "{}", texts(&reported));
    }
    assert_eq!(scenario.objects()?, [""; 0]);
    scenario.vm.shell("! systemctl -q is-active istio")?;
    Ok(())
}

#[tokio::test]
async fn without_the_right_to_read_the_namespace_the_entry_decides() -> Done {
    let scenario = Scenario::begin("unidentified")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let role = include_str!("../../../examples/rbac.yaml").replace("bookinfo", namespace);
    let right = "    resources: [\"namespaces\"]\n    verbs: [\"get\"]\n";
    assert!(role.contains(right));
    let role = role.replace(right, "    resources: [\"none\"]\n    verbs: [\"get\"]\n");
    let role = role.replace("terraform-provider-mesh", &format!("role-{namespace}"));
    kubectl.call(&["apply", "--server-side", "-f", "-"], role.as_bytes())?;
    let (host, authority) = endpoint(&scenario)?;
    let token = kubectl.token(namespace, "terraform", None)?;
    let mut workload = Workload::new(&scenario)?.objects_only();
    workload.block["kubernetes"] =
        json!({ "host": host, "token": token, "cluster_ca_certificate": authority });
    let reported = workload.apply().await?;
    assert_eq!(reported.len(), 1, "{}", texts(&reported));
    holds(&reported[0], "namespace-unseen", &["examples/rbac.yaml"])?;
    let [of_namespace, of_entry] = uids(&workload);
    assert!(of_namespace == "null" && of_entry != "null");

    // The same entry by another UID, as in a cluster with the same objects.
    let path = scenario.object("workloadentries", "ratings-vm");
    let mut entry = kubectl.get(&path)?;
    kubectl.delete(namespace, &format!("workloadentry/{NAME}"))?;
    entry["metadata"] = json!({ "namespace": namespace, "name": NAME,
        "labels": entry["metadata"]["labels"], "annotations": entry["metadata"]["annotations"] });
    kubectl.apply(&entry)?;
    let reported = workload.refresh().await?;
    assert_eq!(reported.len(), 1, "{}", texts(&reported));
    let lines = workload.drift("objects");
    let line = format!("WorkloadEntry {namespace}/{NAME}: metadata.uid is '");
    assert!(lines.len() == 1 && lines[0].starts_with(&line), "{lines:?}");
    fails(&workload.destroy().await?, "cluster-other", &[&line])
}
