//! The mesh changes after a plan was made and before it is applied.

use std::fs;

use acceptance_tests::workload::{Workload, holds, texts};
use acceptance_tests::{Beside, Done, Result, Scenario, wait_for};
use bed::Machine;
use contract::Action;
use serde_json::{Value as Json, json};

const NAMESPACE: &str = "bookinfo";
const OLD: &str = "cluster.local";
const NEW: &str = "example.org";

/// Gives the mesh another trust domain; istiod watches its file.
fn rename(bed: &Beside) -> Done {
    let kubectl = bed.kubectl();
    let map = kubectl.get("/api/v1/namespaces/istio-system/configmaps/istio")?;
    let mesh = map["data"]["mesh"].as_str().unwrap_or_default();
    let mut mesh: Json = serde_json::from_str(mesh)?;
    mesh["trustDomain"] = json!(NEW);
    let data = json!({ "data": { "mesh": mesh.to_string() } });
    kubectl.patch("istio-system", "configmap/istio", &data, &[])?;
    fs::write(bed.folder().join("istiod/mesh.yaml"), mesh.to_string())?;
    let expected = format!("spiffe://{NEW}/");
    wait_for("istiod has read it and says so to the proxy", || {
        let answer = bed.vms[0].curl("http://127.0.0.1:15000/config_dump", &[]);
        answer.map(|answer| answer.body.contains(&expected))
    })
}

/// Returns whom the certificate of a VM's proxy names.
fn named(vm: &Machine) -> Result<String> {
    let text = "openssl x509 -noout -ext subjectAltName -in /etc/certs/cert-chain.pem | grep -o 'spiffe://.*'";
    Ok(vm.shell(text)?.trim().to_owned())
}

/// Returns what the state says of the trust domain.
fn said(workload: &Workload) -> [Json; 2] {
    let state = workload.state.as_ref();
    ["trust_domain", "spiffe_id"]
        .map(|name| state.map_or(Json::Null, |state| state.value[name].to_json()))
}

#[tokio::test]
async fn a_mesh_that_changes_after_the_plan_is_on_the_vm_at_once_and_in_the_state_by_the_next_apply()
-> Done {
    let scenario = Scenario::begin("between")?;
    let bed = Beside::up(&scenario, "between", 1, 0)?;
    let vm = &bed.vms[0];
    let id = |domain: &str| format!("spiffe://{domain}/ns/{NAMESPACE}/sa/bookinfo-ratings");
    let mut workload = Workload::beside(&scenario, &bed, vm, NAMESPACE)?;
    workload.converge().await?;
    assert_eq!(named(vm)?, id(OLD));

    workload.config["labels"]["version"] = json!("v2");
    let plan = workload.plan().await?;
    assert_eq!(plan.planned["spiffe_id"].to_json(), json!(id(OLD)));
    rename(&bed)?;
    let told = workload.apply_plan(&plan).await?;
    let line = format!("trust_domain is '{OLD}', should be '{NEW}'");
    let [warning] = &told[..] else {
        panic!("not one warning: {}", texts(&told));
    };
    holds(warning, "mesh-changed", &[&line])?;
    assert_eq!(named(vm)?, id(NEW));
    assert_eq!(said(&workload), [json!(OLD), json!(id(OLD))]);

    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [format!("mesh: {line}")]);
    let plan = workload.plan().await?;
    assert_eq!(plan.action, Action::Update);
    assert!(!plan.planned["spiffe_id"].is_known());
    workload.converge().await?;
    assert_eq!(said(&workload), [json!(NEW), json!(id(NEW))]);
    Ok(())
}
