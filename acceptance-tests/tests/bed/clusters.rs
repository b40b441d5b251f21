//! Several clusters in one configuration: a control plane of its own for each alias of the provider.

use acceptance_tests::{Beside, Done, Scenario, Terraform};
use bed::{Bed, Vm};
use serde_json::{Value, json};

use crate::demo::call;

/// What `examples/two-clusters` must know of one of them.
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
fn two_clusters_in_one_configuration_each_get_their_vm() -> Done {
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
