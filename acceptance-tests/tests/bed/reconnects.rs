//! istiod closes each connection regularly, by default every 30 minutes. That has no effect.

use acceptance_tests::workload::{NAME, Workload};
use acceptance_tests::{Beside, Done, Scenario, wait_for};
use contract::Action;
use serde_json::Value;

use crate::demo::call;

#[tokio::test]
async fn a_proxy_that_reconnects_regularly_has_no_drift_and_keeps_its_traffic() -> Done {
    let scenario = Scenario::begin("reconnects")?;
    let other = Beside::up(&scenario, "reconnects", 1, 1)?;
    other.restart_istiod(&["--keepaliveMaxServerConnectionAge", "10s"])?;
    let (vm, pod, namespace) = (&other.vms[0], &other.pods[0], "bookinfo");
    vm.shell("systemctl start ratings")?;
    let mut workload = Workload::beside(&scenario, &other, vm, namespace)?;
    workload.converge().await?;

    let path =
        format!("/apis/networking.istio.io/v1/namespaces/{namespace}/workloadentries/{NAME}");
    let entry = || other.kubectl().get(&path);
    let connected =
        |entry: &Value| entry["metadata"]["annotations"]["istio.io/connectedAt"].clone();
    let host = workload.config["services"]["ratings"]["hosts"][0].clone();
    let url = format!(
        "http://{}:9080/ratings/7",
        host.as_str().unwrap_or_default()
    );
    let id = format!("spiffe://cluster.local/ns/{namespace}/sa/bookinfo-ratings");
    let first = entry()?;
    let mut last = connected(&first);
    for _ in 0..2 {
        wait_for("the proxy reconnects", || {
            entry().map(|now| connected(&now).is_string() && connected(&now) != last)
        })?;
        let now = entry()?;
        last = connected(&now);
        assert_eq!(now["spec"], first["spec"]);
        assert_eq!(now["metadata"]["uid"], first["metadata"]["uid"]);
        workload.refresh().await?;
        let drift = [workload.drift("objects"), workload.drift("vm")].concat();
        assert_eq!(drift, [""; 0]);
        assert_eq!(workload.plan().await?.action, Action::NoOp);
        call(pod, &url, &pod.spiffe_id(), &id)?;
    }
    Ok(())
}
