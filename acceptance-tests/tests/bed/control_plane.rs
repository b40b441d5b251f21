//! A control plane without a known IP address, as behind a cloud's load balancer.

use acceptance_tests::workload::{Workload, fails};
use acceptance_tests::{Done, Scenario, Terraform, proxy};
use bed::CUSTOM_HOST;
use serde_json::{Value as Json, json};

use crate::demo::{call_vm, can_call_pod};
use crate::failures::{clean, untouched};
use crate::steps::hooked;

/// The VM can resolve the name, but not the cluster's own name.
#[test]
fn a_control_plane_without_an_ip_address_is_reached_by_name() -> Done {
    let scenario = Scenario::begin("fqdn")?;
    let address = scenario.control_plane_address();
    let resolved = format!("echo {address} {CUSTOM_HOST} >>/etc/hosts");
    scenario.vm.shell(&resolved)?;
    // Once it has joined, its proxy answers queries for the cluster's names.
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

/// First the name of a load balancer that istiod does not know; then istiod's own name, which the VM can resolve.
#[tokio::test]
async fn a_name_that_is_not_in_istiods_certificate_is_used_and_the_certificate_verified() -> Done {
    let scenario = Scenario::begin("san")?;
    let (vm, address) = (&scenario.vm, scenario.control_plane_address());
    let own = "istiod.istio-system.svc";
    vm.shell(&format!("echo {address} lb.example.com >>/etc/hosts"))?;
    hooked(vm, "hook() { : >/var/tmp/walk/begun; }")?;
    // A bootstrap starts once the objects are written.
    let begun = "[ -e /var/tmp/walk/begun ] || echo no";
    let mut workload = Workload::new(&scenario)?;
    for (san, wrong) in [
        (Json::Null, "lb.example.com"),
        (json!("istiod.elsewhere.svc"), "istiod.elsewhere.svc"),
    ] {
        workload.block["istio"] =
            json!({ "control_plane_address": "lb.example.com", "control_plane_san": san });
        let words = [wrong, "ISTIOD_CUSTOM_HOST", "istio.control_plane_san"];
        fails(&workload.apply().await?, "vm-reverted", &words)?;
        untouched(&scenario, &workload)?;
        assert_eq!(vm.shell(begun)?, "no\n", "a bootstrap had begun");
    }
    workload.block["istio"]["control_plane_san"] = json!(own);
    workload.converge().await?;
    let calls =
        || proxy(vm).map(|proxy| proxy["metadata"]["PROXY_CONFIG"]["discoveryAddress"].clone());
    assert_eq!(calls()?, "lb.example.com:15012");
    let environment =
        "tr '\\0' '\\n' </proc/$(pgrep -xo pilot-agent)/environ | grep -E '^(CA_ADDR|ISTIOD_SAN)='";
    assert_eq!(vm.shell(environment)?, format!("ISTIOD_SAN={own}\n"));
    assert!(!vm.read("/etc/hosts")?.contains(own));
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;

    // Certificates are not requested through the current proxy.
    vm.shell("rm /var/tmp/walk/begun")?;
    workload.block["istio"]["control_plane_san"] = json!("istiod.elsewhere.svc");
    let words = ["istiod.elsewhere.svc", "istio.control_plane_san"];
    fails(&workload.apply().await?, "vm-reverted", &words)?;
    assert_eq!(vm.shell(begun)?, "no\n", "a bootstrap had begun");
    call_vm(&scenario)?;

    vm.shell(&format!("echo {address} {own} >>/etc/hosts"))?;
    workload.block["istio"] = json!({ "control_plane_address": own });
    workload.converge().await?;
    assert_eq!(calls()?, format!("{own}:15012").as_str());
    assert!(!vm.read("/etc/hosts")?.contains("mesh-vm"));
    call_vm(&scenario)?;
    workload.destroy().await?;
    assert!(clean(&scenario)?, "the VM was not cleaned");
    Ok(())
}

#[tokio::test]
async fn a_name_of_the_control_plane_that_the_vm_cannot_resolve_is_reported_before_anything_changes()
-> Done {
    let scenario = Scenario::begin("nodns")?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["istio"] = json!({ "control_plane_address": "nowhere.example.com" });
    let reported = workload.apply().await?;
    fails(
        &reported,
        "vm-reverted",
        &["nowhere.example.com", "control_plane_address"],
    )?;
    untouched(&scenario, &workload)
}
