//! Another version of the proxy's package: planned, installed by hand, gone, and one that does not start.

use acceptance_tests::workload::{Workload, fails};
use acceptance_tests::{Done, Result, Scenario, listing};
use bed::Machine;
use contract::Value;
use serde_json::{Value as Json, json};

/// Makes packages of other versions of the bed's, `PACKAGE`: the proxy of 99.1 tells by its environment whose it is, and 99.2
/// has a unit that systemd refuses.
const PACKAGES: &str = r#"
cd /var/tmp && curl -fsS -o own.deb PACKAGE && dpkg-deb -R own.deb tree
sed -i 's/^Version: .*/Version: 99.1/' tree/DEBIAN/control
sed -i '1a export RUNS=99.1' tree/usr/local/bin/istio-start.sh
dpkg-deb -Znone --root-owner-group -b tree 99.1.deb
sed -i 's/^Version: .*/Version: 99.2/' tree/DEBIAN/control
sed -i '/^ExecStart=/d' tree/lib/systemd/system/istio.service
dpkg-deb -Znone --root-owner-group -b tree 99.2.deb
rm -r tree
"#;

/// Returns what the VM's package manager says, and whether the agent that runs is the one of 99.1.
fn runs(vm: &Machine) -> Result<(String, bool)> {
    let version = vm.shell("dpkg-query -W -f '${Version}' istio-sidecar")?;
    let agent = vm.shell(
        "tr '\\0' '\\n' <\"/proc/$(pgrep -o pilot-agent)/environ\" | grep -c ^RUNS= || true",
    )?;
    Ok((version, agent.trim() != "0"))
}

/// Returns what `proxy.install` says of a file on the VM.
fn install(vm: &Machine, file: &str) -> Result<Json> {
    let sum = vm.shell(&format!("sha256sum </var/tmp/{file} | cut -d ' ' -f 1"))?;
    Ok(json!({ "url": format!("file:///var/tmp/{file}"), "sha256": sum.trim() }))
}

#[tokio::test]
async fn another_version_of_the_package_is_planned_installed_and_taken_back() -> Done {
    let scenario = Scenario::begin("versions")?;
    let vm = &scenario.vm;
    let (url, _) = scenario.package();
    vm.shell(&PACKAGES.replace("PACKAGE", &url))?;
    let before = listing(vm)?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let (own, _) = runs(vm)?;
    let old = workload.config["proxy"]["install"].clone();

    let new = install(vm, "99.1.deb")?;
    for (package, expected) in [
        (&new, ("99.1".to_owned(), true)),
        (&old, (own.clone(), false)),
    ] {
        workload.config["proxy"]["install"] = package.clone();
        let plan = workload.plan().await?;
        let reasons = format!("{:?}", plan.planned["last_bootstrap_reasons"]);
        assert!(reasons.contains("proxy.install.sha256"), "{reasons}");
        workload.converge().await?;
        assert_eq!(runs(vm)?, expected);
        let state = workload
            .state
            .as_ref()
            .map(|state| &state.value["proxy_version"]);
        assert_eq!(state, Some(&Value::String(expected.0)));
    }

    let cases = [
        (
            "dpkg -i /var/tmp/99.1.deb",
            vec![format!("proxy: package istio-sidecar '99.1' -> '{own}'")],
        ),
        (
            "systemctl stop istio; dpkg --purge istio-sidecar",
            vec![
                format!("proxy: package istio-sidecar none -> '{own}'"),
                "proxy: the unit istio is missing".to_owned(),
            ],
        ),
    ];
    for (by_hand, lines) in cases {
        vm.shell(by_hand)?;
        workload.refresh().await?;
        assert_eq!(workload.drift("vm"), lines, "{by_hand}");
        workload.converge().await?;
        assert_eq!(runs(vm)?, (own.clone(), false), "{by_hand}");
    }

    // The files of before run again; the package manager's books are put right by the next apply.
    workload.config["proxy"]["install"] = install(vm, "99.2.deb")?;
    fails(&workload.apply().await?, "vm-reverted", &["start"])?;
    crate::ready(vm)?;
    assert_eq!(runs(vm)?, ("99.2".to_owned(), false));
    workload.config["proxy"]["install"] = old;
    workload.converge().await?;
    assert_eq!(runs(vm)?, (own, false));

    workload.destroy().await?;
    assert_eq!(listing(vm)?.since(&before), [""; 0]);
    Ok(())
}
