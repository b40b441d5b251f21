//! Certificates and tokens from elsewhere: an authority that is not istiod, and a command that renews the token.

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;

use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Done, Result, Scenario, wait_for};
use bed::{CUSTOM_HOST, Machine};
use serde_json::json;

use crate::demo::{call_vm, can_call_pod};
use crate::failures::clean;

const TOKEN: &str = "/var/run/secrets/tokens/istio-token";

/// Returns the process of the proxy.
fn pid(vm: &Machine) -> Result<String> {
    Ok(vm.shell("pgrep -xo pilot-agent")?)
}

/// A working VM keeps its proxy, whatever is wrong on the way to the authority; and one that works issues the certificate.
#[tokio::test]
async fn an_authority_that_the_vm_cannot_use_is_refused_while_the_proxy_runs_on() -> Done {
    let scenario = Scenario::begin("authority")?;
    let (vm, address) = (&scenario.vm, scenario.control_plane_address());
    vm.shell(&format!("echo {address} {CUSTOM_HOST} >>/etc/hosts"))?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let before = pid(vm)?;
    // It accepts connections, and answers none in TLS.
    let plain = plain_server(&address)?;
    for (authority, words) in [
        ("csr.nowhere.example:443".to_owned(), "ca-dns"),
        (format!("{address}:1"), "ca"),
        (plain, "ca-certificate"),
        // istiod's certificate does not contain its address.
        (format!("{address}:15012"), "ca-certificate"),
    ] {
        workload.block["istio"]["ca_address"] = json!(authority);
        workload.config["labels"]["version"] = json!("v2");
        let line = format!("{words}: {authority}");
        fails(
            &workload.apply().await?,
            "vm-reverted",
            &[&line, "certificate authority"],
        )?;
        assert_eq!(pid(vm)?, before, "{authority}: the proxy was stopped");
    }
    call_vm(&scenario)?;
    workload.block["istio"]["ca_address"] = json!(format!("{CUSTOM_HOST}:15012"));
    workload.converge().await?;
    assert_ne!(pid(vm)?, before);
    let environment = "tr '\\0' '\\n' </proc/$(pgrep -xo pilot-agent)/environ | grep '^CA_ADDR='";
    assert_eq!(
        vm.shell(environment)?,
        format!("CA_ADDR={CUSTOM_HOST}:15012\n")
    );
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

fn plain_server(address: &str) -> Result<String> {
    let listener = TcpListener::bind((address, 0))?;
    let at = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        }
    });
    Ok(at)
}

/// The VM's own command brings each token after the first one.
#[tokio::test]
async fn a_token_command_renews_the_token_and_is_removed_with_its_attribute() -> Done {
    let scenario = Scenario::begin("token-command")?;
    let vm = &scenario.vm;
    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"]["token_command"] = json!("echo no token");
    let words = ["the token command printed", "proxy.token_command"];
    fails(&workload.apply().await?, "vm-reverted", &words)?;
    assert!(clean(&scenario)?, "the VM was touched");

    let account = ["create", "token", "bookinfo-ratings", "--namespace"];
    let words = [&account[..], &[&scenario.namespace, "--audience=istio-ca"]].concat();
    let token = scenario.kubectl().call(&words, b"")?;
    vm.write("/root/token", token.trim().as_bytes())?;
    workload.config["proxy"]["token_command"] = json!("cat /root/token # it's \"ours\"");
    workload.converge().await?;
    // Its own command was run when the proxy started.
    let there = || vm.shell(&format!("cat {TOKEN} 2>/dev/null || :"));
    assert_eq!(there()?.trim(), token.trim());
    let fast = "[Timer]\nOnActiveSec=0\nOnUnitInactiveSec=1s\nAccuracySec=100ms\n";
    let drop_in = "/run/systemd/system/mesh-vm-token.timer.d/fast.conf";
    vm.write(drop_in, fast.as_bytes())?;
    vm.shell(&format!(
        "rm {TOKEN} && systemctl daemon-reload && systemctl restart mesh-vm-token.timer"
    ))?;
    wait_for("the timer fetches a token", || {
        there().map(|text| text.trim() == token.trim())
    })?;
    is_observed(vm, &mut workload).await?;

    workload.config["proxy"]["token_command"] = json!(null);
    workload.converge().await?;
    assert_eq!(vm.shell(LEFT)?, "");
    workload.config["proxy"]["token_command"] = json!("cat /root/token");
    workload.converge().await?;
    vm.shell("systemctl is-active mesh-vm-token.timer")?;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(vm.shell(LEFT)?, "");
    assert!(clean(&scenario)?, "the VM was not cleaned");
    Ok(())
}

/// What only a token command leaves on a VM.
const LEFT: &str = "systemctl list-units --all 'mesh-vm-token*' --plain --no-legend; ls /var/lib/istio /etc/systemd/system /etc/systemd/system/istio.service.d 2>/dev/null | grep token || :";

/// Everything that renews the token is drift where it differs.
async fn is_observed(vm: &Machine, workload: &mut Workload) -> Done {
    vm.shell(
        "systemctl stop mesh-vm-token.timer; echo false >/var/lib/istio/token-command; \
         echo '# edited' >>/etc/systemd/system/mesh-vm-token.service; rm /var/lib/istio/mesh-vm-token",
    )?;
    workload.refresh().await?;
    let mut drift = workload.drift("vm");
    drift.sort_unstable();
    let changed = |what: &str| format!("proxy: {what} is not as the bootstrap left it");
    let expected = [
        "configuration: /var/lib/istio/token-command: content differs".to_owned(),
        changed("/etc/systemd/system/mesh-vm-token.service"),
        changed("/var/lib/istio/mesh-vm-token"),
        changed("the timer mesh-vm-token"),
    ];
    assert_eq!(drift, expected);
    Ok(())
}
