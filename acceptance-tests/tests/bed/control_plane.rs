//! A control plane that is known by a name only, as behind a cloud's load balancer.

use acceptance_tests::workload::{Workload, fails};
use acceptance_tests::{Done, Scenario, Terraform, proxy};
use bed::CUSTOM_HOST;
use serde_json::json;

use crate::demo::{call_vm, can_call_pod};
use crate::failures::untouched;

/// The VM's name service knows the name, and not that of the cluster.
#[test]
fn a_control_plane_known_by_a_name_only_is_called_by_that() -> Done {
    let scenario = Scenario::begin("fqdn")?;
    let address = scenario.control_plane_address();
    let resolved = format!("echo {address} {CUSTOM_HOST} >>/etc/hosts");
    scenario.vm.shell(&resolved)?;
    // Once it has joined, its proxy answers for the cluster's names.
    let unknown = "getent hosts istiod.istio-system.svc || echo unknown";
    assert_eq!(scenario.vm.shell(unknown)?.trim(), "unknown");
    let vm = &scenario.vm;
    let (url, sha256) = scenario.package();
    let variables = json!({
        "kubeconfig": scenario.kubectl().kubeconfig(),
        "control_plane_name": CUSTOM_HOST,
        "namespace": scenario.namespace,
        "vm": { "address": vm.address, "host_key": vm.host_key },
        "user": vm.user,
        "private_key_path": vm.private_key_path,
        "package": { "url": url, "sha256": sha256 },
    });
    let terraform = Terraform::of_example(&scenario, "control-plane-by-name", variables)?;
    terraform.apply()?;
    assert!(terraform.plan(&[])?.is_empty());
    let hosts = scenario.vm.read("/etc/hosts")?;
    assert!(!hosts.contains("istio-system"), "{hosts}");
    let config = &proxy(&scenario.vm)?["metadata"]["PROXY_CONFIG"];
    let expected = format!("{CUSTOM_HOST}:15012");
    assert_eq!(config["discoveryAddress"], expected.as_str());
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    terraform.destroy()?;
    let hosts = scenario.vm.read("/etc/hosts")?;
    assert!(
        hosts.contains(&format!("{address} {CUSTOM_HOST}")),
        "{hosts}"
    );
    Ok(())
}

#[tokio::test]
async fn a_name_of_the_control_plane_that_the_vm_does_not_know_is_told_before_anything_changes()
-> Done {
    let scenario = Scenario::begin("nodns")?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["istio"] = json!({ "control_plane_address": "nowhere.example.com" });
    let told = workload.apply().await?;
    fails(
        &told,
        "vm-reverted",
        &["nowhere.example.com", "control_plane_address"],
    )?;
    untouched(&scenario, &workload)
}
