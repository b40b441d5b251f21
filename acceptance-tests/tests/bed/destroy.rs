//! A destroy removes everything that the workload created, and nothing else.

use acceptance_tests::workload::{Workload, texts};
use acceptance_tests::{Done, Scenario, Terraform, listing};
use serde_json::json;

#[test]
fn a_destroyed_workload_leaves_the_vm_and_the_namespace_as_they_were() -> Done {
    let scenario = Scenario::begin("destroyed")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    let before = listing(&scenario.vm)?;
    terraform.apply()?;
    assert!(
        listing(&scenario.vm)?.since(&before).len() > 20,
        "the listing sees what a bootstrap brings"
    );
    // A second bootstrap must not mistake the first one's changes for the original state.
    terraform.set("labels", json!({"app": "ratings", "version": "v2"}))?;
    terraform.apply()?;
    terraform.destroy()?;
    assert_eq!(scenario.objects()?, [""; 0]);
    assert_eq!(listing(&scenario.vm)?.since(&before), [""; 0]);
    Ok(())
}

#[test]
fn objects_of_a_vm_that_is_off_are_deleted() -> Done {
    let scenario = Scenario::begin("off")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    terraform.set("timeouts", json!({"delete": "30s"}))?;
    terraform.apply()?;
    scenario.vm.kill()?;
    let run = terraform.destroy()?;
    assert!(
        run.words().contains("Warning: The VM was not cleaned"),
        "{}",
        run.output
    );
    assert_eq!(scenario.objects()?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_vm_that_is_kept_continues_to_run_and_is_not_contacted() -> Done {
    let scenario = Scenario::begin("kept")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    workload.config["on_destroy"] = json!("keep");
    assert_eq!(texts(&workload.apply().await?), "");
    let before = (
        crate::vm_state(&scenario.vm)?,
        scenario.vm.ssh_connections()?,
    );
    let reported = workload.destroy().await?;
    assert!(
        texts(&reported).contains("The VM is left as it is"),
        "{}",
        texts(&reported)
    );
    assert_eq!(scenario.objects()?, [""; 0]);
    assert_eq!(
        (
            crate::vm_state(&scenario.vm)?,
            scenario.vm.ssh_connections()?
        ),
        before
    );
    Ok(())
}
