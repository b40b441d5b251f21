//! Replacement of the machine behind a workload.

use std::thread;

use acceptance_tests::{Done, Failure, Scenario, Terraform, wait_for};
use bed::HostKey;
use serde_json::json;

use crate::WORKLOAD;
use crate::demo::{call_vm, can_call_pod};

/// The machine is powered on only while the apply waits for it.
#[test]
fn a_vm_replaced_at_the_same_address_is_bootstrapped_in_the_same_apply_while_it_boots() -> Done {
    let scenario = Scenario::begin("rebuilt")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    terraform.set("triggers", json!({"vm": "i-1"}))?;
    terraform.apply()?;
    let first = terraform.state(WORKLOAD)?;

    scenario.vm.kill()?;
    terraform.set("triggers", json!({"vm": "i-2"}))?;
    let plan = terraform.plan(&["-refresh=false"])?;
    let reasons = json!(["triggers.vm: changed"]);
    assert_eq!(
        plan.change(WORKLOAD)["after"]["last_bootstrap_reasons"],
        reasons,
        "{}",
        plan.text
    );
    thread::scope(|scope| {
        let apply = scope.spawn(|| terraform.apply_saved(&plan));
        wait_for("the apply runs", || {
            let lock = terraform.path().join(".terraform.tfstate.lock.info");
            Ok::<_, ()>(lock.exists())
        })?;
        scenario.vm.rebuild(HostKey::Same)?;
        apply
            .join()
            .map_err(|_| Failure::new("the apply panicked"))?
    })?;
    let second = terraform.state(WORKLOAD)?;
    assert_ne!(second["machine_id"], first["machine_id"]);
    assert_eq!(
        second["machine_id"],
        scenario.vm.read("/etc/machine-id")?.trim()
    );
    scenario.vm.wait_until_up()?;
    scenario.vm.shell("systemctl start ratings")?;
    call_vm(&scenario)?;
    can_call_pod(&scenario)
}

#[test]
fn destroying_the_old_name_afterwards_keeps_the_proxy_of_the_new_name() -> Done {
    let scenario = Scenario::begin("replaced")?;
    let mut terraform = Terraform::new(&scenario, "replaced")?;
    terraform.apply()?;
    terraform.set("name", "ratings-green")?;
    let plan = terraform.plan(&[])?;
    assert_eq!(
        plan.change(WORKLOAD)["actions"],
        json!(["create", "delete"]),
        "{}",
        plan.text
    );
    let run = terraform.apply_saved(&plan)?;
    assert!(
        run.words().contains("Its proxy belongs to"),
        "{}",
        run.output
    );

    let objects = [
        "ServiceEntry/ratings-green-http",
        "Sidecar/ratings-green",
        "WorkloadEntry/ratings-green",
    ];
    let mut found = scenario.objects()?;
    found.sort();
    assert_eq!(found, objects);
    assert!(
        scenario
            .vm
            .read("/var/lib/istio/mesh/owner")?
            .contains("/ratings-green")
    );
    assert_eq!(
        acceptance_tests::proxy(&scenario.vm)?["metadata"]["WORKLOAD_ENTRY"],
        "ratings-green"
    );
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    let plan = terraform.plan(&[])?;
    assert!(plan.is_empty(), "{}", plan.text);
    Ok(())
}

#[test]
fn a_failed_bootstrap_of_a_new_name_keeps_the_traffic_of_the_old_name() -> Done {
    let scenario = Scenario::begin("not-replaced")?;
    let mut terraform = Terraform::new(&scenario, "replaced")?;
    terraform.apply()?;
    let before = terraform.state(WORKLOAD)?;
    let (url, sha256) = scenario.package();
    terraform.set("name", "ratings-green")?;
    terraform.set("package", json!({"url": url, "sha256": "0".repeat(64)}))?;
    let words = terraform.try_apply()?.failure()?;
    assert!(words.contains("the package has SHA-256"), "{words}");

    assert_eq!(terraform.state(WORKLOAD)?, before);
    assert!(
        scenario
            .vm
            .read("/var/lib/istio/mesh/owner")?
            .contains("/ratings-blue")
    );
    call_vm(&scenario)?;
    terraform.set("name", "ratings-blue")?;
    terraform.set("package", json!({"url": url, "sha256": sha256}))?;
    let plan = terraform.plan(&[])?;
    assert!(plan.is_empty(), "{}", plan.text);
    Ok(())
}
