//! Changes of the configuration of a VM that is already a member.

use acceptance_tests::{Done, Plan, Result, Scenario, Terraform, proxy};
use serde_json::{Value, json};

use crate::demo::{call_vm, can_call_pod};
use crate::{WORKLOAD, vm_state};

/// Returns a workload that is a member.
fn member(name: &str) -> Result<(Scenario, Terraform)> {
    let scenario = Scenario::begin(name)?;
    let terraform = Terraform::new(&scenario, "workload")?;
    terraform.apply()?;
    Ok((scenario, terraform))
}

/// Checks that a plan re-bootstraps the VM in place.
fn assert_rebootstraps(plan: &Plan, reasons: &Value) {
    let change = plan.change(WORKLOAD);
    assert_eq!(change["actions"], json!(["update"]), "{}", plan.text);
    assert_eq!(
        change["after_unknown"]["bundle_digest"], true,
        "{}",
        plan.text
    );
    if reasons.is_null() {
        assert_eq!(
            change["after_unknown"]["last_bootstrap_reasons"], true,
            "{}",
            plan.text
        );
    } else {
        assert_eq!(
            &change["after"]["last_bootstrap_reasons"], reasons,
            "{}",
            plan.text
        );
    }
}

#[test]
fn a_label_change_reaches_the_running_proxy() -> Done {
    let (scenario, mut terraform) = member("labels")?;
    let before = terraform.state(WORKLOAD)?;
    terraform.set(
        "labels",
        json!({"app": "ratings", "version": "v2", "tier": "backend"}),
    )?;
    let plan = terraform.plan(&[])?;
    let reasons = json!(["labels.tier: unset -> backend", "labels.version: v1 -> v2"]);
    assert_rebootstraps(&plan, &reasons);
    terraform.apply_saved(&plan)?;

    let after = terraform.state(WORKLOAD)?;
    assert_eq!(after["last_bootstrap_reasons"], reasons);
    assert_ne!(after["bundle_digest"], before["bundle_digest"]);
    let labels = &proxy(&scenario.vm)?["metadata"]["LABELS"];
    assert_eq!(
        (&labels["version"], &labels["tier"]),
        (&json!("v2"), &json!("backend")),
        "{labels}"
    );
    let entry = scenario
        .kubectl()
        .get(&scenario.object("workloadentries", "ratings"))?;
    assert_eq!(entry["spec"]["labels"]["version"], "v2");
    call_vm(&scenario)?;
    assert!(terraform.plan(&[])?.is_empty());
    Ok(())
}

/// Adds a second address to the VM's interface.
fn second_address(scenario: &Scenario) -> Result<String> {
    let [a, b, c, d] = scenario.vm.address.octets();
    let address = format!("{a}.{b}.{c}.{}", u32::from(d) + 190);
    scenario
        .vm
        .shell(&format!("ip address add {address}/24 dev eth0"))?;
    Ok(address)
}

/// Checks a change of the address: proxy and objects have it, and pods get responses there.
fn assert_moved(scenario: &Scenario, terraform: &Terraform, address: &str) -> Done {
    let node = proxy(&scenario.vm)?;
    assert!(
        node["id"]
            .as_str()
            .is_some_and(|id| id.starts_with(&format!("sidecar~{address}~"))),
        "{}",
        node["id"]
    );
    let entry = scenario
        .kubectl()
        .get(&scenario.object("workloadentries", "ratings"))?;
    assert_eq!(entry["spec"]["address"], address);
    call_vm(scenario)?;
    can_call_pod(scenario)?;
    let plan = terraform.plan(&[])?;
    assert!(plan.is_empty(), "{}", plan.text);
    Ok(())
}

#[test]
fn an_address_change_reaches_the_running_proxy() -> Done {
    let (scenario, mut terraform) = member("address")?;
    let before = terraform.state(WORKLOAD)?;
    let address = second_address(&scenario)?;
    terraform.set("address", address.as_str())?;
    let plan = terraform.plan(&[])?;
    let reasons = json!([format!("address: {} -> {address}", scenario.vm.address)]);
    assert_rebootstraps(&plan, &reasons);
    terraform.apply_saved(&plan)?;
    let after = terraform.state(WORKLOAD)?;
    assert_eq!(after["last_bootstrap_reasons"], reasons);
    assert_ne!(after["bundle_digest"], before["bundle_digest"]);
    assert_moved(&scenario, &terraform, &address)
}

#[test]
fn an_unknown_address_that_turns_out_changed_reaches_the_running_proxy() -> Done {
    let (scenario, mut terraform) = member("address-unknown")?;
    let before = terraform.state(WORKLOAD)?;
    let address = second_address(&scenario)?;
    terraform.set("machine", "second")?;
    terraform.set("machine_address", address.as_str())?;
    let plan = terraform.plan(&[])?;
    assert_rebootstraps(&plan, &Value::Null);
    terraform.apply_saved(&plan)?;
    let after = terraform.state(WORKLOAD)?;
    let reasons = json!([format!("address: {} -> {address}", scenario.vm.address)]);
    assert_eq!(after["last_bootstrap_reasons"], reasons);
    assert_ne!(after["bundle_digest"], before["bundle_digest"]);
    assert_moved(&scenario, &terraform, &address)
}

#[test]
fn an_unknown_address_that_turns_out_the_same_changes_nothing() -> Done {
    let (scenario, mut terraform) = member("address-same")?;
    let before = (terraform.state(WORKLOAD)?, vm_state(&scenario.vm)?);
    terraform.set("machine", "second")?;
    let plan = terraform.plan(&[])?;
    assert_rebootstraps(&plan, &Value::Null);
    terraform.apply_saved(&plan)?;
    assert_eq!(
        (terraform.state(WORKLOAD)?, vm_state(&scenario.vm)?),
        before
    );
    let plan = terraform.plan(&[])?;
    assert!(plan.is_empty(), "{}", plan.text);
    Ok(())
}

#[test]
fn a_saved_plan_of_services_or_sidecar_opens_no_connection_to_the_vm() -> Done {
    let (scenario, mut terraform) = member("services")?;
    for (name, value) in [
        ("service_port", json!(9081)),
        ("egress_hosts", json!(["*/*"])),
    ] {
        terraform.set(name, value)?;
        let plan = terraform.plan(&[])?;
        let change = plan.change(WORKLOAD);
        assert_eq!(change["actions"], json!(["update"]), "{}", plan.text);
        assert_eq!(
            change["after"]["bundle_digest"], change["before"]["bundle_digest"],
            "{}",
            plan.text
        );
        let before = (scenario.vm.ssh_connections()?, vm_state(&scenario.vm)?);
        terraform.apply_saved(&plan)?;
        assert_eq!(
            (scenario.vm.ssh_connections()?, vm_state(&scenario.vm)?),
            before,
            "{name}"
        );
    }
    let service = scenario
        .kubectl()
        .get(&scenario.object("serviceentries", "ratings-ratings"))?;
    assert_eq!(service["spec"]["ports"][0]["number"], 9081);
    let sidecar = scenario
        .kubectl()
        .get(&scenario.object("sidecars", "ratings"))?;
    assert_eq!(sidecar["spec"]["egress"][0]["hosts"], json!(["*/*"]));
    let plan = terraform.plan(&[])?;
    assert!(plan.is_empty(), "{}", plan.text);
    Ok(())
}
