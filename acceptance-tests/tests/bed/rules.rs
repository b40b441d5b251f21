//! Packet filter rules: removed rules are reported and restored, and foreign rules are kept.

use acceptance_tests::workload::{Workload, texts};
use acceptance_tests::{Done, Scenario, wait_for};
use bed::Machine;
use contract::Action;
use serde_json::json;

use crate::demo::call_vm;

const NONE: &str = "proxy: no rules intercept traffic, and they should";
const INBOUND: &str = "proxy: no rules intercept inbound traffic, and they should";
const OUTBOUND: &str = "proxy: no rules intercept outbound traffic, and they should";

/// Expects this drift after a script on the VM, repairs it, and sends a request to the application through the mesh.
async fn repaired(scenario: &Scenario, workload: &mut Workload, script: &str, line: &str) -> Done {
    scenario.vm.shell(script)?;
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [line], "{script}");
    assert_eq!(workload.plan().await?.action, Action::Update, "{script}");
    workload.converge().await?;
    call_vm(scenario)
}

#[tokio::test]
async fn flushed_rules_are_drift_and_are_restored() -> Done {
    let scenario = Scenario::begin("flushed")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let cases = [
        ("iptables -t nat -F", NONE),
        ("iptables -t nat -F PREROUTING", INBOUND),
        ("iptables -t nat -F OUTPUT", OUTBOUND),
        // A chain without rules counts as missing.
        ("iptables -t nat -F ISTIO_IN_REDIRECT", INBOUND),
        (
            "iptables -t mangle -F",
            "proxy: rules are gone: IPv4 mangle, OUTPUT to MESH_TRACK",
        ),
        (
            "iptables -t nat -D PREROUTING -j MESH_IN",
            "proxy: rules are gone: IPv4 nat, PREROUTING to MESH_IN",
        ),
    ];
    for (script, line) in cases {
        repaired(&scenario, &mut workload, script, line).await?;
    }
    // A VM that an earlier version bootstrapped has no list and one more jump.
    scenario.vm.shell(
        "rm /var/lib/istio/mesh/jumps; iptables -t mangle -N MESH_IN; iptables -t mangle -A MESH_IN -p tcp --dport 22 -j ACCEPT
         iptables -t mangle -I PREROUTING -j MESH_IN",
    )?;
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [""; 0]);
    repaired(&scenario, &mut workload, "iptables -t nat -F", NONE).await?;
    let mangle = scenario.vm.shell("iptables-save -t mangle")?;
    assert!(!mangle.contains("MESH_IN"), "{mangle}");
    Ok(())
}

#[tokio::test]
async fn rules_removed_by_firewalls_are_drift_and_are_restored() -> Done {
    let mut scenario = Scenario::begin("firewalls")?;
    scenario.vm = scenario.vm.rebuild_with_firewalls()?;
    let vm = scenario.vm.clone();
    vm.wait_until_up()?;
    vm.shell("systemctl start ratings")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    repaired(&scenario, &mut workload, "nft flush ruleset", NONE).await?;
    // Actions of Debian's packages on start and stop, and rules that an administrator must allow.
    let ufw = "ufw allow 22/tcp && ufw allow from 10.0.0.0/8 && ufw --force enable";
    let firewalld =
        "systemctl start firewalld && firewall-cmd --zone=trusted --add-source=10.0.0.0/8";
    for (script, lines) in [
        (ufw, &[][..]),
        ("ufw disable", &[]),
        (firewalld, &[NONE]),
        ("systemctl stop firewalld", &[NONE]),
    ] {
        vm.shell(script)?;
        workload.refresh().await?;
        assert_eq!(workload.drift("vm"), lines, "{script}");
        workload.converge().await?;
        call_vm(&scenario)?;
    }
    Ok(())
}

/// A process that changes legacy rules holds their lock. The changes in between are those of an administrator's script.
const HELD: &str = r#"
hook() {
  case $1 in stop | track) ;; *) return 0 ;; esac
  rm -f /run/held
  systemd-run --quiet flock /run/xtables.lock sh -c 'touch /run/held; sleep 4'
  until [ -e /run/held ]; do sleep 0.05; done
}
"#;

#[tokio::test]
async fn the_lock_of_the_tables_is_awaited() -> Done {
    let scenario = Scenario::begin("xtables-lock")?;
    let vm = &scenario.vm;
    vm.shell("iptables-legacy -A INPUT -j ACCEPT")?;
    crate::steps::hooked(vm, HELD)?;
    let mut workload = Workload::new(&scenario)?;
    for version in ["v1", "v2"] {
        workload.config["labels"]["version"] = json!(version);
        workload.converge().await?;
        let rules = vm.shell("iptables-legacy-save")?;
        assert!(rules.contains("-A PREROUTING -j MESH_IN"), "{rules}");
    }
    let held =
        "rm /run/held; systemd-run --quiet flock /run/xtables.lock sh -c 'touch /run/held; sleep 4'
        until [ -e /run/held ]; do sleep 0.05; done";
    vm.shell(&format!(
        "systemctl stop istio; {held}; systemctl start istio"
    ))?;
    crate::ready(vm)?;
    assert_eq!(texts(&workload.destroy().await?), "");
    let rules = vm.shell("iptables-legacy-save")?;
    assert!(
        !rules.contains("MESH_") && !rules.contains("ISTIO_"),
        "{rules}"
    );
    Ok(())
}

/// Foreign chains with the same prefix as ours, and jumps to ours with comments that a shell would alter.
const OTHERS: &str = r#"
for chain in MESH_web ISTIO_EDGE; do
  iptables -t nat -N $chain
  iptables -t nat -A $chain -p tcp --dport 4444 -m comment --comment "of  $chain" -j ACCEPT
  iptables -t nat -A PREROUTING -m comment --comment 'two  spaces, a " and -j MESH_IN' -j $chain
done
"#;

#[tokio::test]
async fn foreign_chains_are_kept_whatever_their_names_and_comments() -> Done {
    let scenario = Scenario::begin("others-chains")?;
    let vm = &scenario.vm;
    vm.shell(OTHERS)?;
    let of_others = "iptables-save -t nat | grep -E 'MESH_web|ISTIO_EDGE' | sed 's/ \\[.*//'";
    let before = vm.shell(of_others)?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    assert_eq!(vm.shell(of_others)?, before);
    let jump =
        "iptables -t nat -A OUTPUT -p tcp --dport 4444 -m comment --comment 'a  b \"c\"' -j ";
    vm.shell(&format!("{jump} MESH_OUT; {jump} ISTIO_OUTPUT"))?;
    workload.config["labels"]["version"] = json!("v2");
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(vm.shell(of_others)?, before);
    let rules = vm.shell("iptables-save -t nat")?;
    for chain in ["MESH_IN", "MESH_OUT", "ISTIO_OUTPUT", "ISTIO_INBOUND"] {
        let exact = rules
            .lines()
            .any(|line| line.starts_with(&format!(":{chain} ")));
        assert!(!exact, "{rules}");
    }
    Ok(())
}

/// Counts SSH packets that foreign rules in the mangle table see.
fn seen(vm: &Machine) -> Result<u64, bed::Error> {
    let count = "iptables-save -c -t mangle | sed -n 's/^\\[\\([0-9]*\\):.*CONNMARK --set.*/\\1/p'";
    Ok(vm.shell(count)?.trim().parse().unwrap_or_default())
}

#[tokio::test]
async fn foreign_rules_in_the_mangle_table_see_packets_to_sshd() -> Done {
    let scenario = Scenario::begin("connmark")?;
    let vm = &scenario.vm;
    vm.shell("iptables -t mangle -A PREROUTING -p tcp --dport 22 -j CONNMARK --set-mark 7")?;
    let mut workload = Workload::new(&scenario)?;
    for interception in ["redirect", "tproxy"] {
        workload.config["proxy"]["interception"] = json!(interception);
        if interception == "tproxy" {
            workload.config["sidecar"] = json!(null);
        }
        workload.converge().await?;
        let before = seen(vm)?;
        std::net::TcpStream::connect((vm.address, vm.ssh_port))?;
        wait_for("the rule sees packets", || seen(vm).map(|now| now > before))?;
    }
    Ok(())
}
