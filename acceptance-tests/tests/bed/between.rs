//! The mesh changes between plan and apply.

use acceptance_tests::workload::{Workload, holds, texts};
use acceptance_tests::{Beside, Done, Result, Scenario};
use bed::Machine;
use contract::Action;
use serde_json::{Value as Json, json};

const NAMESPACE: &str = "bookinfo";
const OLD: &str = "Kubernetes";
const NEW: &str = "renamed";

/// Renames the cluster, as reinstalling a chart can do. istiod accepts both names.
fn rename(bed: &Beside) -> Done {
    let kubectl = bed.kubectl();
    let map = "/api/v1/namespaces/istio-system/configmaps/istio-sidecar-injector";
    let values = kubectl.get(map)?["data"]["values"].take();
    let mut values: Json = serde_json::from_str(values.as_str().unwrap_or_default())?;
    values["global"]["multiCluster"]["clusterName"] = json!(NEW);
    let data = json!({ "data": { "values": values.to_string() } });
    kubectl.patch(
        "istio-system",
        "configmap/istio-sidecar-injector",
        &data,
        &[],
    )?;
    Ok(())
}

/// Returns the cluster that the proxy of a VM reports.
fn said_by(vm: &Machine) -> Result<Json> {
    let answer = vm.curl("http://127.0.0.1:15000/server_info", &[])?;
    let info: Json = serde_json::from_str(&answer.body)?;
    Ok(info["node"]["metadata"]["CLUSTER_ID"].clone())
}

/// Returns the cluster in the state.
fn stored(workload: &Workload) -> Json {
    let state = workload.state.as_ref();
    state.map_or(Json::Null, |state| state.value["cluster_id"].to_json())
}

#[tokio::test]
async fn a_mesh_that_changes_after_the_plan_reaches_the_vm_at_once_and_the_state_with_the_next_apply()
-> Done {
    let scenario = Scenario::begin("between")?;
    let bed = Beside::up(&scenario, "between", 1, 0)?;
    bed.restart_istiod(&["--clusterAliases", &format!("{NEW}={OLD}")])?;
    let vm = &bed.vms[0];
    let mut workload = Workload::beside(&scenario, &bed, vm, NAMESPACE)?;
    workload.converge().await?;
    assert_eq!(said_by(vm)?, json!(OLD));

    workload.config["labels"]["version"] = json!("v2");
    let plan = workload.plan().await?;
    assert_eq!(plan.planned["cluster_id"].to_json(), json!(OLD));
    rename(&bed)?;
    let reported = workload.apply_plan(&plan).await?;
    let line = format!("cluster_id is '{OLD}', should be '{NEW}'");
    let [warning] = &reported[..] else {
        panic!("expected one warning, got: {}", texts(&reported));
    };
    holds(warning, "mesh-changed", &[&line])?;
    assert_eq!(said_by(vm)?, json!(NEW));
    assert_eq!(stored(&workload), json!(OLD));

    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [format!("mesh: {line}")]);
    let plan = workload.plan().await?;
    assert_eq!(plan.action, Action::Update);
    assert!(!plan.planned["cluster_id"].is_known());
    workload.converge().await?;
    assert_eq!(stored(&workload), json!(NEW));
    assert_eq!(said_by(vm)?, json!(NEW));
    Ok(())
}
