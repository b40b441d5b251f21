//! The connection to the VM: its hops, their rejections, and runs that lose it.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use acceptance_tests::wire::Wire;
use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use serde_json::{Value as Json, json};

use crate::failures::{set, untouched};

/// Port and folder of a second sshd on the VM with its own host key.
const BASTION: u16 = 2022;
const FOLDER: &str = "/etc/ssh/bastion";

/// A fault of a hop, and the code and words of its error.
type Case<'a> = (&'a [(&'a str, Json)], &'a str, &'a [&'a str]);

/// Each hop must prove its key before anything is sent to it.
#[tokio::test]
async fn each_hop_through_a_bastion_is_verified_and_named_on_failure() -> Done {
    let scenario = Scenario::begin("hops")?;
    let (bastion, vm) = (bastion(&scenario)?, scenario.vm.host_key.clone());
    let silent = TcpListener::bind((scenario.control_plane_address().as_str(), 0))?;
    let silent = silent.local_addr()?;
    let at_bastion = "/config/ssh/bastion";
    let cases: [Case; 5] = [
        (
            &[("/config/ssh/host_key", json!(bastion))],
            "ssh-host-key",
            &["Nothing was sent"],
        ),
        (
            &[("/config/ssh/bastion/host_key", json!(vm))],
            "ssh-host-key",
            &["cannot connect through the bastion", "Nothing was sent"],
        ),
        (
            &[
                ("/config/ssh/host_key", json!(bastion)),
                ("/config/ssh/bastion/host_key", json!(vm)),
            ],
            "ssh-host-key",
            &["cannot connect through the bastion", "Nothing was sent"],
        ),
        (
            &[("/config/ssh/bastion/user", json!("nobody-here"))],
            "ssh-auth",
            &["cannot connect through the bastion", "nobody-here"],
        ),
        (
            &[
                ("/config/ssh/bastion/host", json!(silent.ip().to_string())),
                ("/config/ssh/bastion/port", json!(silent.port())),
            ],
            "ssh-connect",
            &["cannot connect through the bastion", "timed out"],
        ),
    ];
    let hop =
        json!({ "host": scenario.vm.address.to_string(), "port": BASTION, "host_key": bastion });
    for (wrong, code, words) in cases {
        let mut workload = Workload::new(&scenario)?;
        set(&mut workload, at_bastion, hop.clone());
        workload.config["timeouts"]["create"] = json!("12s");
        for (at, value) in wrong {
            set(&mut workload, at, value.clone());
        }
        fails(&workload.apply().await?, code, words)?;
        untouched(&scenario, &workload)?;
    }
    let logins = "journalctl -q -o cat -u bastion -u ssh | grep -c 'Accepted publickey' || true";
    // With a wrong key of the VM, the bastion accepted one login, and the VM saw none.
    assert_eq!(scenario.vm.shell(logins)?, "1\n");

    let mut workload = Workload::new(&scenario)?;
    set(&mut workload, at_bastion, hop.clone());
    workload.config["ssh"]["bastion"]["through"] = json!([hop]);
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

/// The VM received only a part of the payload: the run has not started, and everything is sent again.
#[tokio::test]
async fn after_a_connection_that_breaks_in_the_payload_the_provider_reconnects() -> Done {
    let scenario = Scenario::begin("payload")?;
    let (mut workload, wire) = wired(&scenario).await?;
    for (version, bytes) in [("v2", 10_000), ("v3", 15_000)] {
        workload.config["labels"]["version"] = json!(version);
        let breaks = wire.breaks();
        // The first connection is that of the refresh.
        wire.break_in(1, bytes);
        assert_eq!(texts(&workload.apply().await?), "");
        assert_eq!(wire.breaks(), breaks + 1);
    }
    workload.converge().await
}

/// The run is complete and the VM has reported it, but the report was lost.
#[tokio::test]
async fn a_lost_report_is_requested_again() -> Done {
    let scenario = Scenario::begin("reply")?;
    let (mut workload, wire) = wired(&scenario).await?;
    let run = scenario.vm.shell("cat /var/lib/istio/mesh/run/id")?;
    workload.config["labels"]["version"] = json!("v2");
    let provider = workload.provider().await?;
    let (reported, cut) = tokio::join!(workload.apply_by(&provider), async {
        journal(&scenario, &run, "[ \"$(tail -n 1 steps)\" = ready ]").await?;
        wire.hold();
        journal(&scenario, &run, "[ -e end ]").await?;
        wire.cut();
        Ok::<_, Failure>(())
    });
    cut?;
    assert_eq!(texts(&reported?), "");
    workload.converge().await
}

/// Starts a second sshd on the VM, used as a bastion, and returns its key.
fn bastion(scenario: &Scenario) -> Result<String> {
    let vm = &scenario.vm;
    vm.shell(&format!(
        "mkdir {FOLDER} && ssh-keygen -q -t ed25519 -N '' -C '' -f {FOLDER}/key && sed '/^Port/d; /^HostKey/d' /etc/ssh/sshd_config \
         >{FOLDER}/config && systemd-run --quiet --unit=bastion /usr/sbin/sshd -D -f {FOLDER}/config -o Port={BASTION} \
         -o HostKey={FOLDER}/key"
    ))?;
    let key = vm.read(&format!("{FOLDER}/key.pub"))?;
    acceptance_tests::wait_for("the bastion listens", || {
        std::net::TcpStream::connect((vm.address, BASTION)).map(|_| true)
    })?;
    Ok(key.trim().to_owned())
}

#[tokio::test]
async fn one_connection_that_breaks_before_the_login_fails_no_operation() -> Done {
    let scenario = Scenario::begin("busy-sshd")?;
    let (mut workload, wire) = wired(&scenario).await?;
    wire.break_in(0, 0);
    assert_eq!(texts(&workload.refresh().await?), "");
    assert_eq!(wire.breaks(), 1);

    workload.config["labels"]["version"] = json!("v2");
    // The first connection is that of the refresh.
    wire.break_in(1, 0);
    assert_eq!(texts(&workload.apply().await?), "");
    assert_eq!(wire.breaks(), 2);

    wire.break_in(0, 0);
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(wire.breaks(), 3);
    Ok(())
}

/// Joins the VM to the mesh over a breakable connection.
async fn wired(scenario: &Scenario) -> Result<(Workload, Wire)> {
    let vm = &scenario.vm;
    let wire = Wire::to(SocketAddr::new(vm.address.into(), vm.ssh_port))?;
    let mut workload = Workload::new(scenario)?;
    workload.config["ssh"]["host"] = json!(wire.address.ip().to_string());
    workload.config["ssh"]["port"] = json!(wire.address.port());
    workload.converge().await?;
    Ok((workload, wire))
}

/// Waits until the journal of a run after `before` satisfies a shell condition.
async fn journal(scenario: &Scenario, before: &str, holds: &str) -> Done {
    let end = Instant::now() + Duration::from_mins(5);
    let look = format!(
        "cd /var/lib/istio/mesh/run 2>/dev/null && [ \"$(cat id)\" != '{}' ] && {holds} && echo yes; true",
        before.trim()
    );
    while scenario.vm.shell(&look)? != "yes\n" {
        if Instant::now() > end {
            return Err(Failure::new(format!("no run comes to {holds}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
