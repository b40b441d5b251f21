//! Workloads that were made by hand.

use acceptance_tests::{Done, Scenario, Terraform};
use serde_json::{Value, json};

use crate::WORKLOAD;

/// What `kubectl apply -f` would be given.
fn by_hand(scenario: &Scenario) -> Value {
    let (namespace, labels) = (
        &scenario.namespace,
        json!({"app": "ratings", "version": "v1"}),
    );
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec});
    json!([
        object(
            "WorkloadEntry",
            "ratings",
            json!({"address": scenario.vm.address, "labels": labels, "serviceAccount": "bookinfo-ratings"})
        ),
        object(
            "ServiceEntry",
            "ratings-http",
            json!({
                "hosts": [format!("ratings.vm.{namespace}")], "location": "MESH_INTERNAL", "resolution": "STATIC",
                "ports": [{"name": "http", "number": 9080, "protocol": "HTTP", "targetPort": 9080}],
                "workloadSelector": {"labels": labels},
            })
        ),
        object(
            "Sidecar",
            "ratings",
            json!({
                "workloadSelector": {"labels": labels},
                "ingress": [{"port": {"name": "http", "number": 9080, "protocol": "HTTP"}, "defaultEndpoint": "127.0.0.1:9080"}],
                "egress": [{"hosts": ["./*", "istio-system/*"]}],
            })
        ),
    ])
}

fn assert_taken_over(scenario: &Scenario, terraform: &Terraform) -> Done {
    for (plural, name) in [
        ("workloadentries", "ratings"),
        ("serviceentries", "ratings-http"),
        ("sidecars", "ratings"),
    ] {
        let object = scenario.kubectl().get(&scenario.object(plural, name))?;
        assert_eq!(
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "terraform-provider-mesh",
            "{object:#}"
        );
    }
    let plan = terraform.plan(&[])?;
    assert!(plan.is_empty(), "{}", plan.text);
    Ok(())
}

#[test]
fn a_workload_made_by_hand_is_imported_by_a_block_and_taken_over() -> Done {
    let scenario = Scenario::begin("import-block")?;
    scenario.kubectl().apply(&by_hand(&scenario))?;
    let terraform = Terraform::new(&scenario, "imported")?;
    let plan = terraform.plan(&[])?;
    let change = plan.change(WORKLOAD);
    assert!(change["importing"]["id"].is_string(), "{}", plan.text);
    assert!(
        ["no-op", "update"].contains(&change["actions"][0].as_str().unwrap_or_default()),
        "{}",
        plan.text
    );
    explained(&plan.text, &change);
    let run = terraform.apply_saved(&plan)?;
    assert!(run.output.contains("1 imported, 0 added"), "{}", run.output);
    assert_taken_over(&scenario, &terraform)
}

/// Only lines of drift, each readable, may differ: what the user wrote is what was imported.
fn explained(text: &str, change: &Value) {
    let (before, after) = (change["before"].as_object(), change["after"].as_object());
    let names = before
        .into_iter()
        .flatten()
        .filter(|(name, value)| after.and_then(|after| after.get(*name)) != Some(value));
    let names: Vec<&String> = names.map(|(name, _)| name).collect();
    assert!(
        names.iter().all(|name| *name == "drift"),
        "{names:?} differ:\n{text}"
    );
}

#[test]
fn a_workload_made_by_hand_is_imported_by_the_command() -> Done {
    let scenario = Scenario::begin("import-command")?;
    scenario.kubectl().apply(&by_hand(&scenario))?;
    let terraform = Terraform::new(&scenario, "imported")?;
    terraform
        .run(&[
            "import",
            "-input=false",
            WORKLOAD,
            &format!("{}/ratings", scenario.namespace),
        ])?
        .checked()?;
    let state = terraform.state(WORKLOAD)?;
    assert_eq!(state["labels"], json!({"app": "ratings", "version": "v1"}));
    assert_eq!(state["services"]["http"]["ports"]["http"]["number"], 9080);
    assert_eq!(
        state["spiffe_id"],
        format!(
            "spiffe://cluster.local/ns/{}/sa/bookinfo-ratings",
            scenario.namespace
        )
    );
    terraform.apply()?;
    assert_taken_over(&scenario, &terraform)
}

#[test]
fn an_id_that_names_nothing_is_told_and_leaves_no_state() -> Done {
    let scenario = Scenario::begin("import-missing")?;
    let terraform = Terraform::new(&scenario, "imported")?;
    let missing = format!("{}/ratings", scenario.namespace);
    for (id, told) in [
        (missing.as_str(), "There is nothing to import"),
        ("ratings", "The import id does not fit"),
    ] {
        let run = terraform.run(&["import", "-input=false", WORKLOAD, id])?;
        let words = run.failure()?;
        assert!(words.contains(told), "{words}");
    }
    assert_eq!(terraform.state(WORKLOAD)?, Value::Null);
    Ok(())
}
