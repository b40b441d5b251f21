//! After any interruption of a bootstrap, the VM is in the old or the new state, nothing is forgotten, and the next apply
//! converges.

use std::process::Command;
use std::time::{Duration, Instant};

use acceptance_tests::workload::{NAME, Workload, fails, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, wait_for};
use bed::Machine;
use contract::{Client, Severity, Value};
use serde_json::json;

/// Delay that gives the tests time to intervene.
pub(crate) const SLOW: &str = "[Service]\nExecStartPre=/bin/sleep 6\n";
pub(crate) const DROP_IN: &str = "/etc/systemd/system/istio.service.d/test.conf";
const LOST: &str = "the connection was lost";

#[tokio::test]
async fn a_stop_ends_a_create_immediately_and_the_next_apply_converges() -> Done {
    let scenario = Scenario::begin("stop-create")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["timeouts"] = json!({"create": "4m", "update": "4m", "delete": "4m"});
    scenario.vm.write(DROP_IN, SLOW.as_bytes())?;
    stopped(&scenario, &mut workload).await?;
    assert!(workload.state.as_ref().is_some_and(|state| state.tainted));
    scenario.vm.shell(&format!("rm {DROP_IN}"))?;
    workload.converge().await
}

#[tokio::test]
async fn a_stop_ends_a_bootstrap_immediately_and_the_next_apply_converges() -> Done {
    let scenario = Scenario::begin("stop")?;
    let mut workload = joined(&scenario).await?;
    workload.config["labels"]["version"] = json!("v2");
    stopped(&scenario, &mut workload).await?;
    workload.converge().await?;
    runs_on(&scenario.vm, "v2")
}

/// No apply waits for the result of a stopped run, however long it takes.
#[tokio::test]
async fn the_apply_after_a_stop_does_not_wait_for_the_stopped_run() -> Done {
    const PATIENT: &str = "field() { case $1 in wait.verdict) emit 900 ;; *) cat \"$run_dir/in/$1\" 2>/dev/null ;; esac; }";
    let scenario = Scenario::begin("stop-verdict")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["timeouts"] = json!({"create": "4m", "update": "4m", "delete": "4m"});
    scenario.vm.write(DROP_IN, SLOW.as_bytes())?;
    crate::steps::hooked(&scenario.vm, PATIENT)?;
    stopped(&scenario, &mut workload).await?;
    scenario.vm.shell(&format!("rm {DROP_IN}"))?;
    scenario.vm.write("/var/tmp/walk/hook", b"")?;
    workload.converge().await
}

/// The VM finishes a run without its caller.
#[tokio::test]
async fn after_a_killed_provider_the_vm_finishes_by_itself() -> Done {
    let scenario = Scenario::begin("killed")?;
    let mut workload = joined(&scenario).await?;
    workload.config["labels"]["version"] = json!("v2");
    let provider = workload.provider().await?;
    let before = workload.state.clone();
    let (applied, killed) =
        tokio::join!(workload.apply_by(&provider), kill(&scenario.vm, &provider));
    killed?;
    assert!(
        applied.is_err(),
        "{:?}",
        applied.map(|reported| texts(&reported))
    );
    // Terraform writes the previous state if a plugin dies.
    workload.state = before;
    wait_for("the VM ends its run", || {
        scenario
            .vm
            .exec(&["test", "-e", "/var/lib/istio/mesh/run/end"])
            .map(|output| output.success())
    })?;
    workload.converge().await?;
    runs_on(&scenario.vm, "v2")
}

/// Terraform keeps no state of a create whose plugin died. The objects that it left do not block the next one.
#[tokio::test]
async fn the_next_apply_repeats_a_killed_create() -> Done {
    let scenario = Scenario::begin("killed-create")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["timeouts"]["create"] = json!("4m");
    scenario.vm.write(DROP_IN, SLOW.as_bytes())?;
    let provider = workload.provider().await?;
    let (applied, killed) =
        tokio::join!(workload.apply_by(&provider), kill(&scenario.vm, &provider));
    killed?;
    assert!(
        applied.is_err(),
        "{:?}",
        applied.map(|reported| texts(&reported))
    );
    assert!(workload.state.is_none());
    assert_eq!(scenario.objects()?.len(), 3);
    // The VM also restores its previous state by itself after an interrupted run.
    scenario.vm.shell(&format!("rm {DROP_IN}; sync"))?;
    scenario.vm.kill()?;
    scenario.vm.start()?;
    scenario.vm.wait_until_up()?;
    wait_for("the VM has taken its run back", || {
        crate::failures::clean(&scenario)
    })?;
    workload.converge().await
}

/// The program changes nothing before it reports that it runs.
#[tokio::test]
async fn a_program_that_cannot_start_leaves_no_state() -> Done {
    let scenario = Scenario::begin("not-begun")?;
    scenario.vm.shell("echo >/run/mesh-vm")?;
    let mut workload = Workload::new(&scenario)?;
    let reported = workload.apply().await?;
    fails(&reported, "vm-program", &["cannot write to /run/mesh-vm"])?;
    crate::failures::untouched(&scenario, &workload)?;
    scenario.vm.shell("rm /run/mesh-vm")?;
    workload.converge().await
}

/// A package that cannot be removed is reported, the owner's marker is kept, and the next destroy continues.
#[tokio::test]
async fn a_removal_that_stops_is_reported_and_completed_by_the_next_destroy() -> Done {
    let scenario = Scenario::begin("not-removed")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    stopped_too_early(&scenario, &mut workload).await?;
    let hook = "/var/lib/dpkg/info/istio-sidecar.prerm";
    let refuse = "#!/bin/sh\necho not yet >&2; exit 1\n";
    scenario.vm.write(hook, refuse.as_bytes())?;
    scenario.vm.shell(&format!("chmod +x {hook}"))?;
    let reported = workload.destroy().await?;
    fails(&reported, "vm-not-removed", &["\"uninstall\"", "not yet"])?;
    assert!(workload.state.is_some());
    assert_eq!(scenario.objects()?.len(), 3);
    scenario.vm.shell(&format!("rm {hook}"))?;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(scenario.objects()?, [""; 0]);
    assert!(crate::failures::clean(&scenario)?);
    Ok(())
}

/// A proxy that cannot be stopped keeps serving with its previous entry. Fields of another manager remain that manager's.
async fn stopped_too_early(scenario: &Scenario, workload: &mut Workload) -> Done {
    let path = scenario.object("workloadentries", NAME);
    let weight = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "spec": {"weight": 7},
        "metadata": {"namespace": scenario.namespace, "name": NAME}});
    scenario.kubectl().apply(&weight)?;
    let owners = |entry: &serde_json::Value| -> Vec<String> {
        let managers = entry["metadata"]["managedFields"]
            .as_array()
            .into_iter()
            .flatten();
        let of = managers.filter(|of| !of["fieldsV1"]["f:spec"]["f:weight"].is_null());
        of.map(|of| of["manager"].to_string()).collect()
    };
    let before = scenario.kubectl().get(&path)?;
    let hook = "hook() { [ \"$1\" != stop ] || sweep_chains() { echo not now >&2; return 1; }; }";
    crate::steps::hooked(&scenario.vm, hook)?;
    let reported = workload.destroy().await?;
    fails(
        &reported,
        "vm-not-removed",
        &["\"stop\"", "not now", "keeps its traffic"],
    )?;
    let after = scenario.kubectl().get(&path)?;
    assert_eq!(after["spec"], before["spec"]);
    let own = |entry: &serde_json::Value| {
        entry["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"].clone()
    };
    assert_eq!(own(&after), own(&before));
    assert!(after["metadata"]["annotations"]["mesh.vm/withdrawn"].is_null());
    assert_eq!(
        (owners(&before), owners(&after)),
        (vec!["\"bed\"".into()], vec!["\"bed\"".into()])
    );
    crate::ready(&scenario.vm)?;
    Ok(scenario.vm.write("/var/tmp/walk/hook", b"")?)
}

/// A state refers to one VM: the old one until it is clean.
#[tokio::test]
async fn an_interrupted_move_to_another_vm_forgets_neither() -> Done {
    let (from, to) = (Scenario::begin("move")?, Scenario::begin("move-to")?);
    let mut workload = Workload::new(&from)?;
    workload.config["proxy"]["interception"] = json!("none");
    workload.config["sidecar"]["egress_hosts"] = json!(["~/*"]);
    workload.config["timeouts"]["update"] = json!("4m");
    workload.converge().await?;
    to.vm.write(DROP_IN, SLOW.as_bytes())?;
    workload.config["address"] = json!(to.vm.address.to_string());
    workload.config["ssh"] = json!({"host_key": to.vm.host_key});
    let provider = workload.provider().await?;
    let stop = async {
        at_start(&to.vm).await?;
        Ok::<_, Failure>(provider.stop().await?)
    };
    let (reported, stopped) = tokio::join!(workload.apply_by(&provider), stop);
    stopped?;
    reported?;
    let address = workload.state.as_ref().map(|state| &state.value["address"]);
    let old = Value::String(from.vm.address.to_string());
    assert_eq!(address, Some(&old), "the state forgets the old VM");
    workload.converge().await?;
    assert!(crate::failures::clean(&from)?, "the old VM was left behind");
    crate::ready(&to.vm)
}

#[tokio::test]
async fn a_killed_ssh_session_is_resumed() -> Done {
    let scenario = Scenario::begin("session")?;
    let mut workload = joined(&scenario).await?;
    let cut = async {
        at_start(&scenario.vm).await?;
        let sessions = scenario.vm.shell(
            "pgrep -f '[s]shd: ubuntu' | xargs --no-run-if-empty kill -KILL && echo killed",
        )?;
        assert_eq!(sessions, "killed\n");
        Ok(())
    };
    taken_up(&scenario, &mut workload, cut).await
}

#[tokio::test]
async fn a_silent_link_is_detected_and_the_run_resumed() -> Done {
    let scenario = Scenario::begin("cut")?;
    let mut workload = joined(&scenario).await?;
    let cut = async {
        at_start(&scenario.vm).await?;
        Ok(scenario.vm.cut()?)
    };
    taken_up(&scenario, &mut workload, cut).await
}

/// Re-bootstraps while `cut` breaks the connection. The link is restored once the provider has noticed.
async fn taken_up(
    scenario: &Scenario,
    workload: &mut Workload,
    cut: impl Future<Output = Done>,
) -> Done {
    workload.config["labels"]["version"] = json!("v2");
    let provider = workload.provider().await?;
    let process = provider
        .process()
        .ok_or_else(|| Failure::new("no process"))?;
    let meanwhile = async {
        cut.await?;
        process.logged(LOST).await?;
        Ok::<_, Failure>(scenario.vm.restore()?)
    };
    let (reported, restored) = tokio::join!(workload.apply_by(&provider), meanwhile);
    restored?;
    assert_eq!(texts(&reported?), "");
    runs_on(&scenario.vm, "v2")?;
    workload.converge().await
}

/// Stops the provider while the VM starts its proxy: the apply returns before the VM has finished.
async fn stopped(scenario: &Scenario, workload: &mut Workload) -> Done {
    let provider = workload.provider().await?;
    let stop = async {
        at_start(&scenario.vm).await?;
        Ok::<_, Failure>(provider.stop().await?)
    };
    let (reported, stopped) = tokio::join!(workload.apply_by(&provider), stop);
    stopped?;
    let goes_on = scenario
        .vm
        .exec(&["test", "-e", "/var/lib/istio/mesh/run/end"])?;
    assert!(!goes_on.success(), "the provider waited for the VM");
    let reported = reported?;
    assert!(
        reported.iter().any(|one| one.severity == Severity::Error),
        "{}",
        texts(&reported)
    );
    assert_eq!(workload.drift("vm"), ["the bootstrap was not finished"]);
    Ok(())
}

/// Joins the VM to the mesh. Afterwards its proxy starts slowly.
async fn joined(scenario: &Scenario) -> Result<Workload> {
    let mut workload = Workload::new(scenario)?;
    workload.converge().await?;
    scenario.vm.write(DROP_IN, SLOW.as_bytes())?;
    Ok(workload)
}

/// Kills the provider while the VM starts its proxy.
pub(crate) async fn kill(vm: &Machine, provider: &Client) -> Done {
    at_start(vm).await?;
    let process = provider.process().and_then(contract::Process::id);
    let process = process.ok_or_else(|| Failure::new("no process"))?;
    Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status()?;
    Ok(())
}

/// Waits until a run on the VM starts the proxy.
async fn at_start(vm: &Machine) -> Done {
    let end = Instant::now() + Duration::from_mins(5);
    let look = "if [ ! -e /var/lib/istio/mesh/run/end ]; then tail -n 1 /var/lib/istio/mesh/run/steps 2>/dev/null; fi; true";
    while vm.shell(look)? != "start\n" {
        if Instant::now() > end {
            return Err(Failure::new("no run reaches the step start"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn runs_on(vm: &Machine, version: &str) -> Done {
    let labels = &acceptance_tests::proxy(vm)?["metadata"]["LABELS"];
    assert_eq!(labels["version"], version, "{labels:#}");
    Ok(())
}
