//! The members of a fleet take turns: no change of all of them is an outage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use acceptance_tests::workload::{FLEET, Workload, fails, texts};
use acceptance_tests::{Done, Result, Scenario, wait_for};
use bed::Vm;
use contract::{Client, Diagnostic};
use futures::future::join_all;
use serde_json::json;
use tempfile::TempDir;

use crate::interrupted::{DROP_IN, SLOW, kill};

/// Requests the fleet's name continuously until a file exists, and counts each status.
const CALLS: &str = r#"
while [ ! -e stop ]; do
  curl --silent --output /dev/null --max-time 20 --write-out '%{http_code}\n' 'http://NAME:9080/ratings/[1-10]' >>statuses
  sleep 0.1
done
"#;

/// What a line of the watch has: address, name and mark of an entry.
const LINE: &str =
    r#"jsonpath={.spec.address} {.metadata.name} {.metadata.annotations.mesh\.vm/withdrawn}{"\n"}"#;

/// Calls from the pod, and a watch on the entries.
struct Seen<'a> {
    scenario: &'a Scenario,
    watch: Child,
    folder: TempDir,
    /// Of the calls: the pod's unit, and its folder in `/var/tmp`. The pod is shared by all scenarios.
    calls: String,
}

impl<'a> Seen<'a> {
    fn begin(scenario: &'a Scenario) -> Result<Self> {
        let name = format!("ratings.vm.{}", scenario.namespace);
        let pod = &scenario.pods[0];
        wait_for("the pod calls the fleet", || {
            let answer = pod.curl(&format!("http://{name}:9080/ratings/1"), &[]);
            answer.map(|answer| answer.status == 200)
        })?;
        let calls = format!("calls-{}", scenario.namespace);
        let at = format!("/var/tmp/{calls}");
        pod.shell(&format!("rm -rf {at}; mkdir {at}"))?;
        pod.write(
            &format!("{at}/calls"),
            CALLS.replace("NAME", &name).as_bytes(),
        )?;
        let unit = format!("--unit={calls} --working-directory={at}");
        pod.shell(&format!("systemd-run --quiet --collect {unit} sh calls"))?;
        let folder = tempfile::tempdir()?;
        let kubectl = scenario.kubectl();
        let watch = Command::new(kubectl.binary())
            .arg("--kubeconfig")
            .arg(kubectl.kubeconfig())
            .args(["--namespace", &scenario.namespace, "get", "workloadentries"])
            .args(["--watch", "--output", LINE])
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("watch"))?)
            .spawn()?;
        Ok(Self {
            scenario,
            watch,
            folder,
            calls,
        })
    }

    /// Returns the most VMs that were withdrawn by a bootstrap at the same time, and the statuses of the calls.
    fn end(mut self) -> Result<(usize, BTreeSet<String>)> {
        self.stop()?;
        let (pod, calls) = (&self.scenario.pods[0], &self.calls);
        wait_for("the calls end", || {
            let state = pod.shell(&format!("systemctl is-active {calls}; true"));
            state.map(|state| state != "active\n")
        })?;
        let statuses = pod.shell(&format!("cat /var/tmp/{calls}/statuses"))?;
        let statuses: Vec<_> = statuses.lines().map(str::to_owned).collect();
        assert!(statuses.len() > 20, "{} calls", statuses.len());
        let watched = fs::read_to_string(self.folder.path().join("watch"))?;
        Ok((most_withdrawn(&watched), statuses.into_iter().collect()))
    }

    fn stop(&mut self) -> Done {
        let pod = &self.scenario.pods[0];
        pod.shell(&format!("touch /var/tmp/{}/stop", self.calls))?;
        self.watch.kill()?;
        self.watch.wait()?;
        Ok(())
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A VM is withdrawn while a bootstrap has withdrawn an entry of it and no other entry of it takes traffic.
fn most_withdrawn(watched: &str) -> usize {
    let mut vms = BTreeMap::<&str, BTreeMap<&str, &str>>::new();
    let mut most = 0;
    for line in watched.lines() {
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (address, name, mark) = (next(), next(), next());
        vms.entry(address).or_default().insert(name, mark);
        let is_withdrawn = |entries: &&BTreeMap<&str, &str>| {
            let by = |what: &str| entries.values().any(|mark| mark.contains(what));
            by("by=bootstrap") && entries.values().all(|mark| !mark.is_empty())
        };
        most = most.max(vms.values().filter(is_withdrawn).count());
    }
    most
}

#[test]
fn a_watch_counts_vms_and_not_entries() {
    let watched = "a one \na one by=bootstrap run=1\nb two by=bootstrap run=2\na new by=create run=1\na new \nc x by=destroy run=3\n";
    assert_eq!(most_withdrawn(watched), 2);
}

/// Asserts that no call failed, and how many VMs were withdrawn at a time.
#[track_caller]
fn held(seen: Seen<'_>, most: usize) -> Done {
    let (withdrawn, statuses) = seen.end()?;
    assert_eq!(withdrawn, most);
    assert_eq!(statuses, BTreeSet::from(["200".to_owned()]));
    Ok(())
}

/// Returns a member on each of the scenario's VMs.
fn members(scenario: &Scenario) -> Result<Vec<Workload>> {
    let machines = std::iter::once(&scenario.vm).chain(&scenario.more);
    let member = |vm: &Vm| -> Result<Workload> {
        let mut member = Workload::new(scenario)?.member();
        member.config["name"] = json!(vm.name);
        member.config["address"] = json!(vm.address.to_string());
        member.config["ssh"] = json!({ "host_key": vm.host_key });
        Ok(member)
    };
    machines.map(member).collect()
}

/// Applies all at once by one process, as Terraform does, and returns what each reports.
async fn apply(members: &mut [Workload], by: &Client) -> Result<Vec<Vec<Diagnostic>>> {
    let applies = members.iter_mut().map(|member| member.apply_by(by));
    join_all(applies).await.into_iter().collect()
}

async fn applied(members: &mut [Workload], by: &Client) -> Done {
    for reported in apply(members, by).await? {
        assert_eq!(texts(&reported), "");
    }
    Ok(())
}

fn set(members: &mut [Workload], pointer: &str, value: &serde_json::Value) {
    for member in members {
        if let Some(old) = member.config.pointer_mut(pointer) {
            *old = value.clone();
        }
    }
}

#[tokio::test]
async fn members_of_two_processes_lose_their_traffic_one_at_a_time() -> Done {
    let scenario = Scenario::begin_with("rollout", 4)?;
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.converge().await?;
    let mut all = members(&scenario)?;
    let (one, other) = (all[0].provider().await?, all[0].provider().await?);
    applied(&mut all, &one).await?;

    let seen = Seen::begin(&scenario)?;
    set(&mut all, "/labels/version", &json!("v2"));
    let (first, second) = all.split_at_mut(2);
    let (first, second) = tokio::join!(applied(first, &one), applied(second, &other));
    first.and(second)?;
    held(seen, 1)?;

    for member in &mut all {
        assert_eq!(texts(&member.destroy_by(&one).await?), "");
    }
    assert_eq!(texts(&fleet.destroy().await?), "");
    Ok(())
}

/// The others wait, and the next apply repairs the member first.
#[tokio::test]
async fn a_bootstrap_that_was_killed_holds_its_turn_until_the_next_apply() -> Done {
    let scenario = Scenario::begin_with("rollout-killed", 2)?;
    let mut fleet = Workload::fleet(&scenario)?;
    fleet.converge().await?;
    let mut all = members(&scenario)?;
    let provider = all[0].provider().await?;
    applied(&mut all, &provider).await?;
    set(&mut all, "/labels/version", &json!("v2"));
    scenario.vm.write(DROP_IN, SLOW.as_bytes())?;
    let before = all[0].state.clone();
    let (killed, waits) = all.split_at_mut(1);
    let (reported, done) =
        tokio::join!(killed[0].apply_by(&provider), kill(&scenario.vm, &provider));
    done?;
    assert!(reported.is_err(), "{:?}", reported.map(|of| texts(&of)));
    killed[0].state = before;
    scenario
        .vm
        .shell(&format!("rm {DROP_IN}; systemctl daemon-reload"))?;

    waits[0].config["timeouts"] = json!({ "update": "10s" });
    let seen = Seen::begin(&scenario)?;
    let late = waits[0].apply().await?;
    let id = format!("{}/{}", scenario.namespace, scenario.vm.name);
    fails(
        &late,
        "rollout-waits",
        &[&id, "withdrawn by a bootstrap", "10s"],
    )?;
    waits[0].config["timeouts"] = json!({ "update": "4m" });
    // A lock whose holder was killed is forgotten.
    let lease = json!({ "spec": { "holderIdentity": "killed" } });
    let name = format!("lease/mesh-vm-fleet-{FLEET}");
    scenario
        .kubectl()
        .patch(&scenario.namespace, &name, &lease, &[])?;
    let provider = waits[0].provider().await?;
    applied(&mut all, &provider).await?;
    held(seen, 1)?;
    for member in &mut all {
        assert_eq!(texts(&member.destroy_by(&provider).await?), "");
    }
    assert_eq!(texts(&fleet.destroy().await?), "");
    Ok(())
}
