//! Import of workloads that were created manually.

use acceptance_tests::workload::{NAME, Workload, fails, holds, texts};
use acceptance_tests::{Done, Result, Scenario, Terraform};
use serde_json::{Value, json};

use crate::WORKLOAD;

/// Manifests for `kubectl apply -f`.
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
fn a_manually_created_workload_is_imported_by_a_block_and_adopted() -> Done {
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

/// Checks that only readable lines of drift differ, and the UIDs that no state needs after an apply: the configuration
/// equals the import.
fn explained(text: &str, change: &Value) {
    let (before, after) = (change["before"].as_object(), change["after"].as_object());
    let names = before
        .into_iter()
        .flatten()
        .filter(|(name, value)| after.and_then(|after| after.get(*name)) != Some(value));
    let names: Vec<&String> = names.map(|(name, _)| name).collect();
    assert!(
        names
            .iter()
            .all(|name| ["drift", "imported_uids"].contains(&name.as_str())),
        "{names:?} differ:\n{text}"
    );
}

#[test]
fn a_manually_created_workload_is_imported_by_the_command() -> Done {
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
fn an_id_without_objects_is_reported_and_leaves_no_state() -> Done {
    let scenario = Scenario::begin("import-missing")?;
    let terraform = Terraform::new(&scenario, "imported")?;
    let missing = format!("{}/ratings", scenario.namespace);
    for (id, reported) in [
        (missing.as_str(), "There is nothing to import"),
        ("ratings", "The import ID is not valid"),
    ] {
        let run = terraform.run(&["import", "-input=false", WORKLOAD, id])?;
        let words = run.failure()?;
        assert!(words.contains(reported), "{words}");
    }
    assert_eq!(terraform.state(WORKLOAD)?, Value::Null);
    Ok(())
}

/// A workload without SSH whose entry, service and Sidecar were created by `kubectl create`, with selectors on the
/// entry's own labels, and whose weight was set by a canary controller.
fn made_by_kubectl(scenario: &Scenario) -> Result<Workload> {
    let mut workload = Workload::new(scenario)?;
    workload.config["ssh"] = Value::Null;
    workload.config["objects_only"] = json!(true);
    let mut objects = by_hand(scenario);
    let labels = json!({"app": "ratings", "version": "v1", "tier": "backend"});
    for (object, name) in objects.as_array_mut().into_iter().flatten().zip([
        NAME.to_owned(),
        format!("{NAME}-ratings"),
        NAME.to_owned(),
    ]) {
        object["metadata"]["name"] = json!(name);
        object["metadata"]["annotations"] = json!({"example.com/team": "books"});
        if object["kind"] == "WorkloadEntry" {
            object["spec"]["labels"] = labels.clone();
        }
        scenario
            .kubectl()
            .call(&["create", "-f", "-"], object.to_string().as_bytes())?;
    }
    let canary = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"namespace": scenario.namespace, "name": NAME}, "spec": {"weight": 7}});
    scenario.kubectl().call(
        &[
            "apply",
            "--server-side",
            "--field-manager=canary",
            "-f",
            "-",
        ],
        canary.to_string().as_bytes(),
    )?;
    Ok(workload)
}

#[tokio::test]
async fn fields_missing_in_the_configuration_of_an_imported_workload_are_removed_and_others_keep_theirs()
-> Done {
    let scenario = Scenario::begin("import-kubectl")?;
    let mut workload = made_by_kubectl(&scenario)?;
    let get = |plural: &str, name: &str| scenario.kubectl().get(&scenario.object(plural, name));
    let reported = workload
        .import(&format!("{}/{NAME}", scenario.namespace))
        .await?;
    assert!(reported.is_empty(), "{}", texts(&reported));
    workload.converge().await?;

    let mark = json!({"mesh.vm/workload": NAME});
    let entry = get("workloadentries", NAME)?;
    assert_eq!(
        entry["spec"]["labels"],
        json!({"app": "ratings", "version": "v1", "mesh.vm/workload": NAME})
    );
    assert_eq!(
        entry["metadata"]["annotations"]["example.com/team"],
        Value::Null
    );
    assert_eq!(entry["spec"]["weight"], 7, "the canary controller's");
    for (plural, name) in [
        ("serviceentries", format!("{NAME}-ratings")),
        ("sidecars", NAME.to_owned()),
    ] {
        let selector = &get(plural, &name)?["spec"]["workloadSelector"]["labels"];
        assert_eq!(*selector, mark, "{plural}");
    }

    // From now on, it behaves as if the provider had created it.
    workload.config["labels"] = json!({"app": "ratings"});
    workload.converge().await?;
    assert_eq!(
        get("workloadentries", NAME)?["spec"]["labels"],
        json!({"app": "ratings", "mesh.vm/workload": NAME})
    );
    Ok(())
}

#[tokio::test]
async fn what_an_import_cannot_carry_is_a_warning_and_a_line_of_the_plan() -> Done {
    let scenario = Scenario::begin("import-partial")?;
    let mut workload = made_by_kubectl(&scenario)?;
    let listener = |number: u16| {
        json!({"port": {"name": format!("http-{number}"), "number": number, "protocol": "HTTP"},
        "defaultEndpoint": format!("127.0.0.1:{number}"), "connectionPool": {"tcp": {"maxConnections": 7}}})
    };
    let patch = json!({"spec": {"ingress": [listener(9080), listener(9090)]}});
    let object = format!("sidecar/{NAME}");
    let kubectl = scenario.kubectl();
    kubectl.patch(&scenario.namespace, &object, &patch, &[])?;
    let parts = ["spec.ingress[9080].connectionPool", "spec.ingress[9090]"];
    let reported = workload
        .import(&format!("{}/{NAME}", scenario.namespace))
        .await?;
    assert_eq!(reported.len(), 1, "{}", texts(&reported));
    holds(&reported[0], "import-partial", &parts)?;
    workload.refresh().await?;
    let lines = workload.drift("objects");
    for part in parts {
        let line = format!("Sidecar {}/{NAME}: {part} is '", scenario.namespace);
        assert!(lines.iter().any(|of| of.starts_with(&line)), "{lines:?}");
    }
    workload.converge().await?;
    let ingress = kubectl.get(&scenario.object("sidecars", NAME))?["spec"]["ingress"].clone();
    assert_eq!(ingress[0]["connectionPool"], Value::Null);
    assert_eq!(ingress[1], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_workload_is_imported_by_its_identity() -> Done {
    let scenario = Scenario::begin("import-identity")?;
    let mut workload = made_by_kubectl(&scenario)?;
    let identity = json!({"namespace": scenario.namespace, "name": NAME});
    let reported = workload.import_identity(&identity).await?;
    assert!(reported.is_empty(), "{}", texts(&reported));
    workload.converge().await?;

    let nobody = json!({"namespace": scenario.namespace, "name": "nobody"});
    fails(
        &workload.import_identity(&nobody).await?,
        "import-missing",
        &[&format!("{}/nobody", scenario.namespace)],
    )
}

#[tokio::test]
async fn an_entry_created_by_istiod_is_rejected_with_the_reason() -> Done {
    let scenario = Scenario::begin("import-registered")?;
    let mut workload = made_by_kubectl(&scenario)?;
    let registered =
        json!({"metadata": {"annotations": {"istio.io/autoRegistrationGroup": "group"}}});
    let entry = format!("workloadentry/{NAME}");
    scenario
        .kubectl()
        .patch(&scenario.namespace, &entry, &registered, &[])?;
    let reported = workload
        .import(&format!("{}/{NAME}", scenario.namespace))
        .await?;
    fails(
        &reported,
        "importable",
        &["istiod created this WorkloadEntry", "group"],
    )?;
    assert!(workload.state.is_none());
    Ok(())
}
