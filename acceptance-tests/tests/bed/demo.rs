//! The demo: from a configuration to requests over mutual TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use acceptance_tests::{Done, Scenario, Terraform, wait_for};
use bed::Machine;

use crate::WORKLOAD;

/// The mesh is STRICT, the application listens only on 127.0.0.1, and the address is unknown at plan.
#[test]
fn a_vm_created_in_the_same_apply_and_the_pods_reach_each_other_over_mutual_tls() -> Done {
    let scenario = Scenario::begin("demo")?;
    let terraform = Terraform::new(&scenario, "workload")?;
    let plan = terraform.plan(&[])?;
    let unknown = &plan.change(WORKLOAD)["after_unknown"];
    assert_eq!(unknown["address"], true, "{unknown:#}");
    terraform.apply_saved(&plan)?;

    assert_eq!(terraform.state(WORKLOAD)?["spiffe_id"], vm_id(&scenario));
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    refuses_strangers(&scenario)
}

/// Checks that clients reach the application only through the VM's proxy, which requires a certificate.
fn refuses_strangers(scenario: &Scenario) -> Done {
    let listeners = scenario
        .vm
        .shell("ss -Hltn sport = :9080 | awk '{ print $4 }'")?;
    assert_eq!(listeners.trim(), "127.0.0.1:9080");
    let mut stranger = TcpStream::connect((scenario.vm.address, 9080))?;
    stranger.set_read_timeout(Some(Duration::from_secs(20)))?;
    stranger.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    // The proxy resets the connection or closes it.
    let _ = stranger.read_to_end(&mut answer);
    assert_eq!(String::from_utf8_lossy(&answer), "");
    Ok(())
}

/// Returns the VM's SPIFFE ID.
pub(crate) fn vm_id(scenario: &Scenario) -> String {
    format!(
        "spiffe://cluster.local/ns/{}/sa/bookinfo-ratings",
        scenario.namespace
    )
}

/// Sends a request from a pod to the VM; each side sees the other's SPIFFE ID.
pub(crate) fn call_vm(scenario: &Scenario) -> Done {
    let url = format!("http://ratings.vm.{}:9080/ratings/7", scenario.namespace);
    call(
        &scenario.pods[0],
        &url,
        &scenario.pods[0].spiffe_id(),
        &vm_id(scenario),
    )
}

/// Sends a request from the VM to a pod; each side sees the other's SPIFFE ID.
pub(crate) fn can_call_pod(scenario: &Scenario) -> Done {
    let pod = &scenario.pods[0];
    let url = format!("http://{}.{}:9080/hello", pod.name, pod.namespace);
    call(&scenario.vm, &url, &vm_id(scenario), &pod.spiffe_id())
}

/// Sends requests until the caller's proxy knows the target, and checks both identities.
pub(crate) fn call(from: &Machine, url: &str, caller: &str, answerer: &str) -> Done {
    wait_for(&format!("{} calls {url}", from.name), || {
        let answer = from.curl(url, &[]).map_err(|error| error.chain())?;
        let seen = [format!("URI={caller}"), format!("By={answerer}")];
        if answer.status == 200 && !seen.iter().all(|part| answer.body.contains(part)) {
            return Err(format!("{seen:?} are not in {}", answer.body));
        }
        if answer.status == 200 {
            Ok(true)
        } else {
            Err(format!("{} {}", answer.status, answer.body))
        }
    })
}
