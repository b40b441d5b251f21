//! A package manager that is killed while it works: its changes are undone, and the next run succeeds.

use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Done, Failure, Listing, Result, Scenario, listing};
use bed::Machine;
use serde_json::json;

use crate::demo::call_vm;

/// Kills dpkg once when half of a package is unpacked.
const UNPACKS: &str = r#"#!/bin/sh
if [ "$1" = --fsys-tarfile ] && [ -e /var/tmp/kill ] && [ "$(cat /proc/$PPID/comm)" = dpkg ]; then
  rm /var/tmp/kill
  /usr/bin/dpkg-deb "$@" | head -c 60000000
  kill -KILL "$PPID"
  exit 1
fi
exec /usr/bin/dpkg-deb "$@"
"#;
/// Kills dpkg once when it has removed the package's files.
const REMOVES: &str = r#"#!/bin/sh
[ -e /var/tmp/kill ] || exit 0
rm /var/tmp/kill
kill -KILL "$PPID"
"#;
/// Builds another version of the bed's package, and prints its digest.
const OTHER: &str = r#"
cd /var/tmp && curl -fsS -o own.deb PACKAGE && dpkg-deb -R own.deb tree
sed -i 's/^Version: .*/Version: 99.1.0/' tree/DEBIAN/control
dpkg-deb -Znone --root-owner-group -b tree 99.1.0.deb >/dev/null
rm -r tree own.deb
sha256sum <99.1.0.deb | cut -d ' ' -f 1
"#;

fn status(vm: &Machine) -> Result<String> {
    Ok(vm.shell("dpkg-query -W -f '${Status} ${Version}' istio-sidecar 2>/dev/null || true")?)
}

/// Checks that nothing is left, except the result of the run until the next boot, rpm's record, and a scriptlet during
/// which rpm was killed.
fn left_nothing(vm: &Machine, before: &Listing) -> Done {
    let mut left = listing(vm)?.since(before);
    let others = ["/run/mesh-vm", "/var/lib/rpm", "/var/tmp/rpm-tmp."];
    left.retain(|line| !others.iter().any(|path| line.contains(path)));
    assert_eq!(left, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_killed_package_manager_is_undone_and_the_next_run_succeeds() -> Done {
    let scenario = Scenario::begin("killed-dpkg")?;
    let vm = &scenario.vm;
    let (url, _) = scenario.package();
    let sum = vm.shell(&OTHER.replace("PACKAGE", &url))?;
    vm.write("/usr/local/bin/dpkg-deb", UNPACKS.as_bytes())?;
    vm.shell("chmod 0755 /usr/local/bin/dpkg-deb")?;
    let before = listing(vm)?;
    let mut workload = Workload::new(&scenario)?;

    // The first bootstrap of a new machine.
    vm.shell("touch /var/tmp/kill")?;
    fails(&workload.apply().await?, "vm-reverted", &["install"])?;
    left_nothing(vm, &before)?;
    workload.converge().await?;

    // Another version.
    let old = workload.config["proxy"]["install"].clone();
    workload.config["proxy"]["install"] =
        json!({ "url": "file:///var/tmp/99.1.0.deb", "sha256": sum.trim() });
    vm.shell("touch /var/tmp/kill")?;
    let state = workload.state.clone();
    fails(&workload.apply().await?, "vm-reverted", &["install"])?;
    assert_eq!(status(vm)?, "install ok installed 99.1.0");
    call_vm(&scenario)?;
    workload.state = state;
    workload.converge().await?;
    workload.config["proxy"]["install"] = old;
    workload.converge().await?;
    call_vm(&scenario)?;

    // A removal.
    let hook = "/var/lib/dpkg/info/istio-sidecar.postrm";
    vm.write(hook, REMOVES.as_bytes())?;
    vm.shell(&format!("chmod 0755 {hook}; touch /var/tmp/kill"))?;
    fails(&workload.destroy().await?, "vm-not-removed", &["uninstall"])?;
    let reported = texts(&workload.destroy().await?);
    if !reported.is_empty() {
        return Err(Failure::new(reported));
    }
    left_nothing(vm, &before)
}

/// A removal does not succeed if no tool can remove the package.
#[tokio::test]
async fn a_removal_that_cannot_remove_the_package_fails() -> Done {
    let scenario = Scenario::begin("not-undone")?;
    let vm = &scenario.vm;
    let before = listing(vm)?;
    let mut workload = Workload::new(&scenario)?;
    // A package manager that fails every call.
    let broken = "#!/bin/sh\ncase \" $* \" in *' --purge '*) echo 'not today' >&2; exit 2 ;; *' -i '*) [ \"$1\" = --no-act ] || { /usr/bin/dpkg \"$@\"; exit 1; } ;; esac\nexec /usr/bin/dpkg \"$@\"\n";
    vm.write("/usr/local/bin/dpkg", broken.as_bytes())?;
    vm.shell("chmod 0755 /usr/local/bin/dpkg")?;
    fails(&workload.apply().await?, "vm-halfway", &["install"])?;
    let state = workload.state.clone();
    fails(&workload.destroy().await?, "vm-not-removed", &["not today"])?;
    workload.state = state;
    vm.shell("rm /usr/local/bin/dpkg")?;
    let reported = texts(&workload.destroy().await?);
    if !reported.is_empty() {
        return Err(Failure::new(reported));
    }
    left_nothing(vm, &before)
}

/// Kills rpm once when it has started to write one of the package's large files, or has removed the first one.
const RPM: &str = r#"#!/bin/sh
parts() { ls /usr/local/bin/*\;* >/dev/null 2>&1; }
if [ "$1" = -U ] && [ "$2" != --test ] && [ -e /var/tmp/kill ]; then
  rm /var/tmp/kill
  /usr/bin/rpm --force-debian "$@" &
  while kill -0 $!; do
    if parts; then kill -KILL $!; fi
  done 2>/dev/null
  wait $!
  parts && touch /var/tmp/killed
  exit 1
fi
if [ "$1" = -e ] && [ -e /var/tmp/kill ]; then
  rm /var/tmp/kill
  files=$(/usr/bin/rpm -ql istio-sidecar)
  last=${files##*
}
  /usr/bin/rpm --force-debian "$@" &
  while [ -e "$last" ]; do :; done
  kill -KILL $!
  wait $!
  for f in $files; do
    if [ -f "$f" ]; then touch /var/tmp/killed; fi
  done
  exit 1
fi
case $1 in -U | -e) exec /usr/bin/rpm --force-debian "$@" ;; *) exec /usr/bin/rpm "$@" ;; esac
"#;

/// Uses Debian's rpm with its own database.
#[tokio::test]
async fn a_killed_rpm_is_undone_and_the_next_run_succeeds() -> Done {
    let mut scenario = Scenario::begin("killed-rpm")?;
    scenario.vm = scenario.vm.rebuild_with_engines()?;
    let vm = scenario.vm.clone();
    vm.wait_until_up()?;
    vm.shell("systemctl start ratings")?;
    let (url, _) = scenario.package();
    vm.shell(&crate::rpm::MACHINE.replace("PACKAGE", &url))?;
    vm.write("/usr/local/bin/rpm", RPM.as_bytes())?;
    let before = listing(&vm)?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["istio"]["release_url"] = json!("http://127.0.0.1:8001");
    workload.config["proxy"] = json!({});
    let kill = |at: &str| vm.shell(&format!("touch /var/tmp/{at}"));
    let was_killed = || vm.shell("rm /var/tmp/killed");
    let versions = || vm.shell("rpm -q --qf '%{VERSION} ' istio-sidecar");

    for at in ["kill", "kill-post"] {
        kill(at)?;
        fails(&workload.apply().await?, "vm-reverted", &["install"])?;
        was_killed()?;
        left_nothing(&vm, &before)?;
    }
    workload.converge().await?;

    workload.config["proxy"]["version"] = json!("99.1.0");
    let state = workload.state.clone();
    // rpm's database has exactly one version, and the files are the previous ones.
    for (at, registered) in [("kill", "1.31.0 "), ("kill-post", "99.1.0 ")] {
        kill(at)?;
        fails(&workload.apply().await?, "vm-reverted", &["install"])?;
        was_killed()?;
        call_vm(&scenario)?;
        let parts = vm.shell("find /usr/local /var/lib/istio /lib/systemd -name '*;*'")?;
        assert_eq!(parts, "");
        assert_eq!(versions()?, registered);
        workload.state.clone_from(&state);
    }
    for at in ["kill", "kill-postun"] {
        workload.converge().await?;
        assert_eq!(versions()?, "99.1.0 ");
        kill(at)?;
        fails(&workload.destroy().await?, "vm-not-removed", &["uninstall"])?;
        was_killed()?;
        assert_eq!(texts(&workload.destroy().await?), "");
        left_nothing(&vm, &before)?;
    }
    Ok(())
}
