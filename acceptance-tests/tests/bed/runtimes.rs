//! Interception modes: changing the mode leaves nothing of the previous one.

use acceptance_tests::workload::{Workload, fails};
use acceptance_tests::{Done, Result, Scenario, listing, wait_for};
use bed::Machine;
use serde_json::json;

use crate::demo::{call_vm, can_call_pod};
use crate::ready;

/// Returns the tables with Istio's rules in any backend, and the routing rules that only tproxy has.
const RULES: &str = r#"
for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
  $tool-save 2>/dev/null | awk '/^[*]/ { table = substr($1, 2) } /ISTIO_|1053|15053/ && !seen[table]++ { print table }'
done | sort -u
ip rule | sed -n 's/.*fwmark/fwmark/p' | sort -u
ip route show table 133 2>/dev/null | sed 's/ *$//' || true
"#;

fn rules(vm: &Machine) -> Result<String> {
    let found = vm.shell(RULES)?;
    Ok(found.lines().map(str::trim).collect::<Vec<_>>().join(", "))
}

/// Routing of tproxy.
const ROUTES: &str = "fwmark 0x539 lookup 133, local default dev lo scope host";

/// Returns declared modes and the resulting rules.
fn modes() -> [(&'static str, bool, String); 3] {
    [
        ("tproxy", true, format!("mangle, nat, raw, {ROUTES}")),
        ("redirect", true, "nat, raw".to_owned()),
        ("tproxy", false, format!("mangle, nat, {ROUTES}")),
    ]
}

/// Returns the clients in the log of the application on the VM.
fn callers(vm: &Machine) -> Result<String> {
    Ok(vm.shell("journalctl -u ratings -o cat --no-pager | sed -n 's/ .*\"GET .*//p' | sort -u")?)
}

#[tokio::test]
async fn changing_the_interception_mode_leaves_nothing_of_the_previous_one() -> Done {
    let scenario = Scenario::begin("interception")?;
    let vm = &scenario.vm;
    let before = listing(vm)?;
    vm.shell("echo LISTEN=0.0.0.0:9080 >/etc/default/ratings && systemctl restart ratings")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"]["interception"] = json!("tproxy");
    let words = ["services.ratings.ports.http.app_address"];
    fails(&workload.apply().await?, "tproxy-loopback", &words)?;

    workload.config["services"]["ratings"]["ports"]["http"]["app_address"] = json!("0.0.0.0");
    for (interception, dns_capture, expected) in modes() {
        let way = format!("{interception}, DNS capture {dns_capture}");
        workload.config["proxy"]["interception"] = json!(interception);
        workload.config["proxy"]["dns_capture"] = json!(dns_capture);
        workload.converge().await?;
        assert_eq!(rules(vm)?, expected, "{way}");
        call_vm(&scenario)?;
        // In the bed, only the proxy resolves names of the mesh.
        if dns_capture {
            can_call_pod(&scenario)?;
        }
        if (interception, dns_capture) == ("tproxy", true) {
            let pod = scenario.pods[0].address.to_string();
            assert!(callers(vm)?.lines().any(|caller| caller == pod));
            // A restart of the proxy has the same result as a bootstrap.
            vm.shell("systemctl restart istio")?;
            ready(vm)?;
            call_vm(&scenario)?;
        }
    }
    // Without rules, the proxy listens on the VM's address and the application on 127.0.0.1.
    vm.shell("rm /etc/default/ratings && systemctl restart ratings")?;
    workload.config["services"]["ratings"]["ports"]["http"]["app_address"] = json!(null);
    workload.config["proxy"]["interception"] = json!("none");
    workload.config["sidecar"]["egress_hosts"] = json!(["~/*"]);
    workload.converge().await?;
    assert_eq!(rules(vm)?, "");
    call_vm(&scenario)?;
    workload.destroy().await?;
    assert_eq!(listing(vm)?.since(&before), [""; 0]);
    Ok(())
}

/// A name server on the loopback interface that returns one address for all names.
const RESOLVER: &str = r#"
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.53", 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    is_a = query[end - 4:end - 2] == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc0\0\2\x35" if is_a else b""
    server.sendto(query[:2] + b"\x81\x80\0\1\0" + bytes([is_a]) + b"\0\0\0\0" + query[12:end] + answer, client)
"#;

#[tokio::test]
async fn a_local_name_server_works_together_with_dns_capture() -> Done {
    let scenario = Scenario::begin("resolver")?;
    let vm = &scenario.vm;
    vm.write("/root/resolver.py", RESOLVER.as_bytes())?;
    vm.write("/etc/resolv.conf", b"nameserver 127.0.0.53\n")?;
    vm.shell("systemd-run --quiet --unit=resolver python3 /root/resolver.py")?;
    let outside = || vm.shell("getent ahostsv4 outside.example.com | awk 'NR == 1 { print $1 }'");
    wait_for("the name server answers", || {
        outside().map(|address| address.trim() == "192.0.2.53")
    })?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"]["dns_capture"] = json!(true);
    for _ in 0..2 {
        workload.converge().await?;
        can_call_pod(&scenario)?;
        // It also resolves names of the mesh, so the pod's address came from the proxy.
        assert_eq!(outside()?.trim(), "192.0.2.53");
        workload.config["labels"]["version"] = json!("v2");
    }
    let pod = format!("{}.{}", scenario.pods[0].name, scenario.pods[0].namespace);
    let address = vm.shell(&format!(
        "getent ahostsv4 {pod} | awk 'NR == 1 {{ print $1 }}'"
    ))?;
    assert_ne!(address.trim(), "192.0.2.53");
    Ok(())
}
