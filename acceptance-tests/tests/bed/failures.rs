//! What fails names the hop, the cause and the next step, hides nothing half done, and the next apply converges.

use std::process::Command;

use acceptance_tests::workload::{NAME, Workload, fails, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use bed::ApiServer;
use contract::Action;
use serde_json::{Value as Json, json};

/// A drop-in of the unit that Istio's package brings.
const DROP_IN: &str = "/etc/systemd/system/istio.service.d/test.conf";

#[tokio::test]
async fn a_login_that_fails_leaves_no_state_and_nothing_written() -> Done {
    let scenario = Scenario::begin("login")?;
    let other_host = scenario.vms.iter().find(|vm| vm.name != scenario.vm.name);
    let other_host = other_host.ok_or_else(|| Failure::new("the bed needs two VMs"))?;
    let cases = [
        (
            "/config/ssh/user",
            json!("nobody-here"),
            "ssh-auth",
            "ssh.user",
        ),
        (
            "/block/ssh/identities/bed/private_key",
            json!(new_key()?),
            "ssh-auth",
            "offered: ED25519",
        ),
        ("/config/ssh/user", json!("nosudo"), "ssh-sudo", "NOPASSWD"),
        (
            "/config/ssh/host_key",
            json!(other_host.host_key),
            "ssh-host-key",
            "Nothing was sent",
        ),
    ];
    for (at, wrong, code, word) in cases {
        let mut workload = Workload::new(&scenario)?;
        // Refused logins are repeated while a fresh VM may still be making its users.
        workload.config["timeouts"]["create"] = json!("12s");
        set(&mut workload, at, wrong);
        let told = workload.apply().await?;
        fails(&told, code, &[word, &scenario.vm.address.to_string()])?;
        untouched(&scenario, &workload)?;
    }
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await
}

#[tokio::test]
async fn what_is_refused_before_the_first_change_is_taken_back() -> Done {
    let scenario = Scenario::begin("refused")?;
    let no_package = format!("http://{}:8000/none.deb", scenario.control_plane_address());
    let cases = [
        (
            "/config/proxy/install/url",
            json!(no_package),
            "vm-reverted",
            vec!["404", "proxy.install"],
        ),
        (
            "/config/proxy/install/sha256",
            json!("0".repeat(64)),
            "vm-reverted",
            vec!["SHA-256", "0000", "proxy.install"],
        ),
        (
            "/config/service_account",
            json!("nobody"),
            "service-account-exists",
            vec!["nobody", "Create it"],
        ),
    ];
    for (at, wrong, code, words) in cases {
        let mut workload = Workload::new(&scenario)?;
        set(&mut workload, at, wrong);
        fails(&workload.apply().await?, code, &words)?;
        untouched(&scenario, &workload)?;
    }
    let taken = "s = __import__('socket').socket(); s.bind(('127.0.0.1', 15021)); s.listen(); __import__('time').sleep(900)";
    scenario.vm.shell(&format!(
        "systemd-run --quiet --unit=taken python3 -c \"{taken}\""
    ))?;
    let mut workload = Workload::new(&scenario)?;
    fails(
        &workload.apply().await?,
        "vm-reverted",
        &["taken: 15021", "Stop what listens"],
    )?;
    untouched(&scenario, &workload)?;
    scenario.vm.shell("systemctl stop taken")?;
    workload.converge().await
}

#[tokio::test]
async fn a_foreign_object_stays_as_it_is() -> Done {
    let scenario = Scenario::begin("foreign")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let address = scenario.vm.address.to_string();
    let object = |kind: &str, name: &str, spec: Json| json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec});
    let service = json!({"hosts": ["other.host"], "resolution": "STATIC", "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]});
    let cases = [
        (
            object("WorkloadEntry", NAME, json!({"address": "10.99.0.99"})),
            "workload-exists",
            "terraform import",
        ),
        (
            object("WorkloadEntry", "other", json!({"address": address})),
            "address-taken",
            "/other",
        ),
        (
            object("ServiceEntry", &format!("{NAME}-ratings"), service),
            "cluster-exists",
            "Delete that ServiceEntry",
        ),
    ];
    for (foreign, code, word) in cases {
        kubectl.apply(&foreign)?;
        let name = format!(
            "{}/{}",
            text(&foreign["kind"]),
            text(&foreign["metadata"]["name"])
        );
        let mut workload = Workload::new(&scenario)?;
        fails(&workload.apply().await?, code, &[word])?;
        assert!(workload.state.is_none());
        assert_eq!(scenario.objects()?, [name.as_str()]);
        kubectl.delete(namespace, &name)?;
    }
    Workload::new(&scenario)?.converge().await
}

#[tokio::test]
async fn a_cluster_that_cannot_be_used_is_told_with_its_cause() -> Done {
    let scenario = Scenario::begin("cluster")?;
    let (host, authority) = endpoint(&scenario)?;
    let empty = ApiServer::start()?;
    empty
        .kubectl()
        .create_namespace(&scenario.namespace, &["bookinfo-ratings"])?;
    empty.kubectl().call(&["delete", "crd", "--all"], b"")?;
    let cases = [
        (
            json!({"host": "https://127.0.0.1:1", "token": "x"}),
            "cluster-unreachable",
            vec!["https://127.0.0.1:1", "refused"],
        ),
        (
            json!({"host": host, "token": "x"}),
            "cluster-unreachable",
            vec!["certificate", "tls_server_name"],
        ),
        (
            json!({"host": host, "token": "x", "cluster_ca_certificate": authority}),
            "cluster-unauthorized",
            vec!["Renew"],
        ),
        (
            json!({"config_path": "/nowhere/kubeconfig"}),
            "cluster-kubeconfig",
            vec!["/nowhere/kubeconfig", "No such file"],
        ),
        (
            json!({"config_path": "/etc/passwd"}),
            "cluster-kubeconfig",
            vec!["/etc/passwd", "no valid kubeconfig"],
        ),
        (
            json!({"config_path": empty.kubeconfig()}),
            "cluster-no-istio",
            vec!["networking.istio.io/v1", "custom resource definitions"],
        ),
    ];
    for (kubernetes, code, words) in cases {
        let mut workload = Workload::new(&scenario)?;
        workload.block["kubernetes"] = kubernetes;
        fails(&workload.apply().await?, code, &words)?;
        untouched(&scenario, &workload)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_example_role_suffices_and_a_missing_rule_is_named() -> Done {
    let scenario = Scenario::begin("role")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let whole = include_str!("../../../examples/rbac.yaml")
        .replace("bookinfo", namespace)
        .replace("terraform-provider-mesh", &format!("role-{namespace}"));
    let (before, rest) = whole
        .split_once("  # The token with which")
        .unwrap_or_default();
    let (_, after) = rest.split_once("---").unwrap_or_default();
    let without_token = format!("{before}---{after}");
    kubectl.call(
        &["apply", "--server-side", "-f", "-"],
        without_token.as_bytes(),
    )?;
    let (host, authority) = endpoint(&scenario)?;
    let token = kubectl.token(namespace, "terraform", None)?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["kubernetes"] =
        json!({"host": host, "token": token, "cluster_ca_certificate": authority});

    let told = workload.apply().await?;
    fails(
        &told,
        "token",
        &["serviceaccounts/token", "Add the rule", "verbs: [create]"],
    )?;
    assert_eq!(workload.drift("vm"), ["the bootstrap was not finished"]);
    assert!(clean(&scenario)?, "the VM was not taken back");

    kubectl.call(&["apply", "--server-side", "-f", "-"], whole.as_bytes())?;
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

#[tokio::test]
async fn a_bootstrap_that_fails_half_way_is_drift_until_an_apply_ends_it() -> Done {
    let scenario = Scenario::begin("half-way")?;
    let mut workload = Workload::new(&scenario)?;
    scenario
        .vm
        .write(DROP_IN, b"[Service]\nExecStartPre=/bin/false\n")?;
    fails(
        &workload.apply().await?,
        "vm-reverted",
        &["The step \"start\" failed", "the VM is as it was before"],
    )?;
    assert_eq!(workload.drift("vm"), ["the bootstrap was not finished"]);
    assert!(clean(&scenario)?, "the VM was not taken back");
    scenario
        .vm
        .shell("rm -r /etc/systemd/system/istio.service.d")?;
    assert_eq!(workload.plan().await?.action, Action::Replace);
    workload.converge().await
}

/// The old proxy goes on, with the old entry, and the plan asks for the same change again.
#[tokio::test]
async fn a_proxy_that_does_not_become_ready_gives_way_to_the_one_before() -> Done {
    let scenario = Scenario::begin("not-ready")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let before = workload.state.clone();
    scenario.vm.write(DROP_IN, b"[Service]\nExecStart=\nExecStart=/bin/sh -c 'grep -q v2 /var/lib/istio/envoy/cluster.env && exec sleep 600; exec /usr/local/bin/istio-start.sh'\n")?;
    workload.config["labels"]["version"] = json!("v2");
    workload.config["timeouts"]["update"] = json!("4m");
    let reverted = workload.apply().await?;
    fails(
        &reverted,
        "vm-reverted",
        &["The step \"ready\" failed", "the VM is as it was before"],
    )?;
    assert_eq!(workload.state, before);
    let entry = scenario
        .kubectl()
        .get(&scenario.object("workloadentries", NAME))?;
    assert_eq!(entry["spec"]["labels"]["version"], "v1");
    assert_eq!(
        entry["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"],
        "false"
    );
    crate::ready(&scenario.vm)?;
    scenario.vm.shell(&format!("rm {DROP_IN}"))?;
    workload.converge().await
}

#[tokio::test]
async fn a_conflict_that_no_line_showed_names_owner_and_field() -> Done {
    let scenario = Scenario::begin("conflict")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let bootstrapped = crate::vm_state(&scenario.vm)?;
    let theirs = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"namespace": scenario.namespace, "name": NAME},
        "spec": {"address": scenario.vm.address, "weight": 7, "labels": {"color": "red"}}});
    let manager = [
        "apply",
        "--server-side",
        "--field-manager=canary",
        "-f",
        "-",
    ];
    scenario
        .kubectl()
        .call(&manager, theirs.to_string().as_bytes())?;
    let ours = workload.config.clone();
    for (at, value, field) in [
        ("/config/weight", json!(5), ".spec.weight"),
        ("/config/labels/color", json!("blue"), ".spec.labels.color"),
    ] {
        workload.config = ours.clone();
        set(&mut workload, at, value);
        fails(
            &workload.apply().await?,
            "cluster-conflict",
            &[field, "canary", "force_conflicts"],
        )?;
        assert_eq!(workload.drift("objects"), [""; 0]);
    }
    // A line for one field is no leave to take another.
    let edit = json!({"spec": {"labels": {"version": "v9"}}});
    let entry = format!("workloadentry/{NAME}");
    scenario
        .kubectl()
        .patch(&scenario.namespace, &entry, &edit, &[])?;
    fails(
        &workload.apply().await?,
        "cluster-conflict",
        &[".spec.labels.color", "canary"],
    )?;
    assert_eq!(workload.drift("objects").len(), 1);
    assert_eq!(crate::vm_state(&scenario.vm)?, bootstrapped);
    workload.config["field_manager"] = json!({"force_conflicts": true});
    workload.converge().await
}

#[tokio::test]
async fn a_destroy_without_credential_deletes_nothing() -> Done {
    let scenario = Scenario::begin("destroy-key")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let good = workload.block.clone();
    workload.block["ssh"] = json!({"user": scenario.vm.user, "agent": false});
    workload.config["timeouts"]["delete"] = json!("20s");
    let told = workload.destroy().await?;
    let [refused, blocked] = &told[..] else {
        return Err(Failure::new(texts(&told)));
    };
    holds(refused, "ssh-auth", &["offered: nothing"])?;
    holds(
        blocked,
        "destroy-blocked",
        &["credential", "on_destroy", "terraform state rm"],
    )?;
    assert!(workload.state.is_some());
    assert_eq!(scenario.objects()?.len(), 3);
    workload.block = good;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(scenario.objects()?, [""; 0]);
    assert!(clean(&scenario)?);
    Ok(())
}

/// Sets a value of the workload, by a JSON pointer that begins with `/config` or `/block`.
fn set(workload: &mut Workload, at: &str, value: Json) {
    let mut both = json!({"config": workload.config, "block": workload.block});
    let (above, name) = at.rsplit_once('/').unwrap_or_default();
    if let Some(place) = both.pointer_mut(above) {
        place[name] = value;
    }
    (workload.config, workload.block) = (both["config"].take(), both["block"].take());
}

fn untouched(scenario: &Scenario, workload: &Workload) -> Done {
    assert!(workload.state.is_none(), "{:?}", workload.state);
    assert_eq!(scenario.objects()?, [""; 0]);
    assert!(clean(scenario)?, "the VM was touched");
    Ok(())
}

/// Says whether nothing of ours outlives a reboot of the VM.
fn clean(scenario: &Scenario) -> Result<bool> {
    let look = "ls -d /var/lib/istio /etc/istio /etc/certs /var/run/secrets 2>/dev/null; grep mesh-vm /etc/hosts; id -u istio-proxy 2>/dev/null; true";
    Ok(scenario.vm.shell(look)?.is_empty())
}

/// Returns the address of the bed's API server and the certificate of its authority.
fn endpoint(scenario: &Scenario) -> Result<(Json, String)> {
    let kubeconfig: Json =
        serde_json::from_str(&std::fs::read_to_string(scenario.kubectl().kubeconfig())?)?;
    let authority = std::fs::read_to_string(scenario.folder().join("cluster/ca.crt"))?;
    Ok((
        kubeconfig["clusters"][0]["cluster"]["server"].clone(),
        authority,
    ))
}

fn new_key() -> Result<String> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("key");
    Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .status()?;
    Ok(std::fs::read_to_string(path)?)
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}
