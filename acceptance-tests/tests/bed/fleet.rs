//! Several VMs behind one name: shared objects and the distribution of requests.

use std::collections::BTreeMap;

use acceptance_tests::workload::{FLEET, NAME, Workload, fails, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, Terraform, wait_for};
use bed::Vm;
use contract::Severity;
use serde_json::{Value, json};

use crate::vm_state;

/// Number of requests whose distribution is counted.
const CALLS: usize = 300;

/// Returns the example's variable `vms` for the scenario's VMs, with version, weight and locality of each.
fn vms(scenario: &Scenario, each: &[(&str, u32, &str)]) -> Value {
    let machines = std::iter::once(&scenario.vm).chain(&scenario.more);
    let vms = machines.zip(each).enumerate().map(|(number, (vm, (version, weight, locality)))| {
        let of = json!({"address": vm.address, "host_key": vm.host_key, "version": version, "weight": weight, "locality": locality});
        (format!("ratings-vm-{number}"), of)
    });
    Value::Object(vms.collect())
}

/// Returns `examples/fleet` with these VMs.
fn example(scenario: &Scenario, vms: &Value) -> Result<Terraform> {
    let (url, sha256) = scenario.package();
    let variables = json!({
        "kubeconfig": scenario.kubectl().kubeconfig(),
        "control_plane_address": scenario.control_plane_address(),
        "namespace": scenario.namespace,
        "user": scenario.vm.user,
        "private_key_path": scenario.vm.private_key_path,
        "package": {"url": url, "sha256": sha256},
        "vms": vms,
    });
    Terraform::of_example(scenario, "fleet", variables)
}

/// Sends requests to the fleet's name from the pod, and counts the responses of each machine.
fn answers(scenario: &Scenario) -> Result<BTreeMap<String, usize>> {
    let url = format!(
        "http://ratings.vm.{}:9080/ratings/[1-{CALLS}]",
        scenario.namespace
    );
    let script = format!("curl --silent --max-time 60 '{url}'");
    let mut counts = BTreeMap::new();
    for line in scenario.pods[0].shell(&script)?.lines() {
        let reported: String = line.chars().take(120).collect();
        let answer: Value = serde_json::from_str(line).map_err(|_| Failure::new(reported))?;
        let host = answer["host"].as_str().unwrap_or_default().to_owned();
        *counts.entry(host).or_default() += 1;
    }
    Ok(counts)
}

/// Waits until the pod's proxy distributes all requests so that `holds` returns true.
fn shared(scenario: &Scenario, holds: impl Fn(usize, usize) -> bool) -> Done {
    let name = |vm: &Vm| vm.shell("hostname").map(|name| name.trim().to_owned());
    let (first, second) = (name(&scenario.vm)?, name(&scenario.more[0])?);
    wait_for("the calls are shared out", || {
        let counts = answers(scenario)?;
        let of = |name: &str| counts.get(name).copied().unwrap_or_default();
        let (one, two) = (of(&first), of(&second));
        if one + two == CALLS && holds(one, two) {
            Ok(true)
        } else {
            Err(Failure::new(format!("{counts:?}")))
        }
    })
}

fn versions(scenario: &Scenario) -> Result<Vec<String>> {
    let objects = [
        ("serviceentries", format!("{FLEET}-ratings")),
        ("sidecars", FLEET.to_owned()),
    ];
    let version = |(plural, name): &(&str, String)| -> Result<String> {
        let object = scenario.kubectl().get(&scenario.object(plural, name))?;
        Ok(object["metadata"]["resourceVersion"].to_string())
    };
    objects.iter().map(version).collect()
}

#[test]
fn a_canary_gets_the_share_of_its_weight() -> Done {
    let scenario = Scenario::begin_with("fleet", 2)?;
    let both =
        |one: u32, two: u32, at: &str| vms(&scenario, &[("v1", one, "eu/a"), ("v2", two, at)]);
    let mut terraform = example(&scenario, &both(90, 10, "eu/a"))?;
    terraform.apply()?;
    // 270 of 300 are expected; a half would be 150.
    shared(&scenario, |one, two| one > 3 * two && two > 0)?;
    let plan = terraform.plan(&[])?;
    assert!(plan.is_empty(), "{}", plan.text);

    // The canary is promoted without touching its VM.
    terraform.set("vms", both(10, 90, "eu/a"))?;
    let plan = terraform.plan(&[])?;
    let state = || -> Result<_> {
        let vm = &scenario.vm;
        Ok((versions(&scenario)?, vm.ssh_connections()?, vm_state(vm)?))
    };
    let before = state()?;
    terraform.apply_saved(&plan)?;
    assert_eq!(state()?, before);
    shared(&scenario, |one, two| two > 3 * one && one > 0)?;

    locality(&scenario, &mut terraform, &both(50, 50, "eu/b"))
}

/// A `DestinationRule` of the user selects the locality.
fn locality(scenario: &Scenario, terraform: &mut Terraform, vms: &Value) -> Done {
    terraform.set("vms", vms.clone())?;
    terraform.apply()?;
    shared(scenario, |one, two| one > 0 && two > 0)?;
    let rule = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"namespace": scenario.namespace, "name": "ratings"},
        "spec": {"host": format!("ratings.vm.{}", scenario.namespace), "trafficPolicy": {"loadBalancer": {
            "localityLbSetting": {"distribute": [{"from": "*", "to": {"eu/b/*": 100}}]}}}},
    });
    scenario.kubectl().apply(&rule)?;
    let done = shared(scenario, |one, two| one == 0 && two == CALLS);
    scenario
        .kubectl()
        .delete(&scenario.namespace, "destinationrule/ratings")?;
    done
}

#[test]
fn adding_or_removing_a_vm_does_not_change_the_others() -> Done {
    let scenario = Scenario::begin_with("fleet-members", 2)?;
    let (one, two) = ([("v1", 1, "eu/a")], [("v1", 1, "eu/a"), ("v2", 1, "eu/a")]);
    let (one, two) = (vms(&scenario, &one), vms(&scenario, &two));
    let mut terraform = example(&scenario, &one)?;
    terraform.apply()?;
    let entry = scenario.object("workloadentries", "ratings-vm-0");
    let state = || -> Result<_> {
        let vm = &scenario.vm;
        let entry = scenario.kubectl().get(&entry)?["spec"].clone();
        Ok((
            versions(&scenario)?,
            entry,
            vm.ssh_connections()?,
            vm_state(vm)?,
        ))
    };
    for (vms, there) in [(&two, 2), (&one, 1)] {
        terraform.set("vms", vms.clone())?;
        let plan = terraform.plan(&[])?;
        let before = state()?;
        terraform.apply_saved(&plan)?;
        assert_eq!(state()?, before, "with {there} VMs");
        shared(&scenario, |_, two| (two > 0) == (there == 2))?;
    }
    terraform.destroy()?;
    assert_eq!(scenario.objects()?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn manual_changes_of_a_fleet_are_reported_and_repaired() -> Done {
    let scenario = Scenario::begin("fleet-drift")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.config["group"] =
        json!({"labels": {"app": "ratings"}, "service_account": "bookinfo-ratings"});
    fleet.converge().await?;
    let more = json!({"spec": {"workloadSelector": {"labels": {"app": "ratings"}}}});
    kubectl.patch(
        namespace,
        &format!("serviceentry/{FLEET}-ratings"),
        &more,
        &[],
    )?;
    kubectl.delete(namespace, &format!("workloadgroup/{FLEET}"))?;
    fleet.refresh().await?;
    assert_eq!(
        fleet.drift("objects"),
        [
            format!(
                "ServiceEntry {namespace}/{FLEET}-ratings: spec.workloadSelector.labels.app is 'ratings', should not be there"
            ),
            format!("WorkloadGroup {namespace}/{FLEET} is missing"),
        ]
    );
    fleet.converge().await?;

    // Removing it from the configuration removes it from the cluster.
    fleet.config["sidecar"] = Value::Null;
    fleet.config["group"] = Value::Null;
    fleet.converge().await?;
    assert_eq!(
        scenario.objects()?,
        [format!("ServiceEntry/{FLEET}-ratings")]
    );
    kubectl.delete(namespace, &format!("serviceentry/{FLEET}-ratings"))?;
    fleet.refresh().await?;
    assert!(fleet.state.is_none(), "nothing is left of it");
    Ok(())
}

#[tokio::test]
async fn a_fleet_is_imported_by_id_and_by_identity_and_not_created_twice() -> Done {
    let scenario = Scenario::begin("fleet-import")?;
    let mut fleet = Workload::fleet(&scenario)?;
    let check = json!({"http": {"port": 9080, "path": "/health"}, "period_seconds": 5});
    fleet.config["group"] =
        json!({"labels": {"app": "ratings"}, "weight": 3, "health_check": check});
    fleet.converge().await?;
    let id = format!("{}/{FLEET}", scenario.namespace);
    fleet.state = None;
    fails(
        &fleet.apply().await?,
        "fleet-exists",
        &["terraform import", &id],
    )?;

    let identity = json!({"namespace": scenario.namespace, "name": FLEET});
    for by_identity in [false, true] {
        fleet.state = None;
        let reported = if by_identity {
            fleet.import_identity(&identity).await?
        } else {
            fleet.import(&id).await?
        };
        assert!(reported.is_empty(), "{}", texts(&reported));
        fleet.refresh().await?;
        assert_eq!(fleet.plan().await?.action, contract::Action::NoOp);
    }
    let nothing = format!("{}/other", scenario.namespace);
    fails(
        &fleet.import(&nothing).await?,
        "import-missing",
        &[&nothing],
    )
}

#[tokio::test]
async fn a_manually_created_fleet_is_destroyed_or_adopted() -> Done {
    let scenario = Scenario::begin("fleet-adopt")?;
    let mut fleet = Workload::fleet(&scenario)?;
    let by_hand = json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"namespace": scenario.namespace, "name": format!("{FLEET}-ratings")},
        "spec": {"hosts": [format!("ratings.vm.{}", scenario.namespace)], "location": "MESH_INTERNAL",
            "resolution": "STATIC", "ports": [{"name": "http", "number": 9080, "protocol": "HTTP"}],
            "addresses": ["240.240.7.7"], "workloadSelector": {"labels": {"app": "ratings"}}}});
    // As printed by `istioctl x workload group create`, with labels in both possible places.
    let group = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup",
        "metadata": {"namespace": scenario.namespace, "name": FLEET},
        "spec": {"metadata": {"labels": {"app": "ratings"}},
            "template": {"serviceAccount": "bookinfo-ratings", "labels": {"tier": "backend"}}}});
    let create = || {
        let both = json!({"apiVersion": "v1", "kind": "List", "items": [by_hand, group]});
        let kubectl = scenario.kubectl();
        kubectl.call(&["create", "-f", "-"], both.to_string().as_bytes())
    };
    create()?;
    fleet.config["group"] =
        json!({"labels": {"app": "ratings"}, "service_account": "bookinfo-ratings"});
    let id = format!("{}/{FLEET}", scenario.namespace);
    let reported = fleet.import(&id).await?;
    assert!(reported.is_empty(), "{}", texts(&reported));
    fleet.refresh().await?;
    let reported = fleet.destroy().await?;
    assert!(reported.is_empty(), "{}", texts(&reported));
    assert_eq!(scenario.objects()?, [""; 0], "a destroy needs no apply");

    create()?;
    fleet.import(&id).await?;
    fleet.converge().await?;
    let path = scenario.object("serviceentries", &format!("{FLEET}-ratings"));
    let spec = scenario.kubectl().get(&path)?["spec"].clone();
    assert_eq!(
        spec["workloadSelector"]["labels"],
        json!({"mesh.vm/fleet": FLEET})
    );
    assert_eq!(
        spec["addresses"],
        Value::Null,
        "the plan showed it as removed"
    );
    let path = scenario.object("workloadgroups", FLEET);
    let spec = scenario.kubectl().get(&path)?["spec"].clone();
    assert_eq!(
        spec["template"],
        json!({"serviceAccount": "bookinfo-ratings"})
    );
    let labels = json!({"app": "ratings", "mesh.vm/fleet": FLEET});
    assert_eq!(spec["metadata"]["labels"], labels);
    Ok(())
}

#[tokio::test]
async fn a_member_of_a_missing_or_unsuitable_fleet_is_rejected_before_anything_is_written() -> Done
{
    let scenario = Scenario::begin("fleet-missing")?;
    let mut member = Workload::new(&scenario)?.member();
    let before = scenario.vm.ssh_connections()?;
    let id = format!("{}/{FLEET}", scenario.namespace);
    fails(&member.apply().await?, "fleet-missing", &[&id])?;
    assert_eq!(scenario.objects()?, [""; 0]);
    // A member whose application would be unreachable is rejected as well.
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.converge().await?;
    member.config["proxy"]["interception"] = json!("tproxy");
    fails(
        &member.apply().await?,
        "fleet-loopback",
        &[&id, "forwards to 127.0.0.1"],
    )?;
    assert_eq!(scenario.vm.ssh_connections()?, before);
    assert_eq!(texts(&fleet.destroy().await?), "");
    Ok(())
}

#[tokio::test]
async fn a_fleet_that_is_destroyed_before_its_members_lists_them() -> Done {
    let scenario = Scenario::begin("fleet-destroy")?;
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.converge().await?;
    let mut member = Workload::new(&scenario)?.member();
    member.config["ssh"] = Value::Null;
    member.config["objects_only"] = json!(true);
    member.converge().await?;
    let reported = fleet.destroy().await?;
    let [warning] = reported.as_slice() else {
        return Err(Failure::new(texts(&reported)));
    };
    assert_eq!(warning.severity, Severity::Warning);
    let left = format!("{}/{NAME}", scenario.namespace);
    holds(warning, "fleet-members", &[&left])?;
    assert_eq!(scenario.objects()?, [format!("WorkloadEntry/{NAME}")]);
    Ok(())
}

/// Lets the proxy of a VM that is no longer a managed workload register itself with the fleet's group.
const REGISTER: &str = "
set -e
env=/var/lib/istio/envoy/cluster.env
sed -i '/^ISTIO_META_WORKLOAD_ENTRY=/d; /^POD_NAME=/d' $env
sed -i '/\"ISTIO_META_WORKLOAD_ENTRY\":/d; /\"POD_NAME\":/d' /etc/istio/config/mesh
echo ISTIO_META_AUTO_REGISTER_GROUP=ratings >> $env
systemctl restart istio
";

#[tokio::test]
async fn a_vm_that_registers_itself_is_a_member_but_not_managed() -> Done {
    let scenario = Scenario::begin("fleet-registered")?;
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.config["group"] =
        json!({"labels": {"app": "ratings"}, "service_account": "bookinfo-ratings"});
    fleet.converge().await?;
    let mut member = Workload::new(&scenario)?.member();
    member.converge().await?;
    crate::demo::call_vm(&scenario)?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    kubectl.delete(namespace, &format!("workloadentry/{NAME}"))?;
    scenario.vm.shell(REGISTER)?;

    let name = format!("{FLEET}-{}", scenario.vm.address);
    let path = scenario.object("workloadentries", &name);
    wait_for("istiod has made an entry", || {
        kubectl.find(&path).map(|entry| entry.is_some())
    })?;
    crate::demo::call_vm(&scenario)?;
    member.state = None;
    let reported = member.import(&format!("{namespace}/{name}")).await?;
    fails(&reported, "importable", &["WorkloadGroup ratings"])?;
    fleet.refresh().await?;
    assert_eq!(fleet.plan().await?.action, contract::Action::NoOp);

    let reported = fleet.destroy().await?;
    assert!(texts(&reported).contains(&name), "{}", texts(&reported));
    Ok(())
}
