//! Failures of the cluster are reported with cause and next step.

use acceptance_tests::workload::{NAME, Workload, fails, texts};
use acceptance_tests::{Done, Result, Scenario};
use bed::ApiServer;
use serde_json::{Value as Json, json};

use crate::failures::{set, untouched};

#[tokio::test]
async fn a_foreign_object_is_not_changed() -> Done {
    let scenario = Scenario::begin("foreign")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let address = scenario.vm.address.to_string();
    let object = |kind: &str, name: &str, spec: Json| json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec});
    let service = json!({"hosts": ["other.host"], "resolution": "STATIC", "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]});
    let cases = [
        (
            object("WorkloadEntry", NAME, json!({"address": "10.99.0.99"})),
            "workload-exists",
            "terraform import",
        ),
        (
            object("WorkloadEntry", "other", json!({"address": address})),
            "address-taken",
            "/other",
        ),
        (
            object("ServiceEntry", &format!("{NAME}-ratings"), service),
            "cluster-exists",
            "Delete that ServiceEntry",
        ),
    ];
    for (foreign, code, word) in cases {
        kubectl.apply(&foreign)?;
        let name = format!(
            "{}/{}",
            text(&foreign["kind"]),
            text(&foreign["metadata"]["name"])
        );
        let mut workload = Workload::new(&scenario)?;
        fails(&workload.apply().await?, code, &[word])?;
        assert!(workload.state.is_none());
        assert_eq!(scenario.objects()?, [name.as_str()]);
        kubectl.delete(namespace, &name)?;
    }
    Workload::new(&scenario)?.converge().await
}

#[tokio::test]
async fn an_unusable_cluster_is_reported_with_its_cause() -> Done {
    let scenario = Scenario::begin("cluster")?;
    let (host, authority) = endpoint(&scenario)?;
    let empty = ApiServer::without_istio()?;
    empty
        .kubectl()
        .create_namespace(&scenario.namespace, &["bookinfo-ratings"])?;
    let cases = [
        (
            json!({"host": "https://127.0.0.1:1", "token": "x"}),
            "cluster-unreachable",
            vec!["https://127.0.0.1:1", "refused"],
        ),
        (
            json!({"host": host, "token": "x"}),
            "cluster-unreachable",
            vec!["certificate", "tls_server_name"],
        ),
        (
            json!({"host": host, "token": "x", "cluster_ca_certificate": authority}),
            "cluster-unauthorized",
            vec!["Renew"],
        ),
        (
            json!({"config_path": "/nowhere/kubeconfig"}),
            "cluster-kubeconfig",
            vec!["/nowhere/kubeconfig", "does not exist"],
        ),
        (
            json!({"config_path": empty.kubeconfig()}),
            "cluster-no-istio",
            vec!["networking.istio.io/v1", "custom resource definitions"],
        ),
    ];
    for (kubernetes, code, words) in cases {
        let mut workload = Workload::new(&scenario)?;
        workload.block["kubernetes"] = kubernetes;
        fails(&workload.apply().await?, code, &words)?;
        untouched(&scenario, &workload)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_example_role_is_sufficient_and_a_missing_rule_is_reported() -> Done {
    let scenario = Scenario::begin("role")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let whole = include_str!("../../../examples/rbac.yaml")
        .replace("bookinfo", namespace)
        .replace("terraform-provider-mesh", &format!("role-{namespace}"));
    let (before, rest) = whole
        .split_once("  # The token with which")
        .unwrap_or_default();
    let (_, after) = rest.split_once("---").unwrap_or_default();
    let without_token = format!("{before}---{after}");
    kubectl.call(
        &["apply", "--server-side", "-f", "-"],
        without_token.as_bytes(),
    )?;
    let (host, authority) = endpoint(&scenario)?;
    let token = kubectl.token(namespace, "terraform", None)?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["kubernetes"] =
        json!({"host": host, "token": token, "cluster_ca_certificate": authority});

    let reported = workload.apply().await?;
    fails(
        &reported,
        "token",
        &["serviceaccounts/token", "Add the rule", "verbs: [create]"],
    )?;
    untouched(&scenario, &workload)?;

    kubectl.call(&["apply", "--server-side", "-f", "-"], whole.as_bytes())?;
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

#[tokio::test]
async fn a_conflict_that_no_plan_showed_is_reported_with_owner_and_field() -> Done {
    let scenario = Scenario::begin("conflict")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let bootstrapped = crate::vm_state(&scenario.vm)?;
    let theirs = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"namespace": scenario.namespace, "name": NAME},
        "spec": {"address": scenario.vm.address, "weight": 7, "labels": {"color": "red"}}});
    let manager = [
        "apply",
        "--server-side",
        "--field-manager=canary",
        "-f",
        "-",
    ];
    scenario
        .kubectl()
        .call(&manager, theirs.to_string().as_bytes())?;
    let ours = workload.config.clone();
    for (at, value, field) in [
        ("/config/weight", json!(5), ".spec.weight"),
        ("/config/labels/color", json!("blue"), ".spec.labels.color"),
    ] {
        workload.config = ours.clone();
        set(&mut workload, at, value);
        fails(
            &workload.apply().await?,
            "cluster-conflict",
            &[field, "canary", "force_conflicts"],
        )?;
        assert_eq!(workload.drift("objects"), [""; 0]);
    }
    // A line for one field does not permit taking over another one.
    let edit = json!({"spec": {"labels": {"version": "v9"}}});
    let entry = format!("workloadentry/{NAME}");
    scenario
        .kubectl()
        .patch(&scenario.namespace, &entry, &edit, &[])?;
    fails(
        &workload.apply().await?,
        "cluster-conflict",
        &[".spec.labels.color", "canary"],
    )?;
    assert_eq!(workload.drift("objects").len(), 1);
    assert_eq!(crate::vm_state(&scenario.vm)?, bootstrapped);
    workload.config["field_manager"] = json!({"force_conflicts": true});
    workload.converge().await
}

/// Returns the address of the bed's API server and the certificate of its authority.
pub(crate) fn endpoint(scenario: &Scenario) -> Result<(Json, String)> {
    let kubeconfig: Json =
        serde_json::from_str(&std::fs::read_to_string(scenario.kubectl().kubeconfig())?)?;
    let authority = std::fs::read_to_string(scenario.folder().join("cluster/ca.crt"))?;
    Ok((
        kubeconfig["clusters"][0]["cluster"]["server"].clone(),
        authority,
    ))
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}
