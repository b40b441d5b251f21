//! The proxy in a container, under Docker and under Podman.

use acceptance_tests::workload::{Workload, fails};
use acceptance_tests::{Done, Result, Scenario, listing};
use serde_json::json;

use crate::demo::{call_vm, can_call_pod};

/// Makes an image in the way of Istio's: the agent, Envoy, iptables and their libraries, without a shell.
const IMAGE: &str = r#"
set -e
mkdir -p /root/image
curl -fsS "$URL" -o /root/package.deb
dpkg -x /root/package.deb /root/image
cd /
tar -c bin sbin lib lib64 usr/sbin usr/lib64 usr/lib/*-linux-gnu etc/alternatives etc/protocols \
  --exclude=usr/sbin/sshd -C /root/image usr/local var >/root/image.tar
for tag in one two; do
  $ENGINE import --change 'ENTRYPOINT ["/usr/local/bin/pilot-agent"]' /root/image.tar "localhost/istio/proxyv2:$tag"
done
rm -rf /root/image /root/image.tar /root/package.deb
"#;

/// Begins a scenario whose VM has the engines and the images.
fn equipped(engine: &str) -> Result<Scenario> {
    let mut scenario = Scenario::begin(engine)?;
    scenario.vm = scenario.vm.rebuild_with_engines()?;
    let vm = scenario.vm.clone();
    vm.wait_until_up()?;
    vm.shell("systemctl start ratings")?;
    let (url, _) = scenario.package();
    vm.shell(&format!("ENGINE={engine} URL={url}\n{IMAGE}"))?;
    Ok(scenario)
}

/// Joins, runs on another image, refuses a wrong one, and leaves.
async fn lives_in_a_container(engine: &str) -> Done {
    let scenario = equipped(engine)?;
    let vm = scenario.vm.clone();
    let before = listing(&vm)?;

    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"] = json!({
        "runtime": engine,
        "image": "localhost/istio/proxyv2:one",
        "pull_policy": "Never",
    });
    workload.converge().await?;
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    // Nothing but the engine holds its words, and no secret is among them.
    let words = vm.shell("ps -eo args")?;
    assert!(
        words.contains("--env POD_NAME") && !words.contains(&scenario.namespace),
        "{words}"
    );

    workload.config["proxy"]["image"] = json!("localhost/istio/proxyv2:two");
    let reasons = format!(
        "{:?}",
        workload.plan().await?.planned["last_bootstrap_reasons"]
    );
    assert!(
        reasons.contains("proxy.image: localhost/istio/proxyv2:one -> localhost/istio/proxyv2:two"),
        "{reasons}"
    );
    workload.converge().await?;
    call_vm(&scenario)?;

    // An image that cannot be had stops nothing.
    let since = "systemctl show --property=ExecMainStartTimestampMonotonic istio";
    let (state, started) = (workload.state.clone(), vm.shell(since)?);
    workload.config["proxy"]["image"] = json!("localhost/istio/proxyv2:three");
    fails(
        &workload.apply().await?,
        "vm-reverted",
        &["the VM has no image localhost/istio/proxyv2:three"],
    )?;
    assert_eq!(vm.shell(since)?, started);
    workload.state = state;
    workload.config["proxy"]["image"] = json!("localhost/istio/proxyv2:two");
    call_vm(&scenario)?;

    survives(&scenario, &mut workload, engine).await?;
    workload.destroy().await?;
    assert_eq!(scenario.objects()?, [""; 0]);
    assert_eq!(vm.shell(&format!("{engine} ps --all --quiet"))?, "");
    let left = listing(&vm)?.since(&before);
    assert!(left.iter().all(|line| is_of_the_engine(line)), "{left:#?}");
    Ok(())
}

/// Is told of another container in its place and replaces it; is back after a reboot.
async fn survives(scenario: &Scenario, workload: &mut Workload, engine: &str) -> Done {
    let vm = &scenario.vm;
    // Somebody runs another container by hand.
    let by_hand = format!(
        "systemctl stop istio; {engine} run --rm --detach --name istio-proxy localhost/istio/proxyv2:one wait --timeoutSeconds 60"
    );
    vm.shell(&by_hand)?;
    workload.refresh().await?;
    assert_eq!(
        workload.drift("vm"),
        [
            "proxy: image '' -> 'localhost/istio/proxyv2:two'",
            "proxy: the unit istio is 'inactive' -> 'active'",
        ]
    );
    workload.converge().await?;
    vm.reboot()?;
    vm.shell("systemctl start ratings")?;
    crate::ready(vm)?;
    call_vm(scenario)
}

/// What an engine makes at its first use, and keeps.
fn is_of_the_engine(line: &str) -> bool {
    [
        "docker",
        "containerd",
        "containers",
        "runc",
        "crun",
        "libpod",
        "/cni",
        "netns",
    ]
    .iter()
    .any(|name| line.contains(name))
}

#[tokio::test]
async fn podman_runs_the_proxy() -> Done {
    lives_in_a_container("podman").await
}

#[tokio::test]
async fn docker_runs_the_proxy() -> Done {
    lives_in_a_container("docker").await
}
