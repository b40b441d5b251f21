//! Failures, drift and Ctrl-C as users at a terminal see them.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use acceptance_tests::{Done, Failure, Scenario, Terraform, wait_for};
use serde_json::{Value, json};

use crate::WORKLOAD;

const DROP_IN: &str = "/etc/systemd/system/istio.service.d/test.conf";

/// A tainted resource would be destroyed and recreated, which needs the login that fails.
#[test]
fn a_failed_login_taints_nothing() -> Done {
    let scenario = Scenario::begin("taint")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    terraform.set("user", "nosudo")?;
    let refused = terraform.try_apply()?.failure()?;
    assert!(refused.contains("[ssh-sudo]"), "{refused}");
    assert_eq!(terraform.state(WORKLOAD)?, Value::Null);
    assert_eq!(scenario.objects()?, [""; 0]);
    terraform.set("user", "ubuntu")?;
    let plan = terraform.plan(&[])?;
    assert_eq!(plan.change(WORKLOAD)["actions"], json!(["create"]));
    terraform.apply_saved(&plan)?;
    assert!(terraform.plan(&[])?.is_empty());
    Ok(())
}

#[test]
fn drift_is_readable_in_the_plan_and_a_vm_that_is_off_causes_a_warning() -> Done {
    let scenario = Scenario::begin("people")?;
    let terraform = Terraform::new(&scenario, "workload")?;
    terraform.apply()?;
    let edit = json!({"spec": {"labels": {"version": "v9"}}});
    let namespace = &scenario.namespace;
    scenario
        .kubectl()
        .patch(namespace, "workloadentry/ratings", &edit, &[])?;
    scenario.vm.shell("sed -i \"s/^ISTIO_INBOUND_PORTS=.*/ISTIO_INBOUND_PORTS=9080/\" /var/lib/istio/envoy/cluster.env")?;
    let plan = terraform.plan(&[])?;
    for line in [
        format!("WorkloadEntry {namespace}/ratings: spec.labels.version is 'v9', should be 'v1'"),
        "/var/lib/istio/envoy/cluster.env: ISTIO_INBOUND_PORTS is '9080', should be '*'".to_owned(),
        "will be updated in-place".to_owned(),
    ] {
        assert!(plan.text.contains(&line), "{line} is not in {}", plan.text);
    }
    terraform.apply_saved(&plan)?;
    assert!(terraform.plan(&[])?.is_empty());

    scenario.vm.kill()?;
    let plan = terraform.plan(&[])?;
    assert!(
        plan.text.contains("Warning: The VM was not checked"),
        "{}",
        plan.text
    );
    assert!(plan.is_empty(), "{}", plan.text);
    Ok(())
}

/// A terminal also sends the signal to the plugin.
#[test]
fn ctrl_c_keeps_the_state_and_the_next_apply_converges() -> Done {
    let scenario = Scenario::begin("ctrl-c")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    terraform.apply()?;
    scenario
        .vm
        .write(DROP_IN, b"[Service]\nExecStartPre=/bin/sleep 8\n")?;
    terraform.set("labels", json!({"app": "ratings", "version": "v2"}))?;
    let mut apply = terraform.command(&["apply", "-input=false", "-auto-approve"]);
    let apply = apply
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let apply = apply.spawn()?;
    wait_for("the VM starts its proxy", || {
        let steps = scenario.vm.shell(
            "[ -e /var/lib/istio/mesh/run/end ] || tail -n 1 /var/lib/istio/mesh/run/steps",
        )?;
        Ok::<_, Failure>(steps == "start\n")
    })?;
    Command::new("kill")
        .args(["-INT", "--", &format!("-{}", apply.id())])
        .status()?;
    let output = apply.wait_with_output()?;
    let goes_on = scenario
        .vm
        .exec(&["test", "-e", "/var/lib/istio/mesh/run/end"])?;
    assert!(!goes_on.success(), "terraform waited for the VM");
    let text = [output.stdout, output.stderr].concat();
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&text)
    );
    assert_eq!(
        terraform.state(WORKLOAD)?["drift"]["vm"],
        json!(["the bootstrap was not finished"])
    );
    terraform.apply()?;
    assert!(terraform.plan(&[])?.is_empty());
    Ok(())
}
