//! Other versions of the proxy's package: planned, installed manually, removed, and one that does not start.

use acceptance_tests::workload::{Workload, fails};
use acceptance_tests::{Done, Result, Scenario, listing};
use bed::Machine;
use contract::Value;
use serde_json::{Value as Json, json};

/// Version of the bed's package and of its control plane.
const OWN: &str = "1.31.0";

/// Builds other versions of the bed's package, `PACKAGE`: the proxy of 99.1.0 is recognizable by its environment, and
/// systemd rejects the unit of 99.2.0.
const PACKAGES: &str = r#"
cd /var/tmp && curl -fsS -o own.deb PACKAGE && dpkg-deb -R own.deb tree
sed -i 's/^Version: .*/Version: 99.1.0/' tree/DEBIAN/control
sed -i '1a export RUNS=99.1.0' tree/usr/local/bin/istio-start.sh
dpkg-deb -Znone --root-owner-group -b tree 99.1.0.deb
sed -i 's/^Version: .*/Version: 99.2.0/' tree/DEBIAN/control
sed -i '/^ExecStart=/d' tree/lib/systemd/system/istio.service
dpkg-deb -Znone --root-owner-group -b tree 99.2.0.deb
rm -r tree
for of in 99.1.0 CONTROL_PLANE; do
  folder=releases/$of/deb && mkdir -p $folder && mv $of.deb $folder/istio-sidecar.deb 2>/dev/null || cp own.deb $folder/istio-sidecar.deb
  (cd $folder && sha256sum istio-sidecar.deb >istio-sidecar.deb.sha256)
done
ln releases/99.1.0/deb/istio-sidecar.deb 99.1.0.deb
systemd-run --quiet --unit=releases python3 -m http.server 8001 --bind 127.0.0.1 --directory /var/tmp/releases
"#;

/// Returns the version in the VM's package manager, and whether the running agent is that of 99.1.0.
fn runs(vm: &Machine) -> Result<(String, bool)> {
    let version = vm.shell("dpkg-query -W -f '${Version}' istio-sidecar")?;
    let agent = vm.shell(
        "tr '\\0' '\\n' <\"/proc/$(pgrep -o pilot-agent)/environ\" | grep -c ^RUNS= || true",
    )?;
    Ok((version, agent.trim() != "0"))
}

/// Returns `proxy.install` for a file on the VM.
fn install(vm: &Machine, file: &str) -> Result<Json> {
    let sum = vm.shell(&format!("sha256sum </var/tmp/{file} | cut -d ' ' -f 1"))?;
    Ok(json!({ "url": format!("file:///var/tmp/{file}"), "sha256": sum.trim() }))
}

/// A VM without a package gets that of the control plane's release; `proxy.version` selects another one.
async fn follows_the_releases(workload: &mut Workload, vm: &Machine) -> Done {
    workload.block["istio"]["release_url"] = json!("http://127.0.0.1:8001");
    workload.converge().await?;
    assert_eq!(runs(vm)?, (OWN.to_owned(), false));
    // Without a configured version, the installed one is kept.
    let of_another = "dpkg -i /var/tmp/99.1.0.deb && systemctl restart istio";
    vm.shell(of_another)?;
    crate::ready(vm)?;
    workload.refresh().await?;
    // Its version is not drift, but it makes the proxy's user the owner of folders that root reads.
    let folders = workload.drift("vm");
    assert_eq!(folders.len(), FOLDERS.len(), "{folders:#?}");
    assert_eq!(beside_folders(workload), [""; 0]);
    for (version, by_its_agent) in [("99.1.0", true), (OWN, false)] {
        workload.config["proxy"]["version"] = json!(version);
        let plan = workload.plan().await?;
        let reasons = format!("{:?}", plan.planned["last_bootstrap_reasons"]);
        assert!(reasons.contains("proxy.version"), "{reasons}");
        workload.converge().await?;
        assert_eq!(runs(vm)?, (version.to_owned(), by_its_agent));
    }
    vm.shell(of_another)?;
    workload.refresh().await?;
    let line = format!("{PACKAGE} is '99.1.0', should be '{OWN}'");
    assert_eq!(beside_folders(workload), [line]);
    workload.converge().await?;
    let state = workload.state.clone();
    workload.config["proxy"]["version"] = json!("99.3.0");
    let words = ["99.3.0/deb/istio-sidecar.deb.sha256", "404"];
    fails(&workload.apply().await?, "vm-reverted", &words)?;
    assert_eq!(runs(vm)?, (OWN.to_owned(), false));
    workload.state = state;
    Ok(())
}

/// Folders that a manually installed package gives to the proxy's user.
const FOLDERS: [&str; 2] = ["/var/lib/istio/envoy", "/var/lib/istio/config"];

/// Returns the drift of the VM without the lines about these folders.
fn beside_folders(workload: &Workload) -> Vec<String> {
    let of_folder = |line: &String| {
        FOLDERS
            .iter()
            .any(|folder| line.starts_with(&format!("proxy: {folder} ")))
    };
    let mut lines = workload.drift("vm");
    lines.retain(|line| !of_folder(line));
    lines
}

/// Beginning of a line of drift about the package.
const PACKAGE: &str = "proxy: package istio-sidecar";

#[tokio::test]
async fn another_version_of_the_package_is_planned_installed_and_rolled_back() -> Done {
    let scenario = Scenario::begin("versions")?;
    let vm = &scenario.vm;
    let (url, _) = scenario.package();
    let packages = PACKAGES.replace("PACKAGE", &url);
    vm.shell(&packages.replace("CONTROL_PLANE", OWN))?;
    let before = listing(vm)?;
    let mut workload = Workload::new(&scenario)?;
    let old = workload.config["proxy"]["install"].take();
    let own = OWN.to_owned();
    follows_the_releases(&mut workload, vm).await?;
    workload.config["proxy"] = json!({ "install": old });
    workload.converge().await?;

    let new = install(vm, "99.1.0.deb")?;
    for (package, expected) in [
        (&new, ("99.1.0".to_owned(), true)),
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

    let should_be = format!("should be '{own}'");
    let cases = [
        (
            "dpkg -i /var/tmp/99.1.0.deb",
            vec![format!("{PACKAGE} is '99.1.0', {should_be}")],
        ),
        (
            "systemctl stop istio; dpkg --purge istio-sidecar",
            vec![
                format!("{PACKAGE} is missing, {should_be}"),
                "proxy: the unit istio is missing".to_owned(),
            ],
        ),
    ];
    for (by_hand, lines) in cases {
        vm.shell(by_hand)?;
        workload.refresh().await?;
        assert_eq!(beside_folders(&workload), lines, "{by_hand}");
        workload.converge().await?;
        assert_eq!(runs(vm)?, (own.clone(), false), "{by_hand}");
    }

    // The previous files run again. The next apply corrects the package manager's database.
    workload.config["proxy"]["install"] = install(vm, "99.2.0.deb")?;
    fails(&workload.apply().await?, "vm-reverted", &["start"])?;
    crate::ready(vm)?;
    assert_eq!(runs(vm)?, ("99.2.0".to_owned(), false));
    workload.config["proxy"]["install"] = old;
    workload.converge().await?;
    assert_eq!(runs(vm)?, (own, false));

    workload.destroy().await?;
    assert_eq!(listing(vm)?.since(&before), [""; 0]);
    Ok(())
}
