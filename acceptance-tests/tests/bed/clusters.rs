//! Several clusters in one configuration, with a separate control plane for each alias of the provider.

use acceptance_tests::{Beside, Done, Scenario, Terraform};
use bed::{Bed, Vm};
use serde_json::{Value, json};

use crate::demo::call;

/// Variables of `examples/two-clusters` for one cluster.
fn cluster(bed: &Bed, namespace: &str, vm: &Vm) -> Value {
    let (url, sha256) = bed.package();
    json!({
        "kubeconfig": bed.kubectl().kubeconfig(),
        "control_plane_address": bed.control_plane_address(),
        "namespace": namespace,
        "vm": { "address": vm.address, "host_key": vm.host_key },
        "private_key_path": vm.private_key_path,
        "user": vm.user,
        "package": { "url": url, "sha256": sha256 },
    })
}

#[test]
fn two_clusters_in_one_configuration_have_a_vm_each() -> Done {
    let scenario = Scenario::begin("clusters")?;
    let other = Beside::up(&scenario, "second", 1, 1)?;
    let (far, namespace) = (&other.vms[0], "bookinfo");
    far.shell("systemctl start ratings")?;
    let variables = json!({
        "east": cluster(&scenario, &scenario.namespace, &scenario.vm),
        "west": cluster(&other, namespace, far),
    });
    let terraform = Terraform::of_example(&scenario, "two-clusters", variables)?;
    terraform.apply()?;
    assert!(terraform.plan(&[])?.is_empty());

    let sides: [(&Bed, &str); 2] = [(&scenario, &scenario.namespace), (&other, namespace)];
    for (bed, namespace) in sides {
        let pod = &bed.pods[0];
        let url = format!("http://ratings.vm.{namespace}:9080/ratings/7");
        let id = format!("spiffe://cluster.local/ns/{namespace}/sa/bookinfo-ratings");
        call(pod, &url, &pod.spiffe_id(), &id)?;
    }
    a_changed_mesh_is_a_reason(&other, &terraform)?;
    let entries = |bed: &Bed, namespace: &str| {
        let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/workloadentries");
        bed.kubectl()
            .get(&path)
            .map(|list| list["items"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(entries(&other, namespace)?, 1);
    terraform.destroy()?;
    assert_eq!(entries(&other, namespace)?, 0);
    assert_eq!(scenario.objects()?, [""; 0]);
    Ok(())
}

/// The VM's files contain facts of the mesh, so a changed fact re-bootstraps this VM.
fn a_changed_mesh_is_a_reason(of: &Bed, terraform: &Terraform) -> Done {
    let values = json!({ "global": { "multiCluster": { "clusterName": "renamed" } } });
    let patch = json!({ "data": { "values": values.to_string() } });
    let object = "configmap/istio-sidecar-injector";
    let kubectl = of.kubectl();
    let before =
        kubectl.get("/api/v1/namespaces/istio-system/configmaps/istio-sidecar-injector")?;
    kubectl.patch("istio-system", object, &patch, &[])?;
    let plan = terraform.plan(&[])?;
    assert_eq!(
        plan.change("mesh_vm_workload.east")["actions"],
        json!(["no-op"])
    );
    let change = plan.change("mesh_vm_workload.west");
    assert_eq!(change["actions"], json!(["update"]));
    let reasons = change["after"]["last_bootstrap_reasons"].to_string();
    let renamed = "mesh: /etc/istio/config/mesh: defaultConfig.proxyMetadata.ISTIO_META_CLUSTER_ID is 'Kubernetes', should be 'renamed'";
    assert!(reasons.contains(renamed), "{reasons}");
    let back = json!({ "data": before["data"] });
    kubectl.patch("istio-system", object, &back, &[])?;
    assert!(terraform.plan(&[])?.is_empty());
    Ok(())
}
