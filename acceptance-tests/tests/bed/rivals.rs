//! Objects of others that select the VM or claim its hosts.

use acceptance_tests::workload::{FLEET, NAME, Workload, fails};
use acceptance_tests::{Done, Scenario};
use contract::Action;
use serde_json::{Value, json};

/// An object of others.
struct Rival {
    object: Value,
    /// As kubectl names it.
    name: String,
    /// As a diagnostic and a line of drift name it.
    id: String,
    code: &'static str,
}

fn rival(scenario: &Scenario, kind: &str, spec: &Value, code: &'static str) -> Rival {
    Rival {
        object: object(scenario, kind, spec),
        name: format!("{kind}/legacy"),
        id: format!("{kind} {}/legacy", scenario.namespace),
        code,
    }
}

fn object(scenario: &Scenario, kind: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "networking.istio.io/v1", "kind": kind, "spec": spec,
        "metadata": { "namespace": scenario.namespace, "name": "legacy" } })
}

/// A Sidecar that selects the VM, and a `ServiceEntry` with its host, each with the code of its problem.
fn rivals(scenario: &Scenario) -> [Rival; 2] {
    let sidecar = json!({ "workloadSelector": { "labels": { "app": "ratings" } },
        "egress": [{ "hosts": ["./*"] }] });
    let service = json!({ "hosts": [format!("ratings.vm.{}", scenario.namespace)], "resolution": "STATIC",
        "location": "MESH_INTERNAL", "ports": [{ "number": 80, "name": "http", "protocol": "HTTP" }] });
    [
        rival(scenario, "Sidecar", &sidecar, "sidecar-selects-vm"),
        rival(scenario, "ServiceEntry", &service, "host-taken"),
    ]
}

#[tokio::test]
async fn an_object_of_others_for_the_vm_is_refused_at_first_and_drift_later() -> Done {
    let scenario = Scenario::begin("rivals")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let mut default = object(
        &scenario,
        "Sidecar",
        &json!({ "egress": [{ "hosts": ["./*"] }] }),
    );
    default["metadata"]["name"] = json!("default");
    kubectl.apply(&default)?;
    let mut workload = Workload::new(&scenario)?.objects_only();
    for rival in rivals(&scenario) {
        let Rival {
            object,
            name,
            id,
            code,
        } = rival;
        kubectl.apply(&object)?;
        fails(&workload.apply().await?, code, &[&id])?;
        assert!(workload.state.is_none(), "{name}");
        kubectl.delete(namespace, &name)?;

        workload.converge().await?;
        kubectl.apply(&object)?;
        workload.refresh().await?;
        let lines = workload.drift("objects");
        assert!(lines.len() == 1 && lines[0].starts_with(&id), "{lines:?}");
        assert_eq!(workload.plan().await?.action, Action::Update);
        fails(&workload.apply().await?, code, &[&id])?;
        kubectl.delete(namespace, &name)?;
        workload.converge().await?;
        workload.destroy().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_host_or_a_member_of_a_fleet_that_others_claim_is_drift_of_the_fleet() -> Done {
    let scenario = Scenario::begin("fleet-rivals")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.converge().await?;
    let mut member = Workload::new(&scenario)?.member().objects_only();
    member.converge().await?;
    for rival in rivals(&scenario) {
        let Rival {
            object,
            name,
            id,
            code,
        } = rival;
        kubectl.apply(&object)?;
        fails(&fleet.apply().await?, code, &[&id])?;
        let lines = fleet.drift("objects");
        assert!(lines.len() == 1 && lines[0].starts_with(&id), "{lines:?}");
        kubectl.delete(namespace, &name)?;
        fleet.converge().await?;
    }
    let expected = [format!("WorkloadEntry/{NAME}"), format!("Sidecar/{FLEET}")];
    let objects = scenario.objects()?;
    assert!(
        expected.iter().all(|of| objects.contains(of)),
        "{objects:?}"
    );
    Ok(())
}
