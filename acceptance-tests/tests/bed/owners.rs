//! A workload has one owner: what one run works on, no other run takes, deletes or brings back.

use std::pin::pin;

use acceptance_tests::workload::{NAME, Workload, fails, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use bed::Machine;
use serde_json::json;

use crate::steps::hooked;

/// Holds the next bootstrap at its step `stage` until it is released.
const HELD: &str = "hook() { [ \"$1\" != stage ] || [ -e /var/tmp/walk/once ] || { : >/var/tmp/walk/once; await 60 [ -e /var/tmp/walk/go ]; }; }";

/// Waits until the bootstrap is held.
async fn held(vm: &Machine) -> Done {
    let vm = vm.clone();
    let there = "timeout 60 sh -c 'until [ -e /var/tmp/walk/once ]; do sleep 0.1; done'";
    let waited = tokio::task::spawn_blocking(move || vm.shell(there)).await;
    waited.map_err(|error| Failure::new(error.to_string()))??;
    Ok(())
}

/// Takes the VM of another workload over with a package that the VM rejects, and runs `meanwhile` before that.
async fn fail_to_take_over(scenario: &Scenario, meanwhile: impl Fn() -> Done) -> Done {
    scenario
        .vm
        .shell("rm -f /var/tmp/walk/once /var/tmp/walk/go")?;
    let mut other = Workload::new(scenario)?;
    other.config["name"] = json!("stars-vm");
    other.config["services"] = json!({});
    other.config["proxy"]["install"]["sha256"] = json!("0".repeat(64));
    let mut apply = pin!(other.apply());
    tokio::select! {
        early = &mut apply => return Err(Failure::new(texts(&early?))),
        held = held(&scenario.vm) => held?,
    }
    meanwhile()?;
    scenario.vm.shell("touch /var/tmp/walk/go")?;
    let reported = apply.await?;
    fails(&reported, "vm-reverted", &["SHA-256"])?;
    assert_eq!(reported.len(), 1, "{}", texts(&reported));
    Ok(())
}

/// The former entry is given its traffic back only if it is still the one that was withdrawn.
#[tokio::test]
async fn a_rollback_restores_only_what_is_still_withdrawn_by_it() -> Done {
    let scenario = Scenario::begin("rollback")?;
    let mut first = Workload::new(&scenario)?;
    first.converge().await?;
    hooked(&scenario.vm, HELD)?;
    let (kubectl, path) = (scenario.kubectl(), scenario.object("workloadentries", NAME));
    let before = kubectl.get(&path)?["spec"].clone();
    fail_to_take_over(&scenario, || {
        assert!(mesh::withdrawal::is_withdrawn(&kubectl.get(&path)?));
        Ok(())
    })
    .await?;
    let entry = kubectl.get(&path)?;
    assert!(!mesh::withdrawal::is_withdrawn(&entry), "{entry:#}");
    assert_eq!(entry["spec"], before);

    // Its own run has moved it to another VM meanwhile.
    let object = format!("workloadentry/{NAME}");
    let moved = json!({
        "metadata": { "annotations": { "mesh.vm/withdrawn": null } }, "spec": { "address": "10.99.0.99" },
    });
    fail_to_take_over(&scenario, || {
        Ok(kubectl.patch(&scenario.namespace, &object, &moved, &[])?)
    })
    .await?;
    assert_eq!(kubectl.get(&path)?["spec"]["address"], "10.99.0.99");

    let back = json!({ "spec": { "address": scenario.vm.address.to_string() } });
    kubectl.patch(&scenario.namespace, &object, &back, &[])?;
    fail_to_take_over(&scenario, || {
        Ok(kubectl.delete(&scenario.namespace, &format!("WorkloadEntry/{NAME}"))?)
    })
    .await?;
    assert_eq!(kubectl.find(&path)?, None, "a destroyed entry comes back");
    Ok(())
}

/// A state without the workload waits, and does not take over what another state bootstraps.
#[tokio::test]
async fn a_create_waits_for_a_run_that_lives_and_takes_nothing_over() -> Done {
    let scenario = Scenario::begin("waits")?;
    let mut first = Workload::new(&scenario)?;
    first.converge().await?;
    hooked(&scenario.vm, HELD)?;
    first.config["labels"]["version"] = json!("v2");
    let mut other = Workload::new(&scenario)?;
    let client = other.provider().await?;
    let process = client.process().ok_or_else(|| Failure::new("no process"))?;
    let meanwhile = async {
        held(&scenario.vm).await?;
        let release = async {
            process.logged("waits for the bootstrap").await?;
            Ok::<_, Failure>(scenario.vm.shell("touch /var/tmp/walk/go")?)
        };
        let (refused, released) = tokio::join!(other.apply_by(&client), release);
        released?;
        fails(
            &refused?,
            "workload-exists",
            &["moved {", "terraform import"],
        )
    };
    let (applied, refused) = tokio::join!(first.apply(), meanwhile);
    refused?;
    assert_eq!(texts(&applied?), "");
    assert!(other.state.is_none());
    first.converge().await
}

/// A key of `for_each` that is renamed without `moved`: Terraform creates and destroys at the same time.
#[tokio::test]
async fn a_create_in_the_apply_of_a_destroy_comes_after_it() -> Done {
    let scenario = Scenario::begin("renamed")?;
    let mut old = Workload::new(&scenario)?;
    old.converge().await?;
    let mut new = Workload::new(&scenario)?;
    let client = old.provider().await?;
    let (destroyed, created) = tokio::join!(old.destroy_by(&client), new.apply_by(&client));
    assert_eq!(texts(&destroyed?), "");
    assert_eq!(texts(&created?), "");
    assert_eq!(scenario.objects()?.len(), 3);
    new.converge().await
}

/// Two processes with two states: each checks before the other has written anything.
#[tokio::test]
async fn of_two_creates_at_once_one_owns_the_workload() -> Done {
    let scenario = Scenario::begin("twice-at-once")?;
    let both = [Workload::new(&scenario)?, Workload::new(&scenario)?];
    let [mut one, mut other] = both.map(|workload| {
        let mut workload = workload.objects_only();
        workload.config["timeouts"]["create"] = json!("30s");
        workload
    });
    let (first, second) = tokio::join!(one.apply(), other.apply());
    let (first, second) = (first?, second?);
    let states = [&one, &other].map(|of| of.state.is_some());
    let refused = if states[0] { &second } else { &first };
    assert!(
        states[0] != states[1],
        "{}{}",
        texts(&first),
        texts(&second)
    );
    assert!(!refused.is_empty());
    let mut owner = if states[0] { one } else { other };
    owner.converge().await
}

/// Terraform applies the instances of `count` at the same time, in one process.
#[tokio::test]
async fn one_apply_creates_a_name_and_an_address_once() -> Done {
    let scenario = Scenario::begin("count")?;
    let instance = |name: &str, address: &str| -> Result<Workload> {
        let mut workload = Workload::new(&scenario)?.objects_only();
        workload.config["services"] = json!({});
        workload.config["name"] = json!(name);
        workload.config["address"] = json!(address);
        Ok(workload)
    };
    let mut first = instance("a", "10.99.0.1")?;
    let client = first.provider().await?;
    assert_eq!(texts(&first.apply_by(&client).await?), "");
    let reported = instance("a", "10.99.0.2")?.apply_by(&client).await?;
    fails(&reported, "workload-exists", &["same apply", "10.99.0.1"])?;
    let reported = instance("b", "10.99.0.1")?.apply_by(&client).await?;
    fails(&reported, "address-taken", &["same apply", "/a"])?;
    assert_eq!(texts(&first.destroy_by(&client).await?), "");
    let mut second = instance("b", "10.99.0.1")?;
    assert_eq!(texts(&second.apply_by(&client).await?), "");
    Ok(())
}
