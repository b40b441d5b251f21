//! Objects whose deletion is blocked by finalizers.

use std::fs::File;
use std::process::Stdio;

use acceptance_tests::workload::{NAME, Workload, fails};
use acceptance_tests::{Done, Result, Scenario, Terraform, wait_for};
use bed::Kubectl;
use serde_json::json;

const FINALIZER: &str = "example.com/backup";

/// Configuration of a fleet, like that of the workload in `scenarios/workload.tf`.
const FLEET: &str = r#"
resource "mesh_vm_fleet" "ratings" {
  namespace = var.namespace
  name      = "ratings"
  group     = { service_account = "bookinfo-ratings" }
  services = {
    ratings = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = { http = { number = 9080, protocol = "HTTP" } }
    }
  }
  sidecar  = { egress_hosts = ["./*"] }
  timeouts = { delete = "30s" }
}
"#;

/// A workload without a proxy.
const ENTRY: &str = r#"
resource "mesh_vm_workload" "ratings" {
  namespace       = var.namespace
  name            = "ratings"
  address         = var.vm.address
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings" }
  timeouts        = { delete = "30s" }
}
"#;

/// An object with a finalizer. Dropping it removes the finalizer, so that the cleanup need not wait.
struct Held<'a> {
    kubectl: &'a Kubectl,
    namespace: &'a str,
    object: String,
}

impl<'a> Held<'a> {
    fn new(scenario: &'a Scenario, object: &str) -> Result<Self> {
        let held = Self {
            kubectl: scenario.kubectl(),
            namespace: &scenario.namespace,
            object: object.to_owned(),
        };
        held.set(&[FINALIZER])?;
        Ok(held)
    }

    fn set(&self, finalizers: &[&str]) -> Done {
        let patch = json!({"metadata": {"finalizers": finalizers}});
        Ok(self
            .kubectl
            .patch(self.namespace, &self.object, &patch, &[])?)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // The object may already be gone.
        let _ = self.set(&[]);
    }
}

/// Destroys while an object is blocked, releases it once Terraform waits, and returns the result.
fn destroy_and_release(terraform: &Terraform, held: Held<'_>) -> Done {
    let path = terraform.path().join("destroy.txt");
    let mut child = terraform
        .command(&["destroy", "-input=false", "-auto-approve"])
        .stdin(Stdio::null())
        .stdout(File::create(&path)?)
        .stderr(Stdio::inherit())
        .spawn()?;
    let output = || std::fs::read_to_string(&path);
    let waits = wait_for("the destroy waits", || {
        let text = output()?;
        Ok::<_, std::io::Error>(text.contains("Still destroying") || text.contains("rror"))
    });
    let running = child.try_wait()?.is_none();
    drop(held);
    waits?;
    let status = child.wait()?;
    assert!(running && status.success(), "{}", output()?);
    Ok(())
}

/// Destroys while an object is blocked: that fails with a timeout, and a plan, an apply and an independent create report
/// it. The next destroy succeeds once the finalizer is removed.
fn waits_for(scenario: &Scenario, configuration: &str, object: &str, kind: &str) -> Done {
    let begin = || -> Result<Terraform> {
        let terraform = Terraform::new(scenario, "workload")?;
        terraform.write("main.tf", configuration)?;
        Ok(terraform)
    };
    let terraform = begin()?;
    terraform.apply()?;
    let (plural, name) = object.split_once('/').unwrap_or_default();
    let (id, held) = (
        format!("{kind} {}/{name}", scenario.namespace),
        Held::new(scenario, object)?,
    );
    let named = format!("{id}: it is being deleted and held by its finalizers {FINALIZER}");
    let refused = terraform.try_destroy()?.failure()?;
    assert!(refused.contains(&named), "{refused}");
    assert!(refused.contains("[cluster-terminating]"), "{refused}");
    assert_eq!(scenario.objects()?, [format!("{kind}/{name}")], "{plural}");

    let plan = terraform.plan(&[])?.text;
    let line = format!("{id} is being deleted and held by its finalizers {FINALIZER}");
    assert!(plan.contains(&line), "{plan}");
    let other = begin()?;
    for terraform in [&terraform, &other] {
        let refused = terraform.try_apply()?.failure()?;
        assert!(refused.contains(&named), "{refused}");
        assert!(!refused.contains("import"), "{refused}");
    }

    destroy_and_release(&terraform, held)?;
    assert_eq!(scenario.objects()?, [""; 0]);
    other.apply()?;
    assert!(other.plan(&[])?.is_empty());
    other.destroy().map(drop)
}

/// istiod would remove a finalizer from the entry of a VM whose proxy disconnects: on connects and disconnects, it
/// writes the whole entry without fields that it does not know.
#[test]
fn a_destroy_waits_for_finalizers_and_reports_them_on_a_timeout() -> Done {
    let scenario = Scenario::begin("held")?;
    waits_for(&scenario, ENTRY, "workloadentry/ratings", "WorkloadEntry")?;
    let whole = include_str!("../../scenarios/workload.tf");
    let whole = whole.replace("var.timeouts\n", "{ delete = \"50s\" }\n");
    waits_for(&scenario, &whole, "sidecar/ratings", "Sidecar")?;
    waits_for(
        &scenario,
        &whole,
        "serviceentry/ratings-ratings",
        "ServiceEntry",
    )
}

#[test]
fn a_destroy_of_a_fleet_waits_for_finalizers_as_well() -> Done {
    let scenario = Scenario::begin("held-fleet")?;
    for (object, kind) in [
        ("workloadgroup/ratings", "WorkloadGroup"),
        ("serviceentry/ratings-ratings", "ServiceEntry"),
        ("sidecar/ratings", "Sidecar"),
    ] {
        waits_for(&scenario, FLEET, object, kind)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_update_waits_for_the_deletion_of_a_service() -> Done {
    let scenario = Scenario::begin("held-pruned")?;
    let namespace = &scenario.namespace;
    let mut workload = Workload::new(&scenario)?.objects_only();
    workload.config["timeouts"]["update"] = json!("10s");
    workload.converge().await?;
    let held = Held::new(&scenario, &format!("serviceentry/{NAME}-ratings"))?;
    workload.config["services"] = json!(null);
    let name = format!("ServiceEntry {namespace}/{NAME}-ratings");
    let diagnostics = workload.apply().await?;
    fails(&diagnostics, "cluster-terminating", &[&name, FINALIZER])?;
    workload.refresh().await?;
    let line = format!("{name} is being deleted and held by its finalizers {FINALIZER}");
    let lines = workload.drift("objects");
    assert!(lines.contains(&line), "{lines:?}");
    drop(held);
    workload.converge().await
}
