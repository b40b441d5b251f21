//! A caller whose link is cut silently, so that the VM's side of the connection stays open.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use acceptance_tests::{Done, Failure, Scenario, Terraform, wait_for};
use bed::Machine;
use serde_json::json;

/// Delay that gives the test time to intervene before the VM requests its token.
const SLOW: &str = "hook() { [ \"$1\" != ask ] || sleep 3; }";
/// Drops all packets of sshd's connections.
const CUT: &str = r#"
ss -Hnt state established 'sport = :22' | sed 's/.*://' | while read -r port; do
  iptables -I INPUT -p tcp --dport 22 --sport "$port" -j DROP
  iptables -I OUTPUT -p tcp --sport 22 --dport "$port" -j DROP
done
iptables-save | grep -q -- '--dport 22 .*DROP'
"#;

/// Starts an apply, cuts the connection when the VM is about to request its token, and interrupts the apply.
fn cut_and_interrupted(vm: &Machine, terraform: &Terraform) -> Done {
    crate::steps::hooked(vm, SLOW)?;
    let mut apply = terraform
        .command(&["apply", "-input=false", "-auto-approve"])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait_for("the VM is about to ask", || {
        let at =
            "[ -e /var/lib/istio/mesh/run/end ] || tail -n 1 /var/lib/istio/mesh/run/steps; true";
        vm.shell(at).map(|step| step == "ask\n")
    })?;
    vm.shell(CUT)?;
    let group = format!("-{}", apply.id());
    Command::new("kill").args(["-INT", "--", &group]).status()?;
    let status = apply.wait()?;
    if status.success() {
        return Err(Failure::new("the apply was not interrupted"));
    }
    vm.write("/var/tmp/walk/hook", b"")?;
    Ok(())
}

/// The run waits for its token, for two minutes if it considers its caller alive.
#[test]
fn the_apply_after_a_silent_cut_does_not_wait_for_the_previous_run() -> Done {
    let scenario = Scenario::begin("silent")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    terraform.apply()?;
    terraform.set("labels", json!({"app": "ratings", "version": "v2"}))?;
    cut_and_interrupted(&scenario.vm, &terraform)?;
    terraform.apply()?;
    assert!(terraform.plan(&[])?.is_empty());
    terraform.set("labels", json!({"app": "ratings", "version": "v3"}))?;
    cut_and_interrupted(&scenario.vm, &terraform)?;
    terraform.destroy()?;
    assert_eq!(scenario.objects()?, [""; 0]);
    Ok(())
}
