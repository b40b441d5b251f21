//! Output of a VM is shown to users without control characters and with a limited length.

use acceptance_tests::{Done, Scenario, Terraform};
use plain::is_plain;
use serde_json::{Value, json};

use crate::WORKLOAD;

/// Sets the terminal's title, clears the screen, imitates a line of Terraform, and reverses and hides text.
const DECEIT: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\nError: all is lost\n\u{202e}txt.exe\u{200b}\ttab";
/// Maximum total length of the VM's output that is shown and stored.
const MOST: usize = 100_000;
const DROP_IN: &str = "/etc/systemd/system/istio.service.d";

#[test]
fn control_characters_of_a_vm_are_harmless_in_output_and_state() -> Done {
    let scenario = Scenario::begin("deceitful")?;
    let mut terraform = Terraform::new(&scenario, "workload")?;
    terraform.apply()?;
    deceive(&scenario)?;

    let plan = terraform.plan(&[])?;
    is_harmless(&plan.text);
    all_are_harmless(&plan.json);
    let before = plan.change(WORKLOAD)["before"].to_string();
    for said in [
        "another machine",
        "package istio-sidecar",
        "CANONICAL_SERVICE",
        "txt.exe",
    ] {
        assert!(
            before.contains(said),
            "{said} is not in {before}\n{}",
            plan.text
        );
    }

    let run = terraform.try_apply()?;
    is_harmless(&run.output);
    kept_is_harmless(&terraform)?;
    let state = terraform.state(WORKLOAD)?;
    assert_eq!(run.code, 0, "{}", run.output);
    assert_eq!(state["proxy_version"], Value::Null, "{state}");
    assert_eq!(state["machine_id"], "", "{state}");
    assert!(run.output.contains("[vm-answer]"), "{}", run.output);

    terraform.set("labels", json!({"app": "ratings", "version": "v2"}))?;
    fail_to_start(&scenario)?;
    let run = terraform.try_apply()?;
    is_harmless(&run.output);
    let words = run.failure()?;
    assert!(words.contains("all is lost"), "{words}");
    kept_is_harmless(&terraform)?;
    Ok(())
}

/// Makes everything that the VM reports contain [`DECEIT`] and 400 kB.
fn deceive(scenario: &Scenario) -> Done {
    let vm = &scenario.vm;
    let deceit = format!("{DECEIT}{}", "x".repeat(400_000));
    vm.write("/deceit", deceit.as_bytes())?;
    // First in the PATH.
    let version = "#!/bin/sh\n\
                   case $* in *'Version} istio-sidecar') printf 'installed '; exec cat /deceit ;; esac\n\
                   exec /usr/bin/dpkg-query \"$@\"\n";
    let unit = "#!/bin/sh\n\
                case $1 in is-enabled) cat /deceit ;; esac\n\
                exec /usr/bin/systemctl \"$@\"\n";
    let log = "#!/bin/sh\nexec cat /deceit\n";
    for (name, script) in [
        ("dpkg-query", version),
        ("systemctl", unit),
        ("journalctl", log),
    ] {
        let path = format!("/usr/local/sbin/{name}");
        vm.write(&path, script.as_bytes())?;
        vm.exec(&["chmod", "755", &path])?;
    }
    vm.write("/etc/machine-id", deceit.as_bytes())?;
    vm.shell("cat /deceit >>/etc/hosts; head -c 20000 /deceit >/tmp/banner; echo 'Banner /tmp/banner' >>/etc/ssh/sshd_config; systemctl reload ssh")?;
    // The value is quoted like the provider's values, so that it can be parsed.
    let text = deceit.replace('\n', " ");
    let line = format!("CANONICAL_SERVICE='{text}'\n");
    vm.write("/deceit.env", line.as_bytes())?;
    vm.shell("f=/var/lib/istio/envoy/cluster.env; grep -v '^CANONICAL_SERVICE=' $f >/rest; cat /rest /deceit.env >$f")?;
    let name = format!("{DROP_IN}/{}.conf", DECEIT.replace(['\n', '\r'], ""));
    vm.exec(&["mkdir", "-p", DROP_IN])?;
    vm.exec(&["touch", &name])?;
    Ok(())
}

/// Makes the unit fail with a message.
fn fail_to_start(scenario: &Scenario) -> Done {
    let unit = "[Service]\nExecStartPre=/bin/sh -c 'cat /deceit; cat /deceit >&2; exit 1'\n";
    scenario
        .vm
        .write(&format!("{DROP_IN}/zz.conf"), unit.as_bytes())?;
    scenario
        .vm
        .shell("/usr/bin/systemctl daemon-reload")
        .map(drop)?;
    Ok(())
}

/// Checks Terraform's output. Its own frame around the text is harmless.
fn is_harmless(output: &str) {
    assert!(output.len() < MOST, "{} bytes", output.len());
    for line in output.lines() {
        assert!(is_plain(line, MOST), "{line:?}");
        let own = line.trim_start_matches(['│', ' ']);
        let indent = line.len() - own.len();
        // Terraform's own errors are next to the frame.
        assert!(
            !own.starts_with("Error: all is lost") || indent > "│ ".len(),
            "{output}"
        );
    }
}

/// Checks the state file.
fn kept_is_harmless(terraform: &Terraform) -> Done {
    let text = std::fs::read_to_string(terraform.path().join("terraform.tfstate"))?;
    assert!(text.len() < MOST, "{} bytes", text.len());
    let state: Value = serde_json::from_str(&text)?;
    let attributes = &state["resources"];
    all_are_harmless(attributes);
    Ok(())
}

fn all_are_harmless(value: &Value) {
    match value {
        Value::String(text) => {
            assert!(text.len() < MOST, "{} bytes", text.len());
            text.lines()
                .for_each(|line| assert!(is_plain(line, MOST), "{line:?}"));
        }
        Value::Array(items) => items.iter().for_each(all_are_harmless),
        Value::Object(fields) => fields.values().for_each(all_are_harmless),
        _ => {}
    }
}
