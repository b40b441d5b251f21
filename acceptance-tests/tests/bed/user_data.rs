//! A VM that joins by itself when it boots, with cloud-init: it determines its address and obtains a token.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use acceptance_tests::{Done, Plan, Result, Scenario, Terraform, wait_for};
use bed::Machine;
use serde_json::{Value, json};

use crate::demo::{call_vm, can_call_pod};
use crate::offload::{is_connected, unpacked};
use crate::secrets::archive;

/// Starts a service that issues tokens to the VM, and returns its address.
fn token_service(scenario: &Scenario) -> Result<String> {
    let listener = TcpListener::bind((scenario.control_plane_address().as_str(), 0))?;
    let url = format!("http://{}/token", listener.local_addr()?);
    let (kubectl, namespace) = (scenario.kubectl().clone(), scenario.namespace.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let words = [
                "create",
                "token",
                "bookinfo-ratings",
                "--namespace",
                &namespace,
                "--audience=istio-ca",
                "--duration=10m",
            ];
            let token = kubectl.call(&words, b"").unwrap_or_default();
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{token}",
                token.len()
            );
        }
    });
    Ok(url)
}

/// Copies the ephemeral archive, like a user with another way to access the VM.
const EPHEMERAL: &str = r#"
ephemeral "mesh_vm_bundle" "carried" {
  namespace       = var.namespace
  name            = "ratings-carried"
  instance_ip     = var.carried_address
  service_account = local.ratings.service_account
  labels          = local.ratings.labels
  health_check    = local.ratings.health_check
  proxy           = local.ratings.proxy
}

resource "terraform_data" "carried" {
  provisioner "local-exec" {
    command     = "printf %s \"$ARCHIVE\" | base64 -d >ephemeral.tar.gz"
    environment = { ARCHIVE = ephemeral.mesh_vm_bundle.carried.archive_base64 }
  }
}
"#;

/// The example, with a VM with cloud-init whose address is not in the user data.
#[test]
fn a_vm_joins_with_its_user_data_and_renews_its_token() -> Done {
    let scenario = Scenario::begin("cloud-init")?;
    let (url, sha256) = scenario.package();
    let variables = json!({
        "kubeconfig": scenario.kubectl().kubeconfig(),
        "control_plane_address": scenario.control_plane_address(),
        "namespace": scenario.namespace,
        "package": { "url": url, "sha256": sha256 },
        "carried_address": "192.0.2.7",
        "booted_address": scenario.vm.address,
        "token_command": format!("curl -fsS --max-time 20 {} # it's \"ours\"", token_service(&scenario)?),
    });
    let terraform = Terraform::of_example(&scenario, "offload", variables)?;
    terraform.write("ephemeral.tf", EPHEMERAL)?;
    let target = "-target=data.mesh_vm_bundle.booted";
    let first = ["apply", "-input=false", "-auto-approve", target];
    terraform.run(&first)?.checked()?;
    let bundle = terraform.state("data.mesh_vm_bundle.booted")?;
    let user_data = &bundle["user_data"];
    let length = |text: &Value| text.as_str().map_or(0, str::len);
    let packed = length(&bundle["user_data_base64"]) / 4 * 3;
    // The limits of clouds in the guide.
    let sizes = (length(user_data), packed);
    assert!(sizes.0 < 148_000 && sizes.1 < 40_000, "{sizes:?}");
    let vm = scenario.boot_with_user_data(user_data.as_str().unwrap_or_default())?;
    // As in one apply: the workload, which has the machine's address, is created after it.
    wait_for("the proxy starts", || {
        vm.exec(&["grep", "-qx", "start", "/var/lib/istio/mesh/run/steps"])
            .map(|grep| grep.status == 0)
    })?;
    // A reboot interrupts it, and cloud-init does not resume it.
    vm.kill()?;
    vm.start()?;
    vm.wait_until_up()?;
    let plan = terraform.plan(&[])?;
    terraform.apply_saved(&plan)?;
    no_token_is_stored(&terraform, &plan)?;
    vm.shell("systemctl start ratings")?;
    joined(&scenario, "ratings-booted")?;
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    let status =
        "cloud-init status --wait --long 2>&1; journalctl -u mesh-vm-join -o cat --no-pager";
    let status = vm.exec(&["sh", "-c", status])?.stdout;
    assert!(
        status.contains("status: done") && status.contains("member of the mesh"),
        "{status}"
    );
    // The user data does not change, so later machines boot the same way.
    let again = terraform.plan(&[])?;
    assert!(again.is_empty(), "{}", again.text);

    is_refreshed(&vm)?;
    vm.reboot()?;
    vm.shell(&format!("test -s {TOKEN} && systemctl start ratings"))?;
    joined(&scenario, "ratings-booted")?;
    call_vm(&scenario)?;

    let said = vm.shell("sh /var/lib/mesh-vm/install.sh remove")?;
    assert!(said.contains("out of the mesh"), "{said}");
    let left = vm.shell("systemctl list-units --all 'mesh-vm*' --plain --no-legend; ls /etc/systemd/system | grep -E 'mesh|istio' || :")?;
    assert_eq!(left, "");
    terraform.destroy()?;
    assert!(!terraform.path().join("out/ratings-carried.tar.gz").exists());
    Ok(())
}

const TOKEN: &str = "/var/run/secrets/tokens/istio-token";

/// The timer renews the token; here it does not wait for minutes. A proxy that does not respond does not block it.
fn is_refreshed(vm: &Machine) -> Done {
    let past = format!(
        "rm {TOKEN}; kill -STOP $(pidof envoy); systemctl start mesh-vm-token.service; kill -CONT $(pidof envoy); test -s {TOKEN}"
    );
    vm.shell(&past)?;
    vm.shell("systemctl is-active mesh-vm-token.timer")?;
    let fast = "[Timer]\nOnActiveSec=0\nOnUnitInactiveSec=1s\nAccuracySec=100ms\n";
    vm.write(
        "/run/systemd/system/mesh-vm-token.timer.d/fast.conf",
        fast.as_bytes(),
    )?;
    vm.shell(&format!(
        "rm {TOKEN} && systemctl daemon-reload && systemctl restart mesh-vm-token.timer"
    ))?;
    wait_for("the timer fetches a token", || {
        vm.shell(&format!("cat {TOKEN} 2>/dev/null || :"))
            .map(|token| token.starts_with("eyJhbGci"))
    })?;
    let access = vm.shell(&format!("stat -c '%U %a' {TOKEN}"))?;
    assert_eq!(access.trim(), "istio-proxy 600");
    Ok(())
}

/// Unpacks an archive, in which a token would not be recognizable.
fn unzipped(base64: &str) -> Result<String> {
    let mut zip = tempfile::NamedTempFile::new()?;
    zip.write_all(base64.as_bytes())?;
    let plain = Command::new("sh")
        .args(["-c", "base64 -d <\"$0\" | gzip -dc"])
        .arg(zip.path())
        .output()?;
    assert!(plain.status.success() && !plain.stdout.is_empty());
    Ok(String::from_utf8_lossy(&plain.stdout).into_owned())
}

/// Checks that both archives contain a token, and that Terraform stores none.
fn no_token_is_stored(terraform: &Terraform, plan: &Plan) -> Done {
    for archive in ["out/ratings-carried.tar.gz", "ephemeral.tar.gz"] {
        let members = unpacked(&terraform.path().join(archive))?;
        let token = fs::read_to_string(members.path().join("token"))?;
        assert!(token.starts_with("eyJhbGci"), "{archive}: {token}");
    }
    let state = fs::read_to_string(terraform.path().join("terraform.tfstate"))?;
    let members = archive(terraform, "saved.plan")?;
    assert!(
        members.contains("ratings-carried"),
        "the plan file was not read"
    );
    for text in [state, members, plan.json.to_string(), plan.text.clone()] {
        assert!(!text.contains("eyJhbGci"));
        for packed in text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))) {
            assert!(!packed.starts_with("H4sI") || !unzipped(packed)?.contains("eyJhbGci"));
        }
    }
    Ok(())
}

fn joined(scenario: &Scenario, name: &str) -> Done {
    wait_for("istiod reports the proxy", || is_connected(scenario, name))
}
