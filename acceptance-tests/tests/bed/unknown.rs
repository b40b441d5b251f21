//! Plans with unknown values and with unreachable targets.

use acceptance_tests::{Done, Scenario, Terraform};
use serde_json::json;

use crate::WORKLOAD;

#[test]
fn every_attribute_may_be_unknown() -> Done {
    let scenario = Scenario::begin("unknown")?;
    let terraform = Terraform::new(&scenario, "unknown")?;
    terraform.run(&["validate"])?.checked()?;
    let plan = terraform.plan(&[])?;
    for name in ["all", "leaves"] {
        let change = plan.change(&format!("mesh_vm_workload.{name}"));
        assert_eq!(change["actions"], json!(["create"]), "{}", plan.text);
        assert_eq!(change["after_unknown"]["address"], true, "{}", plan.text);
    }
    Ok(())
}

#[test]
fn a_new_workload_is_planned_without_cluster_and_vm() -> Done {
    let scenario = Scenario::begin("unreachable")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    let before = scenario.vm.ssh_connections()?;
    terraform.write("nowhere.yaml", NOWHERE)?;
    terraform.set(
        "kubeconfig",
        terraform.path().join("nowhere.yaml").display().to_string(),
    )?;
    let plan = terraform.plan(&[])?;
    assert_eq!(
        plan.change(WORKLOAD)["actions"],
        json!(["create"]),
        "{}",
        plan.text
    );
    assert_eq!(scenario.vm.ssh_connections()?, before);
    let words = terraform.try_apply()?.failure()?;
    assert!(
        words.contains("127.0.0.1:9"),
        "the apply names what it cannot reach: {words}"
    );
    assert_eq!(terraform.state(WORKLOAD)?, json!(null));
    Ok(())
}

/// A cluster that is not reachable.
const NOWHERE: &str = "
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: 'https://127.0.0.1:9'}}]
users: [{name: a, user: {token: a}}]
";
