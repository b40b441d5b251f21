//! Traffic follows the application's health, and an apply with a health check converges.

use std::time::Instant;

use acceptance_tests::workload::{NAME, Workload};
use acceptance_tests::{Done, Scenario, wait_for};
use serde_json::json;

#[tokio::test]
async fn a_dead_application_is_withdrawn_and_comes_back() -> Done {
    let scenario = Scenario::begin("health")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["health_check"] =
        json!({ "http": { "port": 9080, "path": "/health" }, "period_seconds": 2 });
    workload.converge().await?;
    let path = scenario.object("workloadentries", NAME);
    let healthy = |wanted: &str| {
        let entry = scenario.kubectl().get(&path)?;
        let all = entry["status"]["conditions"].as_array().cloned();
        let all = all.unwrap_or_default();
        let health = all.iter().find(|condition| condition["type"] == "Healthy");
        Ok::<_, bed::Error>(health.is_some_and(|health| health["status"] == wanted))
    };
    assert!(
        healthy("True")?,
        "an apply ends when the application answers"
    );

    let since = Instant::now();
    scenario.vm.shell("systemctl stop ratings")?;
    wait_for("istiod is told of the dead application", || {
        healthy("False")
    })?;
    println!("withdrawn after {:?}", since.elapsed());
    let since = Instant::now();
    scenario.vm.shell("systemctl start ratings")?;
    wait_for("istiod is told that it is back", || healthy("True"))?;
    println!("back after {:?}", since.elapsed());

    workload.config["labels"]["version"] = json!("v2");
    workload.converge().await?;
    assert!(
        healthy("True")?,
        "a bootstrap forgets the health, and asks again"
    );
    Ok(())
}
