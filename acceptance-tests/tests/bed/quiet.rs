//! Unchanged configurations are not applied again.

use acceptance_tests::{Done, Scenario, Terraform, listing};

use crate::{WORKLOAD, vm_state};

#[test]
fn after_an_apply_the_plan_is_empty_and_a_second_apply_only_reads() -> Done {
    let scenario = Scenario::begin("quiet")?;
    let terraform = Terraform::new(&scenario, "workload")?;
    terraform.apply()?;
    let applied = terraform.state(WORKLOAD)?;
    for flags in [&[][..], &["-refresh=false"]] {
        let plan = terraform.plan(flags)?;
        assert!(plan.is_empty(), "{flags:?}: {}", plan.text);
        assert!(plan.text.contains("No changes."), "{}", plan.text);
    }

    let vm = &scenario.vm;
    let before = (vm_state(vm)?, vm.ssh_connections()?, listing(vm)?);
    let second = terraform.apply()?;
    assert!(
        second.output.contains("0 added, 0 changed, 0 destroyed"),
        "{}",
        second.output
    );
    assert_eq!(
        vm_state(vm)?,
        before.0,
        "no run started and the proxy keeps running"
    );
    assert_eq!(listing(vm)?.since(&before.2), [""; 0]);
    assert_eq!(
        vm.ssh_connections()? - before.1,
        1,
        "the refresh looks once"
    );
    assert_eq!(terraform.state(WORKLOAD)?, applied);
    Ok(())
}

#[test]
fn a_plan_without_refresh_opens_no_connection() -> Done {
    let scenario = Scenario::begin("no-refresh")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    terraform.apply()?;
    let before = scenario.vm.ssh_connections()?;
    terraform.set(
        "labels",
        serde_json::json!({"app": "ratings", "version": "v2"}),
    )?;
    let plan = terraform.plan(&["-refresh=false"])?;
    assert_eq!(
        plan.change(WORKLOAD)["actions"],
        serde_json::json!(["update"])
    );
    assert_eq!(scenario.vm.ssh_connections()?, before);
    Ok(())
}
