//! Faults of a VM, or between it and the mesh, are reported; the VM is restored, and the next apply converges.

use std::path::Path;
use std::process::Command;

use acceptance_tests::workload::{NAME, Workload, fails, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, wait_for};
use serde_json::json;

use crate::failures::{clean, untouched};
use crate::steps::hooked;

#[tokio::test]
async fn a_read_only_disk_is_reported_and_nothing_is_written() -> Done {
    let scenario = Scenario::begin("read-only")?;
    let vm = &scenario.vm;
    vm.shell("mkdir /var/lib/istio && mount -t tmpfs -o ro tmpfs /var/lib/istio")?;
    let mut workload = Workload::new(&scenario)?;
    let reported = workload.apply().await?;
    fails(&reported, "vm-reverted", &["Read-only file system"])?;
    vm.shell("umount /var/lib/istio && rmdir /var/lib/istio")?;
    untouched(&scenario, &workload)?;
    workload.converge().await
}

/// The second apply waits. If its time is too short, it reports who is running.
#[tokio::test]
async fn two_concurrent_applies_run_one_after_the_other() -> Done {
    let scenario = Scenario::begin("at-once")?;
    let vm = &scenario.vm;
    let mut first = Workload::new(&scenario)?;
    first.converge().await?;
    hooked(
        vm,
        "hook() { [ \"$1\" != start ] || [ -e /var/tmp/walk/once ] || { : >/var/tmp/walk/once; await 60 [ -e /var/tmp/walk/go ]; }; }",
    )?;
    let same = |version: &str, update: &str| -> Result<Workload> {
        let mut workload = Workload::new(&scenario)?;
        workload.state.clone_from(&first.state);
        workload.config["labels"]["version"] = json!(version);
        workload.config["timeouts"]["update"] = json!(update);
        Ok(workload)
    };
    let (mut hasty, mut patient) = (same("v3", "20s")?, same("v4", "4m")?);
    first.config["labels"]["version"] = json!("v2");
    first.config["timeouts"]["update"] = json!("4m");
    let second = async {
        let (vm, there) = (
            vm.clone(),
            "until [ -e /var/tmp/walk/once ]; do sleep 0.1; done",
        );
        let waited = tokio::task::spawn_blocking(move || vm.shell(there)).await;
        waited.map_err(|error| Failure::new(error.to_string()))??;
        let run = scenario.vm.shell("cat /var/lib/istio/mesh/run/id")?;
        fails(&hasty.apply().await?, "vm-busy", &[run.trim(), "bootstrap"])?;
        // The proxy is stopped: the rejected apply does not restore its traffic.
        let entry = scenario
            .kubectl()
            .get(&scenario.object("workloadentries", NAME))?;
        assert!(mesh::withdrawal::is_withdrawn(&entry), "{entry:#}");
        let go = async { Ok::<_, Failure>(scenario.vm.shell("touch /var/tmp/walk/go")?) };
        let (reported, gone) = tokio::join!(patient.apply(), go);
        gone?;
        reported
    };
    let (reported, second) = tokio::join!(first.apply(), second);
    assert_eq!(
        (texts(&reported?), texts(&second?)),
        (String::new(), String::new())
    );
    let labels = &acceptance_tests::proxy(vm)?["metadata"]["LABELS"];
    assert_eq!(labels["version"], "v4", "{labels:#}");
    patient.converge().await
}

/// An immutable `ConfigMap` prevents istiod from repairing it.
#[tokio::test]
async fn a_wrong_trust_root_is_reported() -> Done {
    let scenario = Scenario::begin("root")?;
    let other = other_root()?;
    let wrong = json!({"immutable": true, "data": {"root-cert.pem": other}});
    let map = "configmap/istio-ca-root-cert";
    let kubectl = scenario.kubectl();
    kubectl.patch(&scenario.namespace, map, &wrong, &[])?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["timeouts"]["create"] = json!("4m");
    let words = [
        "the mesh's root certificate",
        "istio-ca-root-cert",
        "the VM is as it was",
    ];
    fails(&workload.apply().await?, "vm-reverted", &words)?;
    assert!(clean(&scenario)?, "the VM was not taken back");
    kubectl.delete(&scenario.namespace, map)?;
    let there = format!(
        "/api/v1/namespaces/{}/configmaps/istio-ca-root-cert",
        scenario.namespace
    );
    wait_for("istiod's root certificate is back", || {
        kubectl.find(&there).map(|found| found.is_some())
    })?;
    workload.converge().await
}

#[tokio::test]
async fn a_token_for_another_audience_is_reported() -> Done {
    let scenario = Scenario::begin("audience")?;
    let token = scenario
        .kubectl()
        .token(&scenario.namespace, "bookinfo-ratings", Some("other"))?;
    scenario.vm.write("/var/tmp/other", token.as_bytes())?;
    hooked(
        &scenario.vm,
        "hook() { [ \"$1\" != token ] || cp /var/tmp/other \"$run_dir/token\"; }",
    )?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["timeouts"]["create"] = json!("4m");
    let reported = workload.apply().await?;
    fails(
        &reported,
        "vm-reverted",
        &["failed at the token", "audience", "the VM is as it was"],
    )?;
    assert!(!texts(&reported).contains(token.as_str()));
    assert!(clean(&scenario)?, "the VM was not taken back");
    scenario.vm.write("/var/tmp/walk/hook", b"")?;
    workload.converge().await
}

/// Port 15012 is reachable, but istiod's certificate does not contain the requested name.
#[tokio::test]
async fn a_control_plane_with_another_name_in_its_certificate_is_reported() -> Done {
    let scenario = Scenario::begin("tls-name")?;
    let vm = &scenario.vm;
    let address = scenario.control_plane_address();
    vm.shell(&format!("echo {address} other.example.com >>/etc/hosts"))?;
    // Without curl, the proxy is the first to see the certificate.
    hooked(
        vm,
        "probe_certificate() { :; }; do_ready() { await 10 is_certified; }",
    )?;
    let mut workload = Workload::new(&scenario)?;
    let right = workload.block["istio"].take();
    workload.block["istio"] = json!({ "control_plane_address": "other.example.com" });
    let words = ["the name in istiod's certificate", "the VM is as it was"];
    fails(&workload.apply().await?, "vm-reverted", &words)?;
    assert!(clean(&scenario)?, "the VM was not taken back");
    vm.write("/var/tmp/walk/hook", b"")?;
    workload.block["istio"] = right;
    workload.converge().await
}

/// Serves the package from the VM itself, with a pause in the middle that is longer than the allowed silence.
const SLOW: &str = r#"
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        size = os.path.getsize("/var/tmp/package.deb")
        self.send_response(200)
        self.send_header("content-length", str(size))
        self.end_headers()
        with open("/var/tmp/package.deb", "rb") as package:
            self.wfile.write(package.read(size // 2))
            time.sleep(18)
            self.wfile.write(package.read())
http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"#;

#[tokio::test]
async fn a_slow_download_of_the_package_is_awaited() -> Done {
    let scenario = Scenario::begin("slow-package")?;
    let (url, _) = scenario.package();
    let vm = &scenario.vm;
    vm.write("/var/tmp/slow.py", SLOW.as_bytes())?;
    vm.shell(&format!(
        "curl -fsS -o /var/tmp/package.deb {url} && systemd-run --quiet --unit=slow python3 /var/tmp/slow.py"
    ))?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"]["install"]["url"] = json!("http://127.0.0.1:8000/package.deb");
    workload.converge().await
}

#[tokio::test]
async fn a_sudo_that_records_the_token_and_an_address_without_interception_cause_warnings() -> Done
{
    let scenario = Scenario::begin("sudo-log")?;
    let defaults = format!("Defaults:{} log_input\n", scenario.vm.user);
    scenario
        .vm
        .write("/etc/sudoers.d/log", defaults.as_bytes())?;
    scenario.vm.shell("chmod 440 /etc/sudoers.d/log")?;
    let mut workload = Workload::new(&scenario)?;
    scenario.vm.shell(
        "sysctl -q net.ipv6.conf.all.disable_ipv6=0; ip -6 address add 2001:db8::7/64 dev eth0 nodad",
    )?;
    let reported = workload.apply().await?;
    let [sudo, address] = &reported[..] else {
        return Err(Failure::new(texts(&reported)));
    };
    holds(sudo, "sudo-log", &["!log_input"])?;
    let words = ["2001:db8::7", "ISTIO_DUAL_STACK", "proxy.interception"];
    holds(address, "not-intercepted", &words)?;
    // The suggested next step works.
    workload.config["env"] = json!({ "ISTIO_DUAL_STACK": "true" });
    match &workload.apply().await?[..] {
        [warning] => holds(warning, "sudo-log", &["!log_input"]),
        reported => Err(Failure::new(texts(reported))),
    }
}

/// Returns a root certificate of another mesh.
pub(crate) fn other_root() -> Result<String> {
    new_root(Path::new("/dev/null"))
}

/// Creates a root certificate, and writes its key.
pub(crate) fn new_root(key: &Path) -> Result<String> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-subj", "/O=other", "-days", "2", "-keyout"])
        .arg(key)
        .output()?;
    Ok(String::from_utf8_lossy(&made.stdout).into_owned())
}
