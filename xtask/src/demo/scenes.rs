//! Scenes of the demo. Each scene checks its result.

use acceptance_tests::{Done, Failure, Listing, Result, listing, proxy, wait_for};
use bed::{Bed, Machine, Pod, Vm};
use serde_json::json;

use super::show::{done, peers, quote, say, workload_of};
use crate::terraform::Terraform;

/// Fails with a text unless a condition holds.
macro_rules! check {
    ($holds:expr, $otherwise:expr $(,)?) => {
        if $holds {
            Ok(())
        } else {
            Err(Failure::new($otherwise))
        }
    };
}

const NAMESPACE: &str = "bookinfo";
const VM_ID: &str = "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-ratings";
const RATINGS: &str = "http://ratings.vm.bookinfo:9080/ratings/7";
const CLUSTER_ENV: &str = "/var/lib/istio/envoy/cluster.env";
const KINDS: &str = "workloadentry,serviceentry,sidecar";
/// Commands that list traces of Istio on a VM.
const TRACES: &str = "
ls -d /etc/istio /var/lib/istio /usr/local/bin/pilot-agent /usr/local/bin/envoy 2>/dev/null
iptables-save 2>/dev/null | grep -i istio
getent passwd istio-proxy
systemctl list-unit-files --no-legend | grep -iE 'istio|mesh'
true";

/// Setting of the demo.
pub(super) struct Stage<'a> {
    pub(super) bed: &'a Bed,
    pub(super) vm: &'a Vm,
    pub(super) pod: &'a Pod,
    pub(super) terraform: Terraform,
}

impl Stage<'_> {
    /// Shows mesh and VM in their original state, and lists the VM.
    pub(super) fn before(&self) -> Result<Listing> {
        self.vm.shell("systemctl start ratings")?;
        wait_for("the application ratings listens", || {
            self.vm
                .shell("ss -Hltn sport = :9080")
                .map(|listening| listening.contains(":9080"))
        })?;
        self.kubectl(&[
            "get",
            "peerauthentication",
            "--namespace",
            "istio-system",
            "--output=custom-columns=NAME:.metadata.name,MTLS:.spec.mtls.mode",
        ])?;
        let listening = shown(self.vm, "ss -Hltn sport = :9080")?;
        check!(
            listening.contains("127.0.0.1:9080"),
            "the application should listen on 127.0.0.1 only",
        )?;
        let answer = self.pod.curl(RATINGS, &[])?;
        say(&format!(
            "  pod-1 calls {RATINGS}: {}",
            answer.body.trim_end()
        ));
        check!(answer.status != 200, "no response is expected yet")?;
        listing(self.vm)
    }

    /// Plans the creation.
    pub(super) fn first_plan(&self) -> Done {
        let plan = self.planned()?;
        check!(
            plan.lines()
                .any(|line| line.contains("+ address ") && line.ends_with("(known after apply)")),
            "the address should be unknown",
        )
    }

    /// Applies the displayed plan.
    pub(super) fn apply(&self, what: &str) -> Done {
        let (output, took) = self.terraform.apply_saved()?;
        quote(&done(&output));
        say(&format!("\n  {what} after {:.1} s", took.as_secs_f32()));
        check!(output.contains("Apply complete!"), &output)
    }

    /// Sends requests in both directions.
    pub(super) fn calls(&self) -> Done {
        let pod_id = self.pod.spiffe_id();
        call(self.pod, RATINGS, &pod_id, VM_ID)?;
        let hello = format!("http://{}.{}:9080/hello", self.pod.name, self.pod.namespace);
        call(self.vm, &hello, VM_ID, &pod_id)
    }

    /// Plans again.
    pub(super) fn nothing_to_do(&self) -> Done {
        match self.terraform.plan()? {
            None => {
                quote("No changes. Your infrastructure matches the configuration.");
                Ok(())
            }
            Some(plan) => Err(Failure::new(format!("the plan should be empty:\n{plan}"))),
        }
    }

    /// Changes the label `version`.
    pub(super) fn relabel(&mut self) -> Done {
        self.terraform.set("version_label", "v2")?;
        let plan = self.planned()?;
        check!(
            plan.contains("labels.version: v1 -> v2"),
            "the plan should give the label as reason",
        )?;
        self.apply("the VM is re-bootstrapped")?;
        let node = proxy(self.vm)?;
        let version = &node["metadata"]["LABELS"]["version"];
        say(&format!("  the running proxy's label: version = {version}"));
        check!(version == "v2", "the running proxy should have version v2")?;
        self.calls()
    }

    /// Changes the VM and the cluster outside of Terraform.
    pub(super) fn drift(&self) -> Done {
        shown(
            self.vm,
            &format!("sed -i \"s/^ISTIO_INBOUND_PORTS=.*/ISTIO_INBOUND_PORTS=80/\" {CLUSTER_ENV}"),
        )?;
        shown(self.vm, "systemctl stop istio")?;
        let patch =
            json!([{"op": "replace", "path": "/spec/hosts", "value": ["ratings.elsewhere"]}]);
        self.kubectl(&[
            "patch",
            "serviceentry",
            "--namespace",
            NAMESPACE,
            "ratings-vm-ratings",
            "--type=json",
            &format!("--patch={patch}"),
        ])?;
        say("");
        let plan = self.planned()?;
        for line in ["ISTIO_INBOUND_PORTS", "unit istio", "ratings.elsewhere"] {
            check!(plan.contains(line), &format!("the plan should show {line}"),)?;
        }
        self.apply("all differences are repaired")?;
        self.calls()?;
        self.nothing_to_do()
    }

    /// Destroys, and compares with the original listing.
    pub(super) fn destroy(&self, before: &Listing) -> Done {
        let (output, took) = self.terraform.destroy()?;
        quote(&done(&output));
        say(&format!("\n  gone after {:.1} s\n", took.as_secs_f32()));
        let left = self.kubectl(&["get", KINDS, "--namespace", NAMESPACE, "--output=name"])?;
        check!(left.trim().is_empty(), "objects are left")?;
        let traces = self.vm.shell(TRACES)?;
        say(&format!(
            "\n  Istio's files, rules, user and units on the VM: {}",
            or_none(&traces)
        ));
        let differences = listing(self.vm)?.since(before).join("\n");
        say(&format!(
            "  All files, users, units, rules and packages of the VM, compared with before: {}",
            or_none(&differences)
        ));
        check!(
            traces.trim().is_empty() && differences.is_empty(),
            "something is left on the VM",
        )
    }

    /// Plans and shows the part about the workload.
    fn planned(&self) -> Result<String> {
        let plan = self.terraform.plan()?;
        let plan = plan.ok_or_else(|| Failure::new("the plan should not be empty"))?;
        quote(&workload_of(&plan));
        say("");
        Ok(plan)
    }

    /// Runs and shows a command of kubectl.
    fn kubectl(&self, args: &[&str]) -> Result<String> {
        say(&format!("  $ kubectl {}", args.join(" ")));
        let output = self.bed.kubectl().call(args, b"")?;
        quote(or_none(&output));
        Ok(output)
    }
}

/// Runs and shows a command on a machine.
fn shown(machine: &Machine, script: &str) -> Result<String> {
    say(&format!("  {}$ {script}", machine.name));
    let output = machine.shell(script)?;
    quote(&output);
    Ok(output)
}

/// Sends requests until the caller's proxy knows the target, and shows the identities that each side saw.
fn call(from: &Machine, url: &str, caller: &str, answerer: &str) -> Done {
    let mut answer = None;
    wait_for(&format!("{} calls {url}", from.name), || {
        let got = from.curl(url, &[]).map_err(|error| error.chain())?;
        if got.status == 200 {
            answer = Some(got);
            return Ok(true);
        }
        Err(format!("{} {}", got.status, got.body))
    })?;
    let body = answer.map(|answer| answer.body).unwrap_or_default();
    let seen = peers(&body)
        .ok_or_else(|| Failure::new(format!("the response shows no mutual TLS: {body}")))?;
    say(&format!("  {} calls {url}: 200", from.name));
    say(&format!("    caller   {}", seen.caller));
    say(&format!("    answerer {}", seen.answerer));
    check!(
        seen.caller == caller && seen.answerer == answerer,
        &format!("it should be {caller} that calls {answerer}"),
    )
}

fn or_none(text: &str) -> &str {
    if text.trim().is_empty() {
        "none"
    } else {
        text.trim_end()
    }
}
