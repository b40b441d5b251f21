//! Failures are reported with hop, cause and next step, partial changes are visible, and the next apply converges.

use std::process::Command;

use acceptance_tests::workload::{NAME, Workload, fails, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use contract::Action;
use serde_json::{Value as Json, json};

use crate::steps::hooked;

/// A drop-in of the unit that Istio's package brings.
const DROP_IN: &str = "/etc/systemd/system/istio.service.d/test.conf";

#[tokio::test]
async fn a_failed_login_leaves_no_state_and_writes_nothing() -> Done {
    let scenario = Scenario::begin("login")?;
    let other_host = scenario.vms.iter().find(|vm| vm.name != scenario.vm.name);
    let other_host = other_host.ok_or_else(|| Failure::new("the bed needs two VMs"))?;
    let cases = [
        (
            "/config/ssh/user",
            json!("nobody-here"),
            "ssh-auth",
            "ssh.user",
        ),
        (
            "/block/ssh/identities/bed/private_key",
            json!(new_key()?),
            "ssh-auth",
            "offered: ED25519",
        ),
        ("/config/ssh/user", json!("nosudo"), "ssh-sudo", "NOPASSWD"),
        (
            "/config/ssh/host_key",
            json!(other_host.host_key),
            "ssh-host-key",
            "Nothing was sent",
        ),
    ];
    for (at, wrong, code, word) in cases {
        let mut workload = Workload::new(&scenario)?;
        // Rejected logins are retried, because a new VM may still be creating its users.
        workload.config["timeouts"]["create"] = json!("12s");
        set(&mut workload, at, wrong);
        let reported = workload.apply().await?;
        fails(&reported, code, &[word, &scenario.vm.address.to_string()])?;
        untouched(&scenario, &workload)?;
    }
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await
}

#[tokio::test]
async fn a_create_that_fails_before_the_first_change_on_the_vm_leaves_nothing() -> Done {
    let scenario = Scenario::begin("refused")?;
    let no_package = format!("http://{}:8000/none.deb", scenario.control_plane_address());
    let cases = [
        (
            "/config/proxy/install/url",
            json!(no_package),
            "vm-reverted",
            vec!["404", "proxy.install"],
        ),
        (
            "/config/proxy/install/sha256",
            json!("0".repeat(64)),
            "vm-reverted",
            vec!["SHA-256", "0000", "proxy.install"],
        ),
        (
            "/config/service_account",
            json!("nobody"),
            "service-account-exists",
            vec!["nobody", "Create it"],
        ),
    ];
    for (at, wrong, code, words) in cases {
        let mut workload = Workload::new(&scenario)?;
        set(&mut workload, at, wrong);
        fails(&workload.apply().await?, code, &words)?;
        untouched(&scenario, &workload)?;
    }
    checked(&scenario).await?;
    Workload::new(&scenario)?.converge().await
}

/// Applies to a machine with problems that the checks find.
async fn checked(scenario: &Scenario) -> Done {
    let taken = "s = __import__('socket').socket(); s.bind(('127.0.0.1', 15021)); s.listen(); __import__('time').sleep(900)";
    let taken = format!("systemd-run --quiet --unit=taken python3 -c \"{taken}\"");
    // The VMs share their host's clock, so the measured value is shifted.
    let late = "hook() { [ \"$1\" != check ] || touch -d '2 days' \"$run_dir/in/now\"; }";
    hooked(&scenario.vm, "")?;
    let late = format!("cat >/var/tmp/walk/hook <<'EOF'\n{late}\nEOF");
    let wall = "OUTPUT -p tcp --dport 15012 -j REJECT --reject-with tcp-reset";
    let (up, down) = (format!("iptables -A {wall}"), format!("iptables -D {wall}"));
    let cases = [
        (
            taken.as_str(),
            "systemctl stop taken",
            ["taken: 15021", "that listens on them"],
        ),
        (&up, &down, ["the control plane", "port 15012"]),
        (
            &late,
            ": >/var/tmp/walk/hook",
            ["seconds from the provider's clock", "Synchronize"],
        ),
    ];
    for (wrong, right, words) in cases {
        scenario.vm.shell(wrong)?;
        let mut workload = Workload::new(scenario)?;
        let reported = workload.apply().await?;
        fails(&reported, "vm-reverted", &["The step \"check\" failed"])?;
        fails(&reported, "vm-reverted", &words)?;
        untouched(scenario, &workload)?;
        scenario.vm.shell(right)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_bootstrap_that_fails_halfway_is_drift_until_an_apply_completes_it() -> Done {
    let scenario = Scenario::begin("half-way")?;
    let mut workload = Workload::new(&scenario)?;
    scenario
        .vm
        .write(DROP_IN, b"[Service]\nExecStartPre=/bin/false\n")?;
    fails(
        &workload.apply().await?,
        "vm-reverted",
        &["The step \"start\" failed", "the VM is as it was before"],
    )?;
    assert_eq!(workload.drift("vm"), ["the bootstrap was not finished"]);
    assert!(clean(&scenario)?, "the VM was not taken back");
    scenario
        .vm
        .shell("rm -r /etc/systemd/system/istio.service.d")?;
    assert_eq!(workload.plan().await?.action, Action::Replace);
    workload.converge().await
}

/// The old proxy keeps running with the old entry, and the next plan has the same change.
#[tokio::test]
async fn a_proxy_that_does_not_become_ready_is_replaced_by_the_previous_one() -> Done {
    let scenario = Scenario::begin("not-ready")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    scenario.vm.write(DROP_IN, b"[Service]\nExecStart=\nExecStart=/bin/sh -c 'grep -q v2 /var/lib/istio/envoy/cluster.env && exec sleep 600; exec /usr/local/bin/istio-start.sh'\n")?;
    assert_eq!(texts(&workload.refresh().await?), "");
    assert_eq!(
        workload.drift("vm"),
        [format!("proxy: {DROP_IN} is not as the bootstrap left it")]
    );
    let before = workload.state.clone();
    workload.config["labels"]["version"] = json!("v2");
    workload.config["timeouts"]["update"] = json!("4m");
    let reverted = workload.apply().await?;
    fails(
        &reverted,
        "vm-reverted",
        &["The step \"ready\" failed", "the VM is as it was before"],
    )?;
    assert_eq!(workload.state, before);
    let entry = scenario
        .kubectl()
        .get(&scenario.object("workloadentries", NAME))?;
    assert_eq!(entry["spec"]["labels"]["version"], "v1");
    assert_eq!(
        entry["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"],
        "false"
    );
    crate::ready(&scenario.vm)?;
    scenario.vm.shell(&format!("rm {DROP_IN}"))?;
    workload.converge().await
}

#[tokio::test]
async fn a_destroy_without_a_credential_deletes_nothing() -> Done {
    let scenario = Scenario::begin("destroy-key")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let good = workload.block.clone();
    workload.block["ssh"] = json!({"user": scenario.vm.user, "agent": false});
    workload.config["timeouts"]["delete"] = json!("20s");
    let reported = workload.destroy().await?;
    let [refused, blocked] = &reported[..] else {
        return Err(Failure::new(texts(&reported)));
    };
    holds(refused, "ssh-auth", &["offered: nothing"])?;
    holds(
        blocked,
        "destroy-blocked",
        &["credential", "on_destroy", "terraform state rm"],
    )?;
    assert!(workload.state.is_some());
    assert_eq!(scenario.objects()?.len(), 3);
    workload.block = good;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(scenario.objects()?, [""; 0]);
    assert!(clean(&scenario)?);
    Ok(())
}

/// Sets a value of the workload, by a JSON pointer that begins with `/config` or `/block`.
pub(crate) fn set(workload: &mut Workload, at: &str, value: Json) {
    let mut both = json!({"config": workload.config, "block": workload.block});
    let (above, name) = at.rsplit_once('/').unwrap_or_default();
    if let Some(place) = both.pointer_mut(above) {
        place[name] = value;
    }
    (workload.config, workload.block) = (both["config"].take(), both["block"].take());
}

pub(crate) fn untouched(scenario: &Scenario, workload: &Workload) -> Done {
    assert!(workload.state.is_none(), "{:?}", workload.state);
    assert_eq!(scenario.objects()?, [""; 0]);
    assert!(clean(scenario)?, "the VM was touched");
    Ok(())
}

/// Returns true if nothing of the provider survives a reboot of the VM.
pub(crate) fn clean(scenario: &Scenario) -> Result<bool> {
    let look = "find /var/lib/istio /etc/istio /etc/certs /var/run/secrets 2>/dev/null; grep mesh-vm /etc/hosts; id -u istio-proxy 2>/dev/null; true";
    let left = scenario.vm.shell(look)?;
    // Shown by a failed scenario.
    eprint!("{left}");
    Ok(left.is_empty())
}

fn new_key() -> Result<String> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("key");
    Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .status()?;
    Ok(std::fs::read_to_string(path)?)
}
