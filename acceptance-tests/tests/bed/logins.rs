//! Realistic logins and machines: other shells, noisy output, few permissions, and earlier installations.

use std::path::Path;
use std::process::Command;

use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use bed::Machine;
use serde_json::json;

use crate::failures::untouched;

/// A user who may become root on a restricted machine: noisy shells, no executables in `/tmp`, and a read-only home
/// directory.
const HOSTILE: &str = r"
useradd --create-home --shell /bin/sh odd
mkdir -p ~odd/.ssh ~odd/.config/fish && cp ~ubuntu/.ssh/authorized_keys ~odd/.ssh/ && chown -R odd: ~odd
echo 'echo noise; echo noise >&2' | tee ~odd/.profile ~odd/.bashrc ~odd/.config/fish/config.fish >/etc/profile.d/noise.sh
printf 'echo noise\necho begin 0\n' >~odd/.tcshrc
echo 'You are watched. begin 0' >/etc/banner
printf 'Banner /etc/banner\nPrintMotd yes\n' >/etc/ssh/sshd_config.d/a-banner.conf && systemctl restart ssh
mount --bind ~odd ~odd && mount -o remount,ro,bind ~odd
mount -t tmpfs -o noexec,nosuid,nodev tmpfs /tmp
";

#[tokio::test]
async fn noisy_login_shells_with_few_permissions_join_with_and_without_requiretty() -> Done {
    let scenario = Scenario::begin("odd-login")?;
    scenario.vm.shell(HOSTILE)?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["ssh"]["user"] = json!("odd");
    for (shell, sudoers) in [
        ("/usr/bin/fish", "Defaults:odd requiretty"),
        ("/usr/bin/tcsh", "Defaults:odd requiretty"),
        ("/bin/bash", ""),
    ] {
        install(&scenario.vm, shell)?;
        scenario.vm.shell(&format!(
            "usermod --shell {shell} odd && printf '%s\\n' '{sudoers}' 'odd ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/odd"
        ))?;
        workload.config["labels"]["version"] = json!(shell.replace('/', ""));
        workload.converge().await?;
    }
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_too_small_is_reported_before_anything_changes() -> Done {
    let scenario = Scenario::begin("small-disk")?;
    scenario.vm.shell(
        "cp -a /var/lib /var/before && mount -t tmpfs -o size=200m,mode=755 tmpfs /var/lib && cp -a /var/before/. /var/lib/",
    )?;
    let mut workload = Workload::new(&scenario)?;
    fails(
        &workload.apply().await?,
        "vm-reverted",
        &["MiB free below /var/lib, 400 needed", "Free disk space"],
    )?;
    untouched(&scenario, &workload)?;
    scenario.vm.shell("umount -l /var/lib")?;
    workload.converge().await
}

/// Copies a shell of this machine and its libraries if the VM does not have it.
fn install(vm: &Machine, shell: &str) -> Done {
    if vm.exec(&["test", "-x", shell])?.success() {
        return Ok(());
    }
    let needs = Command::new("ldd").arg(shell).output()?;
    if !needs.status.success() {
        return Err(Failure::new(format!("this machine has no {shell}")));
    }
    let needs = String::from_utf8_lossy(&needs.stdout).into_owned();
    let libraries = needs
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for path in libraries.chain([shell]) {
        if !vm.exec(&["test", "-e", path])?.success() {
            copy(vm, Path::new(path))?;
        }
    }
    Ok(())
}

fn copy(vm: &Machine, path: &Path) -> Result<()> {
    let at = path.display().to_string();
    vm.write(&at, &std::fs::read(path)?)?;
    vm.shell(&format!("chmod 0755 {at}"))
        .map(drop)
        .map_err(Into::into)
}

/// A machine with earlier installations: the proxy's user exists and its group has another ID, sudo ignores `-E`,
/// iptables' legacy backend has rules, and there is a valid certificate of another mesh.
const HISTORY: &str = r#"
set -e
groupadd --gid 4711 istio-proxy
useradd --system --uid 4712 --gid istio-proxy --home-dir /var/lib/istio --no-create-home istio-proxy
mv /usr/bin/sudo /usr/bin/sudo.real
cat >/usr/bin/sudo <<'EOF'
#!/bin/sh
for word do shift; [ "$word" = -E ] || set -- "$@" "$word"; done
exec /usr/bin/sudo.real "$@"
EOF
chmod 755 /usr/bin/sudo
iptables-legacy -A INPUT -p tcp --dport 9 -j ACCEPT
install -d -o istio-proxy /etc/certs
openssl req -x509 -newkey rsa:2048 -nodes -subj /O=other -days 2 -keyout /etc/certs/key.pem -out /etc/certs/cert-chain.pem 2>/dev/null
chown istio-proxy /etc/certs/*.pem
"#;
const HISTORY_STAYS: &str = "id istio-proxy; iptables-legacy-save -t filter | grep -c 'dport 9 -j ACCEPT'; sha256sum /etc/certs/*.pem";

#[tokio::test]
async fn a_machine_with_earlier_installations_joins_and_keeps_them() -> Done {
    let scenario = Scenario::begin("history")?;
    let vm = &scenario.vm;
    vm.shell(HISTORY)?;
    let before = vm.shell(HISTORY_STAYS)?;
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    crate::demo::call_vm(&scenario)?;
    crate::demo::can_call_pod(&scenario)?;
    let unit = vm.read("/etc/systemd/system/istio.service.d/mesh.conf")?;
    for word in [
        "PROXY_UID=4712 PROXY_GID=4711",
        "FORCE_IPTABLES_BINARY=legacy",
        "PATH=/var/lib/istio/mesh/bin:",
    ] {
        assert!(unit.contains(word), "no {word} in {unit}");
    }
    // Only one backend has the rules, and a group with the proxy user's ID does not bypass them.
    let rules = "iptables-nft-save 2>/dev/null | grep -c ISTIO_; iptables-legacy-save | grep -c -- '--gid-owner 4712'; true";
    assert_eq!(vm.shell(rules)?, "0\n0\n");
    let pod = &scenario.pods[0];
    let stranger = vm.shell(&format!(
        "setpriv --reuid 65534 --regid 4712 --clear-groups curl -s http://{}.{}:9080/hello",
        pod.name, pod.namespace
    ))?;
    assert!(
        stranger.contains(&crate::demo::vm_id(&scenario)),
        "{stranger}"
    );
    // Root reads these files, so a compromised proxy must not be able to write them.
    let owned = vm.shell("stat -c '%U %a' /var/lib/istio /var/lib/istio/envoy /var/lib/istio/envoy/*.env | sort | uniq -c | tr -s ' '")?;
    assert_eq!(owned, " 2 root 644\n 2 root 755\n");

    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(vm.shell(HISTORY_STAYS)?, before);
    Ok(())
}
