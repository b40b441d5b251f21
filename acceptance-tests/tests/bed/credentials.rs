//! A VM remains a member: certificates and roots rotate by themselves, and anything else is planned.

use std::time::{SystemTime, UNIX_EPOCH};

use acceptance_tests::workload::{NAME, Workload, fails, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, wait_for};
use bed::{HostKey, Machine, Vm};
use contract::Value;
use serde_json::json;

const TOKEN: &str = "/var/run/secrets/tokens/istio-token";

#[tokio::test]
async fn a_vm_rejoins_with_a_valid_certificate_and_an_expired_one_is_planned() -> Done {
    let scenario = Scenario::begin("credentials")?;
    let vm = &scenario.vm;
    let mut workload = Workload::new(&scenario)?;
    // Long enough for a reboot.
    workload.config["env"] = json!({ "SECRET_TTL": "30s" });
    workload.converge().await?;
    let first = ends(vm)?;
    wait_for("the proxy renews its certificate", || {
        ends(vm).map(|end| end > first)
    })?;
    // The mesh rotates its root, which the agent handles.
    let map = format!(
        "/api/v1/namespaces/{}/configmaps/istio-ca-root-cert",
        scenario.namespace
    );
    let root = scenario.kubectl().get(&map)?["data"]["root-cert.pem"].clone();
    let both = format!(
        "{}{}",
        root.as_str().unwrap_or_default(),
        crate::faults::other_root()?
    );
    let both = json!({ "immutable": true, "data": { "root-cert.pem": both } });
    let name = "configmap/istio-ca-root-cert";
    scenario
        .kubectl()
        .patch(&scenario.namespace, name, &both, &[])?;
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [""; 0]);

    // As if cloud-init rewrote /etc/hosts at each boot.
    vm.shell("cp /etc/hosts /etc/hosts.new && sed -i '/BEGIN mesh-vm/,/END mesh-vm/d' /etc/hosts.new && mv /etc/hosts.new /etc/hosts")?;
    vm.kill()?;
    vm.start()?;
    vm.wait_until_up()?;
    assert!(
        !vm.exec(&["test", "-e", TOKEN])?.success(),
        "a token outlives a reboot"
    );
    crate::ready(vm)?;
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [""; 0]);

    let end = ends(vm)?;
    vm.kill()?;
    wait_for("the certificate has ended", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map(|now| now.as_secs() > end)
    })?;
    vm.start()?;
    vm.wait_until_up()?;
    workload.refresh().await?;
    assert_reason(
        &workload,
        "certificate: the workload's certificate expired at ",
    )?;
    workload.converge().await?;
    crate::ready(vm)?;

    // The proxy renews it, but never for so long.
    workload.config["rotate_before"] = json!("1h");
    assert_eq!(texts(&workload.apply().await?), "");
    workload.refresh().await?;
    assert_reason(
        &workload,
        "certificate: the workload's certificate ends at ",
    )
}

#[tokio::test]
async fn a_machine_rebuilt_at_the_same_address_is_planned_as_a_bootstrap() -> Done {
    let scenario = Scenario::begin("rebuilt-unsaid")?;
    let vm = &scenario.vm;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    rebuild(vm, HostKey::Same)?;
    workload.refresh().await?;
    let machine = workload
        .drift("vm")
        .iter()
        .any(|line| line.starts_with("machine: another machine: its id is "));
    assert!(machine, "{:?}", workload.drift("vm"));
    workload.converge().await?;

    rebuild(vm, HostKey::New)?;
    let before = workload.state.clone();
    let reported = workload.refresh().await?;
    assert!(
        texts(&reported).contains("[ssh-host-key]"),
        "{}",
        texts(&reported)
    );
    assert_reason(&workload, "machine: the host key is not the expected one")?;
    let refused = workload.apply().await?;
    fails(&refused, "ssh-host-key", &["Nothing was sent"])?;
    let machine = |state: &Option<contract::State>| {
        let state = state.as_ref();
        state.map(|state| state.value["machine_id"].clone())
    };
    assert_eq!(machine(&workload.state), machine(&before));
    // With the new machine's key, one apply is sufficient.
    workload.config["ssh"]["host_key"] = json!(vm.host_key()?);
    workload.apply().await?;
    assert_eq!(
        machine(&workload.state),
        Some(Value::String(vm.read("/etc/machine-id")?.trim().to_owned()))
    );
    workload.converge().await?;
    let entry = scenario
        .kubectl()
        .get(&scenario.object("workloadentries", NAME))?;
    assert_eq!(
        entry["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"],
        "false"
    );
    Ok(())
}

fn rebuild(vm: &Vm, key: HostKey) -> Done {
    vm.kill()?;
    vm.rebuild(key)?;
    Ok(vm.wait_until_up()?)
}

/// Checks that a single line of drift, with this beginning, is the reason for the planned bootstrap.
fn assert_reason(workload: &Workload, begins: &str) -> Done {
    let lines = workload.drift("vm");
    match &lines[..] {
        [line] if line.starts_with(begins) => Ok(()),
        _ => Err(Failure::new(format!("not {begins:?} but {lines:?}"))),
    }
}

/// Returns the expiry of the VM's certificate in seconds since 1970.
fn ends(vm: &Machine) -> Result<u64> {
    let end = "date -d \"$(openssl x509 -noout -enddate -in /etc/certs/cert-chain.pem | cut -d = -f 2)\" +%s";
    let end = vm.shell(end)?;
    end.trim()
        .parse()
        .map_err(|_| Failure::new(format!("no time: {end:?}")))
}
