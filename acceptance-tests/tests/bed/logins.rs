//! Logins as they are met: other shells, noise, and a machine that allows little.

use std::path::Path;
use std::process::Command;

use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use bed::Machine;
use serde_json::json;

use crate::failures::untouched;

/// A user who may become root, on a machine that allows no more than that: noise at every turn, no
/// program from `/tmp`, nothing written at home.
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
async fn any_login_shell_with_noise_and_little_rights_joins_with_and_without_requiretty() -> Done {
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
async fn a_disk_that_is_too_small_is_told_before_anything_changes() -> Done {
    let scenario = Scenario::begin("small-disk")?;
    scenario.vm.shell(
        "cp -a /var/lib /var/before && mount -t tmpfs -o size=200m,mode=755 tmpfs /var/lib && cp -a /var/before/. /var/lib/",
    )?;
    let mut workload = Workload::new(&scenario)?;
    fails(
        &workload.apply().await?,
        "vm-reverted",
        &["MiB free below /var/lib, 400 needed", "Make room"],
    )?;
    untouched(&scenario, &workload)?;
    scenario.vm.shell("umount -l /var/lib")?;
    workload.converge().await
}

/// Copies a shell of this machine, and the libraries that it needs, where the VM has none.
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
