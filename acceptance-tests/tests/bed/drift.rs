//! What differs from what should be is a readable line of the plan, and an apply repairs it.

use acceptance_tests::workload::{NAME, Workload, texts};
use acceptance_tests::{Done, Failure, Scenario, wait_for};
use contract::Severity;
use serde_json::json;

#[tokio::test]
async fn an_edited_or_deleted_object_is_a_line_and_is_repaired() -> Done {
    let scenario = Scenario::begin("edited")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let bootstrapped = crate::vm_state(&scenario.vm)?;
    let service = format!("serviceentry/{NAME}-ratings");
    let entry = format!("workloadentry/{NAME}");

    kubectl.patch(
        namespace,
        &entry,
        &json!({"spec": {"labels": {"version": "v9"}}}),
        &[],
    )?;
    kubectl.patch(
        namespace,
        &service,
        &json!({"spec": {"hosts": ["other.host"]}}),
        &[],
    )?;
    kubectl.delete(namespace, &format!("sidecar/{NAME}"))?;
    workload.refresh().await?;
    assert_eq!(
        workload.drift("objects"),
        [
            format!("WorkloadEntry {namespace}/{NAME}: spec.labels.version 'v9' -> 'v1'"),
            format!(
                "ServiceEntry {namespace}/{NAME}-ratings: spec.hosts '[\"other.host\"]' -> '[\"ratings.vm.{namespace}\"]'"
            ),
            format!("Sidecar {namespace}/{NAME} is missing"),
        ]
    );
    assert_eq!(workload.drift("vm"), [""; 0]);
    workload.converge().await?;
    assert_eq!(
        crate::vm_state(&scenario.vm)?,
        bootstrapped,
        "objects alone need no bootstrap"
    );

    kubectl.delete(namespace, &entry)?;
    workload.refresh().await?;
    assert_eq!(
        workload.drift("objects"),
        [format!("WorkloadEntry {namespace}/{NAME} is missing")]
    );
    assert_eq!(
        workload.drift("vm"),
        [format!(
            "the proxy has no WorkloadEntry {namespace}/{NAME} to report to"
        )]
    );
    workload.converge().await
}

#[tokio::test]
async fn a_vm_that_was_changed_by_hand_is_lines_and_is_repaired() -> Done {
    let scenario = Scenario::begin("by-hand")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let cases = [
        (
            "sed -i \"s/^ISTIO_INBOUND_PORTS=.*/ISTIO_INBOUND_PORTS='9080'/\" /var/lib/istio/envoy/cluster.env",
            "configuration: /var/lib/istio/envoy/cluster.env: ISTIO_INBOUND_PORTS '9080' -> '*'",
        ),
        (
            "systemctl stop istio",
            "proxy: the unit istio is 'inactive' -> 'active'",
        ),
        (
            "systemctl disable --quiet istio",
            "proxy: the unit istio is 'disabled' -> 'enabled'",
        ),
        (
            "chmod 666 /var/lib/istio/envoy/cluster.env",
            "files: /var/lib/istio/envoy/cluster.env: mode 0666 -> 0644",
        ),
        (
            "rm /etc/istio/config/mesh",
            "files: /etc/istio/config/mesh is missing",
        ),
    ];
    for (by_hand, line) in cases {
        scenario.vm.shell(by_hand)?;
        workload.refresh().await?;
        assert_eq!(workload.drift("vm"), [line]);
        assert_eq!(workload.drift("objects"), [""; 0], "{line}");
        let plan = workload.plan().await?;
        let reason = format!("drift: {line}");
        assert_eq!(
            plan.planned["last_bootstrap_reasons"],
            contract::Value::List(vec![contract::Value::String(reason)])
        );
        workload.converge().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_istiod_writes_is_no_drift() -> Done {
    let scenario = Scenario::begin("istiod")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let path = scenario.object("workloadentries", NAME);
    let connected = || {
        let entry = scenario.kubectl().get(&path)?;
        Ok::<_, bed::Error>(entry["metadata"]["annotations"]["istio.io/connectedAt"].clone())
    };
    let first = connected()?;
    assert!(first.is_string());
    scenario.vm.shell("systemctl restart istio")?;
    wait_for("istiod reports a new connection", 60, || {
        connected().map(|now| now.is_string() && now != first)
    })?;
    crate::ready(&scenario.vm)?;
    workload.refresh().await?;
    assert_eq!(
        [workload.drift("objects"), workload.drift("vm")].concat(),
        [""; 0]
    );
    Ok(())
}

/// The summary is constant, so that Terraform groups the warnings of a hundred VMs.
#[tokio::test]
async fn a_vm_that_is_off_is_a_warning_and_its_state_is_kept() -> Done {
    let scenario = Scenario::begin("off")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let before = workload.state.clone();
    scenario.vm.kill()?;
    let told = workload.refresh().await?;
    let [warning] = &told[..] else {
        return Err(Failure::new(texts(&told)));
    };
    assert_eq!(
        (warning.severity, warning.summary.as_str()),
        (Severity::Warning, "The VM was not checked")
    );
    assert!(warning.detail.contains("[ssh-connect]"), "{warning}");
    assert_eq!(workload.state, before);
    scenario.vm.start()?;
    scenario.vm.wait_until_up()?;
    workload.converge().await
}
