//! Start of the proxy on machines with obstacles: host name, sudo, unit or package manager.

use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Done, Failure, Scenario};
use serde_json::json;

use crate::demo::{call_vm, can_call_pod};

/// Like RHEL images: only a name server can resolve the machine's own name.
const NAMELESS: &str = r#"
set -e
sed -i "/$(hostname)/d" /etc/hosts
sed -i 's/^hosts:.*/hosts: files dns/' /etc/nsswitch.conf
! getent hosts "$(hostname)"
"#;

#[tokio::test]
async fn dns_capture_starts_where_only_a_name_server_can_resolve_the_machines_own_name() -> Done {
    let scenario = Scenario::begin("nameless")?;
    let vm = &scenario.vm;
    vm.shell(NAMELESS)?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"]["dns_capture"] = json!(true);
    workload.converge().await?;
    can_call_pod(&scenario)?;
    vm.shell("systemctl restart istio")?;
    crate::ready(vm)?;
    // sudo would try to resolve the name for 21 seconds at each start.
    let started = "cat /proc/$(systemctl show --property=MainPID --value istio)/comm";
    assert_eq!(vm.shell(started)?, "pilot-agent\n");
    workload.config["labels"]["version"] = json!("v2");
    workload.converge().await?;
    call_vm(&scenario)?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

/// The default of RHEL and a common policy.
const POLICIES: [&str; 2] = [
    "sed -i 's/^root.*/root ALL=(ALL) ALL/' /etc/sudoers && ! sudo -n -g nogroup true",
    "echo 'Defaults requiretty' >>/etc/sudoers && ! setsid sudo -n true </dev/null",
];

#[tokio::test]
async fn a_rebootstrap_does_not_depend_on_what_sudo_allows() -> Done {
    let scenario = Scenario::begin("sudoers")?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    for (at, policy) in POLICIES.iter().enumerate() {
        scenario.vm.shell(policy)?;
        workload.config["labels"]["version"] = json!(format!("after-{at}"));
        workload.converge().await?;
        call_vm(&scenario)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_masked_unit_is_reported_with_systemds_message() -> Done {
    let scenario = Scenario::begin("masked")?;
    let vm = &scenario.vm;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let state = workload.state.clone();
    // Left in the journal by an earlier start.
    vm.write(
        "/run/systemd/system/istio.service.d/earlier.conf",
        b"[Service]\nExecStartPre=-/bin/sh -c 'echo error of an earlier start >&2'\n",
    )?;
    vm.shell("systemctl daemon-reload; systemctl restart istio; rm -r /run/systemd/system/istio.service.d; systemctl daemon-reload")?;
    crate::ready(vm)?;
    let earlier = vm.shell("journalctl --quiet --unit=istio --output=cat")?;
    assert!(earlier.contains("error of an earlier start"), "{earlier}");
    vm.shell("systemctl mask --quiet istio")?;
    workload.config["labels"]["version"] = json!("v2");
    let reported = workload.apply().await?;
    fails(
        &reported,
        "vm-reverted",
        &["The step \"start\" failed", "istio.service is masked"],
    )?;
    let text = texts(&reported);
    let first = text.lines().find(|line| line.starts_with("  "));
    if !first.is_some_and(|line| line.contains("is masked")) || text.contains("earlier") {
        return Err(Failure::new(text));
    }
    vm.shell("systemctl unmask --quiet istio && systemctl start istio")?;
    workload.state = state;
    workload.converge().await
}

/// Builds a package with one missing and one installed dependency.
const DEMANDING: &str = r"
set -e
cd /var/tmp && curl -fsS -o demanding.deb PACKAGE && dpkg-deb -R demanding.deb demanding
sed -i 's/^Depends:.*/Depends: mawk | gawk, awk, libc6 (>= 2.3), not-there (>= 2) | not-there-either/' demanding/DEBIAN/control
dpkg-deb -Znone -b demanding demanding.deb >/dev/null && rm -r demanding
sha256sum demanding.deb | cut -d ' ' -f 1
";

#[tokio::test]
async fn a_package_with_a_missing_dependency_does_not_stop_the_proxy() -> Done {
    let scenario = Scenario::begin("demanding")?;
    let vm = &scenario.vm;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let (url, _) = scenario.package();
    let (before, state) = (crate::vm_state(vm)?, workload.state.clone());
    let since = vm.shell("systemctl show --property=ActiveEnterTimestampMonotonic istio")?;
    let digest = vm.shell(&DEMANDING.replace("PACKAGE", &url))?;
    let wanted = workload.config["proxy"].clone();
    workload.config["proxy"]["install"] =
        json!({ "url": "file:///var/tmp/demanding.deb", "sha256": digest.trim() });
    let words = [
        "The step \"stage\" failed",
        "not-there (>= 2) | not-there-either",
        "apt-get install not-there",
    ];
    let reported = workload.apply().await?;
    fails(&reported, "vm-reverted", &words)?;
    assert!(!texts(&reported).contains("mawk"), "{reported:?}");
    let now = vm.shell("systemctl show --property=ActiveEnterTimestampMonotonic istio")?;
    assert_eq!(now, since, "the proxy was stopped");
    assert_ne!(before, "");
    (workload.config["proxy"], workload.state) = (wanted, state);
    workload.converge().await
}

#[tokio::test]
async fn a_manual_upgrade_that_gives_folders_to_the_proxy_is_drift() -> Done {
    let scenario = Scenario::begin("given")?;
    let vm = &scenario.vm;
    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"]["interception"] = json!("tproxy");
    workload.config["services"]["ratings"]["ports"]["http"]["app_address"] = json!("0.0.0.0");
    workload.converge().await?;
    let (url, _) = scenario.package();
    vm.shell(&format!(
        "curl -fsS -o /var/tmp/again.deb {url} && dpkg --force-confold -i /var/tmp/again.deb >/dev/null"
    ))?;
    workload.refresh().await?;
    let left = |path: &str, is: &str, was: &str| {
        format!("proxy: {path} ({is}, was {was}) is not as the bootstrap left it")
    };
    let (given, own) = ("istio-proxy:istio-proxy 755", "root:root 755");
    let (stranger, grouped) = ("root:root 2755", "root:istio-proxy 2755");
    assert_eq!(
        workload.drift("vm"),
        [
            "proxy: /var/lib/istio/envoy is not as the bootstrap left it".to_owned(),
            left("/var/lib/istio/config", given, own),
            left("/usr/local/bin/envoy", stranger, grouped),
            left("/usr/local/bin/pilot-agent", stranger, grouped),
        ]
    );
    workload.converge().await?;
    // A VM bootstrapped by an older version of the provider has no list of them and no drift.
    vm.shell("rm /var/lib/istio/mesh/modes && chown istio-proxy /var/lib/istio/config")?;
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [""; 0]);
    Ok(())
}
