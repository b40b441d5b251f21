//! VMs that Terraform does not reach: they are bootstrapped from an archive.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use acceptance_tests::workload::{NAME, Workload, fails};
use acceptance_tests::{Done, Failure, Result, Scenario, wait_for};
use bed::Machine;
use contract::{Action, Value};
use serde_json::json;
use tempfile::TempDir;

use crate::demo::{call_vm, can_call_pod};

/// Copies the archive to the VM, unpacks it there and runs it.
fn install(vm: &Machine, archive: &Path, words: &str) -> Result<String> {
    vm.write("/root/mesh.tar.gz", &fs::read(archive)?)?;
    let script = format!(
        "cd /root && rm -rf mesh && mkdir -m 0700 mesh && tar -xzf mesh.tar.gz -C mesh && sh mesh/install.sh {words} 2>&1"
    );
    Ok(vm.shell(&script)?)
}

/// Returns true if istiod has a connection to the workload's proxy.
pub(crate) fn is_connected(
    scenario: &Scenario,
    name: &str,
) -> std::result::Result<bool, bed::Error> {
    let entry = scenario
        .kubectl()
        .get(&scenario.object("workloadentries", name))?;
    let notes = &entry["metadata"]["annotations"];
    Ok(notes["istio.io/connectedAt"].is_string() && notes["istio.io/disconnectedAt"].is_null())
}

#[tokio::test]
async fn a_vm_without_ssh_joins_and_leaves_with_an_archive() -> Done {
    let scenario = Scenario::begin("offload")?;
    let vm = &scenario.vm;
    vm.shell("systemctl disable --now ssh.service ssh.socket 2>/dev/null; ! ss -Hltn sport = :22 | grep .")?;
    let before = vm.shell(LISTING)?;
    let folder = TempDir::new()?;
    let archive = folder.path().join("out/ratings.tar.gz");
    let mut workload = Workload::new(&scenario)?;
    workload.config["ssh"] = json!(null);
    workload.config["bundle"] = json!({ "path": archive, "token_version": 1 });
    // A health check keeps traffic away until the VM has joined.
    workload.config["health_check"] = json!({ "tcp": { "port": 9080 }, "period_seconds": 1 });
    is_written(&scenario, &mut workload, &archive).await?;

    let said = install(vm, &archive, "")?;
    assert!(said.starts_with("  check\n"), "no warning: {said}");
    let end = "  ready\nthis machine is a member of the mesh\n";
    assert!(said.ends_with(end), "{said}");
    wait_for("istiod reports the proxy", || is_connected(&scenario, NAME))?;
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    let left = vm.shell("cd /root/mesh && ls")?;
    assert_eq!(left, "install.sh\njoin.data\nleave.data\nmesh-vm.sh\n");
    is_written_anew(&mut workload, &archive).await?;
    install(vm, &archive, "join 1")?;
    let labels = vm.read("/var/lib/istio/envoy/cluster.env")?;
    assert!(labels.contains(r#""version":"v2""#), "{labels}");
    call_vm(&scenario)?;

    let reported =
        vm.shell("cp -r /root/mesh /root/kept && sh /root/kept/install.sh remove 2>&1")?;
    assert!(reported.contains("out of the mesh"), "{reported}");
    vm.shell("rm -rf /root/mesh* /root/kept")?;
    assert_eq!(vm.shell(LISTING)?, before);
    workload.destroy().await?;
    assert_eq!(scenario.objects()?, Vec::<String>::new());
    Ok(())
}

/// Checks that it is readable only by its owner and contains a token that is not in the state. Nothing else is left.
async fn is_written(scenario: &Scenario, workload: &mut Workload, archive: &Path) -> Done {
    let parent = archive.parent().unwrap_or(archive);
    fs::write(parent, "in the way")?;
    let reported = workload.apply().await?;
    fails(&reported, "archive-not-written", &["out/ratings.tar.gz"])?;
    assert!(workload.state.is_none() && scenario.objects()?.is_empty());
    fs::remove_file(parent)?;
    workload.converge().await?;
    assert_eq!(fs::metadata(archive)?.permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(unpacked(archive)?.path().join("token"))?;
    let state = format!("{:?}", workload.state);
    assert!(token.starts_with("eyJhbGci"));
    assert!(!state.contains(&token) && !state.contains("eyJhbGci"));
    Ok(())
}

/// Checks that it is rewritten for another label and at another path. A deleted archive is not recreated.
async fn is_written_anew(workload: &mut Workload, archive: &Path) -> Done {
    let (old, digest) = (fs::read(archive)?, text(workload, "bundle_digest"));
    let other = archive.with_file_name("other.tar.gz");
    workload.config["bundle"]["path"] = json!(other);
    workload.converge().await?;
    assert!(other.exists() && !archive.exists());
    fs::remove_file(&other)?;
    workload.refresh().await?;
    assert_eq!(workload.plan().await?.action, Action::NoOp);
    workload.config["bundle"]["path"] = json!(archive);
    workload.config["labels"]["version"] = json!("v2");
    workload.converge().await?;
    let reasons = text(workload, "last_bootstrap_reasons");
    assert!(reasons.contains("labels.version: v1 -> v2"), "{reasons}");
    assert_ne!(old, fs::read(archive)?);
    assert_ne!(digest, text(workload, "bundle_digest"));
    Ok(())
}

/// Files that only a member of the mesh has.
const LISTING: &str = "ls -A /root /etc /etc/systemd/system /var/lib /usr/local/bin; iptables-save | grep '^-'; cat /etc/hosts";

fn text(workload: &Workload, name: &str) -> String {
    match workload.state.as_ref().map(|state| &state.value[name]) {
        Some(Value::String(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn unpacked(archive: &Path) -> Result<TempDir> {
    let folder = TempDir::new()?;
    let tar = std::process::Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(folder.path())
        .status()?;
    if tar.success() {
        Ok(folder)
    } else {
        Err(Failure::new("tar cannot read the archive"))
    }
}
