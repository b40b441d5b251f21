//! Clients do not notice that a VM joins, is re-bootstrapped or leaves while another one serves.

use std::collections::BTreeMap;

use acceptance_tests::workload::{Workload, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, wait_for};
use bed::Vm;
use serde_json::json;

/// A slow application. Stopping it or its proxy before the response causes an error at the client.
const SLOW: &str = r#"
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(8)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 9081), Handler).serve_forever()
"#;
/// Requests two ports of a name continuously until a file exists, and records each status.
const CALLS: &str = r#"
cd /var/tmp/load
calls() {
  while [ ! -e stop ]; do
    curl --silent --output /dev/null --max-time 20 --write-out '%{http_code} '"$1"'\n' "http://NAME:$1/" >>statuses
    sleep "$2"
  done
}
for n in 1 2 3 4 5 6 7 8; do sleep 0.5; calls 9081 0 & done
calls 9080 0.02 &
wait
"#;

#[tokio::test]
async fn no_request_is_lost_while_one_of_two_vms_joins_is_rebootstrapped_and_leaves() -> Done {
    let scenario = Scenario::begin_with("load", 2)?;
    let (first, second) = (&scenario.vm, &scenario.more[0]);
    let mut fleet = Workload::fleet(&scenario)?;
    let slow = json!({ "number": 9081, "protocol": "HTTP" });
    fleet.config["services"]["ratings"]["ports"]["slow"] = slow;
    fleet.converge().await?;
    let mut stays = member(&scenario, first)?;
    let mut changes = member(&scenario, second)?;
    // The drain must ask this port, and no certificate is where only pods have a folder.
    changes.config["proxy"]["config"] = json!("proxyAdminPort: 15099");
    changes.config["env"] = json!({ "OUTPUT_CERTS": "/etc/istio-output-certs" });
    stays.converge().await?;
    let load = Load::begin(&scenario)?;
    load.goes_on("from the start")?;

    let reported = changes.apply().await?;
    let [warning] = &reported[..] else {
        return Err(Failure::new(texts(&reported)));
    };
    holds(warning, "env-of-pods", &["OUTPUT_CERTS"])?;
    changes.config["env"] = json!({});
    changes.converge().await?;
    Load::reaches(second)?;
    changes.config["labels"]["version"] = json!("v2");
    changes.converge().await?;
    Load::reaches(second)?;
    assert_eq!(texts(&changes.destroy().await?), "");
    load.goes_on("at the end")?;
    let counts = load.end()?;
    assert!(
        counts.len() == 2 && counts.keys().all(|status| status.starts_with("200 ")),
        "{counts:?}"
    );
    assert_eq!(texts(&stays.destroy().await?), "");
    Ok(())
}

/// Returns a member of the scenario's fleet on one of its VMs, which runs the slow application.
fn member(scenario: &Scenario, vm: &Vm) -> Result<Workload> {
    vm.write("/var/tmp/slow.py", SLOW.as_bytes())?;
    vm.shell("systemd-run --quiet --unit=slow python3 /var/tmp/slow.py")?;
    let mut member = Workload::new(scenario)?.member();
    member.config["name"] = json!(vm.name);
    member.config["address"] = json!(vm.address.to_string());
    member.config["ssh"] = json!({ "host_key": vm.host_key });
    Ok(member)
}

/// Continuous requests from the pod.
struct Load<'a> {
    scenario: &'a Scenario,
}

impl<'a> Load<'a> {
    fn begin(scenario: &'a Scenario) -> Result<Self> {
        let name = format!("ratings.vm.{}", scenario.namespace);
        wait_for("the pod calls the VM", || {
            let url = format!("http://{name}:9081/");
            let answer = scenario.pods[0].curl(&url, &[]);
            answer.map(|answer| answer.status == 200)
        })?;
        let pod = &scenario.pods[0];
        pod.shell("rm -rf /var/tmp/load; mkdir /var/tmp/load")?;
        let calls = CALLS.replace("NAME", &name);
        pod.write("/var/tmp/load/calls", calls.as_bytes())?;
        pod.shell("systemd-run --quiet --unit=load --collect sh /var/tmp/load/calls")?;
        Ok(Self { scenario })
    }

    /// Waits until there are more responses.
    fn goes_on(&self, when: &str) -> Done {
        let before = self.counts()?.values().sum::<usize>();
        wait_for(&format!("calls {when}"), || {
            let now = self.counts()?.values().sum::<usize>();
            Ok::<_, Failure>(now > before + 50)
        })
    }

    /// Waits until the VM has responded to some of them, including slow ones.
    fn reaches(vm: &Vm) -> Done {
        let asked = "curl -s http://127.0.0.1:15099/clusters | awk -F :: '/^inbound[|]908/ && $3 == \"rq_success\" && $4 > 5' | wc -l";
        wait_for(&format!("calls reach {}", vm.name), || {
            vm.shell(asked).map(|ports| ports.trim() == "2")
        })
    }

    /// Returns the number of responses by port and status.
    fn counts(&self) -> Result<BTreeMap<String, usize>> {
        let said = self.scenario.pods[0].shell("cat /var/tmp/load/statuses 2>/dev/null; true")?;
        let mut counts = BTreeMap::new();
        for line in said.lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        Ok(counts)
    }

    fn end(self) -> Result<BTreeMap<String, usize>> {
        let pod = &self.scenario.pods[0];
        pod.shell("touch /var/tmp/load/stop")?;
        wait_for("the calls end", || {
            pod.shell("systemctl is-active load; true")
                .map(|state| state != "active\n")
        })?;
        self.counts()
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        // The pod is shared by all scenarios.
        let _ = self.scenario.pods[0].shell("touch /var/tmp/load/stop");
    }
}
