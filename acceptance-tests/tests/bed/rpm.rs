//! A machine with rpm as its package manager: the real rpm on the bed's Debian, without dpkg.

use acceptance_tests::workload::{Workload, fails};
use acceptance_tests::{Done, Scenario, listing};
use serde_json::json;

use crate::demo::call_vm;

/// Builds rpms from the bed's package, `PACKAGE`, like Istio from the same files: 1.31.0, 99.1.0, 99.2.0 for another
/// architecture, and 99.3.0 with a missing dependency. Debian's rpm installs only with `--force-debian`, and does not
/// know the installed shell. A scriptlet kills rpm once if a file `/var/tmp/kill-SCRIPTLET` exists.
pub(crate) const MACHINE: &str = r#"
set -e
cd /var/tmp && curl -fsS -o own.deb PACKAGE && dpkg-deb -R own.deb tree
spec() {
  printf '%s\n' "Name: $1" "Version: $2" 'Release: 1' 'Summary: of a test' 'License: Apache-2.0' 'AutoReqProv: no' "$3" '%description' 'Of a test.'
}
files() { (cd tree && find . -type f ! -path './DEBIAN/*' | sed 's/^[.]//'); }
kills() { printf '%s\n' "%$1" "if [ -e /var/tmp/kill-$1 ]; then mv /var/tmp/kill-$1 /var/tmp/killed; kill -KILL \$PPID; exit 1; fi"; }
build() { rpmbuild --quiet -bb --define '_binary_payload w.ufdio' --define '_topdir /var/tmp/rpm' --define '__os_install_post %{nil}' "$@" 2>/dev/null; }
for version in 1.31.0 99.1.0; do
  { spec istio-sidecar "$version" ''; printf '%s\n' '%install' 'cp -a /var/tmp/tree/. %{buildroot}/ && rm -r %{buildroot}/DEBIAN'
    kills post; tail -n +2 tree/DEBIAN/postinst; kills postun; printf '%s\n' '%files'; files; } >"$version.spec"
  build "$version.spec"
done
sed 's/^Version: .*/Version: 99.2.0/' 99.1.0.spec >99.2.0.spec && build --target mips-linux 99.2.0.spec
sed 's/^Version: .*/Version: 99.3.0\nRequires: not-there/' 99.1.0.spec >99.3.0.spec && build 99.3.0.spec
{ spec shell 1 'Provides: /bin/sh'; printf '%s\n' '%files'; } >shell.spec && build shell.spec
printf '%s\n' '#!/bin/sh' 'case $1 in -U | -e) exec /usr/bin/rpm --force-debian "$@" ;; *) exec /usr/bin/rpm "$@" ;; esac' >/usr/local/bin/rpm
chmod 0755 /usr/local/bin/rpm
rpm -U rpm/RPMS/*/shell-1-1.*.rpm
for version in 1.31.0 99.1.0 99.2.0 99.3.0; do
  folder=releases/$version/rpm && mkdir -p "$folder" && mv rpm/RPMS/*/istio-sidecar-$version-1.*.rpm "$folder/istio-sidecar.rpm"
  (cd "$folder" && sha256sum istio-sidecar.rpm >istio-sidecar.rpm.sha256)
done
rm -r rpm tree *.spec own.deb
for tool in dpkg dpkg-query dpkg-deb; do mv "/usr/bin/$tool" "/usr/bin/$tool-away"; done
systemd-run --quiet --unit=releases python3 -m http.server 8001 --bind 127.0.0.1 --directory /var/tmp/releases
"#;

#[tokio::test]
async fn a_machine_with_rpm_gets_the_rpm_of_the_release() -> Done {
    let mut scenario = Scenario::begin("rpm")?;
    scenario.vm = scenario.vm.rebuild_with_engines()?;
    let vm = scenario.vm.clone();
    vm.wait_until_up()?;
    vm.shell("systemctl start ratings")?;
    let (url, _) = scenario.package();
    vm.shell(&MACHINE.replace("PACKAGE", &url))?;
    let before = listing(&vm)?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["istio"]["release_url"] = json!("http://127.0.0.1:8001");
    workload.config["proxy"] = json!({});
    let version = || vm.shell("rpm -q --qf '%{VERSION}' istio-sidecar");
    for asked in [None, Some("99.1.0"), Some("1.31.0")] {
        workload.config["proxy"]["version"] = json!(asked);
        workload.converge().await?;
        assert_eq!(version()?, asked.unwrap_or("1.31.0"));
        call_vm(&scenario)?;
    }
    let state = workload.state.clone();
    let since = || vm.shell("systemctl show --property=ExecMainStartTimestampMonotonic istio");
    let started = since()?;
    for (refused, word) in [("99.2.0", "architecture"), ("99.3.0", "not-there")] {
        workload.config["proxy"]["version"] = json!(refused);
        fails(&workload.apply().await?, "vm-reverted", &["stage", word])?;
        workload.state.clone_from(&state);
        assert_eq!(since()?, started);
    }
    call_vm(&scenario)?;

    vm.shell("systemctl stop istio; rpm -e istio-sidecar")?;
    workload.config["proxy"]["version"] = json!("1.31.0");
    workload.refresh().await?;
    assert_eq!(
        workload.drift("vm"),
        [
            "proxy: package istio-sidecar is missing, should be '1.31.0'",
            "proxy: the unit istio is missing",
        ]
    );
    workload.converge().await?;
    workload.destroy().await?;
    let left = listing(&vm)?.since(&before);
    assert!(
        left.iter().all(|line| line.contains("/var/lib/rpm")),
        "{left:#?}"
    );
    Ok(())
}
