//! Each difference from the desired state is a readable line in the plan, and an apply repairs it.

use acceptance_tests::workload::{NAME, Workload, texts};
use acceptance_tests::{Done, Failure, Scenario, wait_for};
use contract::{Diagnostic, Severity};
use serde_json::json;

#[tokio::test]
async fn an_edited_or_deleted_object_is_reported_and_repaired() -> Done {
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
            format!(
                "WorkloadEntry {namespace}/{NAME}: spec.labels.version is 'v9', should be 'v1'"
            ),
            format!(
                "ServiceEntry {namespace}/{NAME}-ratings: spec.hosts is '[\"other.host\"]', should be '[\"ratings.vm.{namespace}\"]'"
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
async fn manual_changes_on_a_vm_are_reported_and_repaired() -> Done {
    let scenario = Scenario::begin("by-hand")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    // Writing a file and restarting repairs it; the package is not changed.
    let installed = "stat -c '%i %Z' /usr/local/bin/envoy /var/lib/dpkg/info/istio-sidecar.list";
    let package = scenario.vm.shell(installed)?;
    let cases: [(&str, &[&str]); 4] = [
        (
            "sed -i \"s/^ISTIO_INBOUND_PORTS=.*/ISTIO_INBOUND_PORTS='9080'/\" /var/lib/istio/envoy/cluster.env",
            &[
                "configuration: /var/lib/istio/envoy/cluster.env: ISTIO_INBOUND_PORTS is '9080', should be '*'",
            ],
        ),
        (
            "systemctl stop istio; systemctl disable --quiet istio",
            &[
                "proxy: the unit istio is 'inactive', should be 'active'",
                "proxy: the unit istio is 'disabled', should be 'enabled'",
            ],
        ),
        (
            "chmod 666 /var/lib/istio/envoy/cluster.env; rm /etc/istio/config/mesh; chown root /etc/certs/root-cert.pem",
            &[
                "files: /var/lib/istio/envoy/cluster.env: mode is 0666, should be 0644",
                "files: /etc/istio/config/mesh is missing",
                "files: /etc/certs/root-cert.pem: istio-proxy cannot read it",
            ],
        ),
        (
            "chown istio-proxy /var/lib/istio/envoy/cluster.env; rm /var/lib/istio/mesh/owner
             sed -i '/ istiod[.]istio-system[.]svc$/s/^/10.0.0.1 other; /' /etc/hosts
             iptables -t nat -F; iptables -t nat -X",
            &[
                "machine: the mark of who owns the proxy is missing",
                "mesh: /etc/hosts: istiod's line is '10.0.0.1 other; ADDRESS istiod.istio-system.svc', should be 'ADDRESS istiod.istio-system.svc'",
                "proxy: no rules intercept traffic, and they should",
                "files: /var/lib/istio/envoy/cluster.env: owner is 'istio-proxy', should be 'root'",
            ],
        ),
    ];
    for (by_hand, lines) in cases {
        scenario.vm.shell(by_hand)?;
        workload.refresh().await?;
        let address = scenario.control_plane_address();
        let lines = lines.iter().map(|line| line.replace("ADDRESS", &address));
        let lines: Vec<_> = lines.collect();
        assert_eq!(workload.drift("vm"), lines);
        assert_eq!(workload.drift("objects"), [""; 0], "{lines:?}");
        let plan = workload.plan().await?;
        let reasons = lines
            .iter()
            .map(|line| contract::Value::String(format!("drift: {line}")));
        assert_eq!(
            plan.planned["last_bootstrap_reasons"],
            contract::Value::List(reasons.collect())
        );
        workload.converge().await?;
    }
    assert_eq!(scenario.vm.shell(installed)?, package);
    Ok(())
}

#[tokio::test]
async fn fields_written_by_istiod_are_not_drift() -> Done {
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
    wait_for("istiod reports a new connection", || {
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

/// The summary is constant, so that Terraform groups the warnings of many VMs.
#[tokio::test]
async fn a_vm_that_is_off_causes_a_warning_and_its_state_is_kept() -> Done {
    let scenario = Scenario::begin("off")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let before = workload.state.clone();
    scenario.vm.kill()?;
    let reported = workload.refresh().await?;
    let [warning] = &reported[..] else {
        return Err(Failure::new(texts(&reported)));
    };
    assert_eq!(
        (warning.severity, warning.summary.as_str()),
        (Severity::Warning, "The VM was not checked")
    );
    assert!(warning.detail.contains("[ssh-connect]"), "{warning}");
    assert_eq!(workload.state, before);
    // Without the check, there is no warning either.
    workload.block["ssh"]["check_on_refresh"] = json!("never");
    assert_eq!(texts(&workload.refresh().await?), "");
    assert_eq!(workload.state, before);
    workload.block["ssh"]["check_on_refresh"] = json!(null);
    scenario.vm.start()?;
    scenario.vm.wait_until_up()?;
    workload.converge().await
}

/// A refresh cannot find a difference that only the edit showed, but it is kept until its cause is allowed.
#[tokio::test]
async fn drift_that_is_held_back_is_reported_until_its_cause_is_allowed() -> Done {
    let scenario = Scenario::begin("held-back")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["env"] = json!({ "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true" });
    workload.config["triggers"] = json!({ "vm": "1" });
    workload.converge().await?;
    let bootstrapped = crate::vm_state(&scenario.vm)?;

    workload.config["rebootstrap_on"] = json!(["mesh", "files", "proxy", "certificate"]);
    workload.config["env"] = json!(null);
    workload.config["triggers"] = json!({ "vm": "2" });
    for apply_then_look in 0..2 {
        let reported = workload.apply().await?;
        let held_back = |reported: &Diagnostic| reported.summary == "A bootstrap is held back";
        assert!(
            !reported.is_empty() && reported.iter().all(held_back),
            "{reported:?}"
        );
        let env = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS";
        let mut held = vec![
            format!("configuration: env.{env} was changed"),
            "machine: triggers.vm was changed".into(),
        ];
        if apply_then_look > 0 {
            let metadata = format!("/etc/istio/config/mesh: defaultConfig.proxyMetadata.{env}");
            for value in [format!("/var/lib/istio/envoy/cluster.env: {env}"), metadata] {
                held.push(format!("configuration: {value} is not wanted"));
            }
        }
        let mut lines = workload.drift("vm");
        lines.sort();
        held.sort();
        assert_eq!(lines, held);
    }
    assert_eq!(crate::vm_state(&scenario.vm)?, bootstrapped);

    workload.config["rebootstrap_on"] = json!(null);
    workload.converge().await?;
    assert_ne!(crate::vm_state(&scenario.vm)?, bootstrapped);
    Ok(())
}
