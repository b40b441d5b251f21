//! A compromised proxy: its user cannot trick root through the folders that it owns, or pass root's files to Terraform.

use acceptance_tests::workload::{Workload, fails, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario};
use bed::Machine;
use serde_json::json;

/// Valuable files of root. Following a link to one of them changes one of these lines.
const VICTIM: &str = "set -e
mkdir -p /root/victim /etc/victim
for f in /root/victim/key.pem /root/victim/istio-token /etc/victim/istio.log; do echo 'secret of root' >$f; chmod 600 $f; done";
const UNTOUCHED: &str = "find /root/victim /etc/victim /etc/cron.d -printf '%p %U:%G %m %s %T@\\n' | sort; sha256sum /etc/shadow; stat -c '%U %a' /etc/shadow";

/// Runs a script as the proxy's user.
pub(crate) fn as_proxy(vm: &Machine, script: &str) -> Result<String> {
    let words = [
        "setpriv",
        "--reuid",
        "istio-proxy",
        "--regid",
        "istio-proxy",
        "--init-groups",
        "sh",
        "-c",
        script,
    ];
    let output = vm.exec(&words)?;
    if output.success() {
        return Ok(output.stdout);
    }
    Err(Failure::new(format!("{script}: {}", output.stderr)))
}

#[tokio::test]
async fn links_of_a_compromised_proxy_are_drift_and_never_followed_by_root() -> Done {
    let scenario = Scenario::begin("broken")?;
    let vm = scenario.vm.clone();
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    vm.shell(VICTIM)?;
    let cases = [
        ("ln -s /etc/shadow /etc/certs/root-cert.pem", "is a link"),
        ("mkfifo /etc/certs/root-cert.pem", "is not a regular file"),
        (
            "truncate -s 300M /etc/certs/root-cert.pem",
            "has 314572800 bytes, which is too large to read",
        ),
    ];
    for (trap, why) in cases {
        let chain = trap.replace("root-cert", "cert-chain");
        let away = "rm -f /etc/certs/root-cert.pem /etc/certs/cert-chain.pem";
        as_proxy(&vm, &format!("{away}; {trap}; {chain}"))?;
        workload.refresh().await?;
        let line = format!("files: /etc/certs/root-cert.pem {why}");
        assert_eq!(workload.drift("vm"), [line]);
    }
    // A bootstrap with links in all places that root used: it repairs them and follows none.
    let before = vm.shell(UNTOUCHED)?;
    as_proxy(
        &vm,
        "cd /etc/certs && rm -f key.pem && ln -s /root/victim/key.pem key.pem && ln -sf /root/victim/key.pem key.pem.mesh
        ln -sf /root/victim/key.pem root-cert.pem.mesh
        cd /var/run/secrets && mv tokens old && ln -s /etc/cron.d tokens
        cd /var/log/istio && rm -f istio.log && ln -s /etc/victim/istio.log istio.log",
    )?;
    assert_eq!(texts(&workload.apply().await?), "");
    assert_eq!(vm.shell(UNTOUCHED)?, before);
    // Its own log is still that link, through which its user cannot write.
    as_proxy(&vm, "rm /var/log/istio/istio.log")?;
    vm.shell("systemctl restart istio")?;
    crate::ready(&vm)?;
    assert_eq!(vm.shell(UNTOUCHED)?, before);
    workload.converge().await
}

/// It replaces files with links and back a hundred times a second while root works.
#[tokio::test]
async fn a_compromised_proxy_that_swaps_files_while_root_works_gains_nothing() -> Done {
    const RACE: &str = r#"
import os, shutil, time
def attempt(call, *arguments):
    try: call(*arguments)
    except OSError: pass
def link(target, path):
    attempt(os.remove, path)
    attempt(os.symlink, target, path)
def write(path):
    attempt(os.remove, path)
    attempt(lambda: open(path, "x").write("mine\n"))
os.chdir("/etc/certs")
tokens = "/var/run/secrets/tokens"
while True:
    for name in ["key.pem", "cert-chain.pem", "root-cert.pem", "key.pem.mesh", "root-cert.pem.mesh"]:
        link("/root/victim/key.pem", name)
        time.sleep(0.001)
        write(name)
    attempt(shutil.rmtree, tokens)
    link("/etc/victim", tokens)
    time.sleep(0.001)
    attempt(os.remove, tokens)
    attempt(os.makedirs, tokens)
    link("/etc/cron.d/evil", tokens + "/istio-token.mesh")
    time.sleep(0.001)
    attempt(os.remove, tokens + "/istio-token.mesh")
"#;
    let scenario = Scenario::begin("race")?;
    let vm = scenario.vm.clone();
    let mut workload = Workload::new(&scenario)?;
    workload.config["timeouts"]["update"] = json!("60s");
    workload.converge().await?;
    vm.shell(VICTIM)?;
    let before = vm.shell(UNTOUCHED)?;
    vm.write("/var/tmp/race", RACE.as_bytes())?;
    vm.shell(
        "systemd-run --quiet --unit=race --uid=istio-proxy --gid=istio-proxy python3 /var/tmp/race",
    )?;
    // It may only keep its own VM out of the mesh.
    for version in ["v2", "v3"] {
        workload.config["labels"]["version"] = json!(version);
        let reported = texts(&workload.apply().await?);
        assert!(!reported.contains("secret of root"), "{reported}");
        assert_eq!(vm.shell(UNTOUCHED)?, before);
    }
    vm.shell("systemctl kill --signal=KILL race; systemctl reset-failed race || :")?;
    let owned = vm.shell("find /etc /root -xdev -user istio-proxy -not -path '/etc/certs*'; find /etc/certs -type f -exec grep -l 'secret of root' {} +; true")?;
    assert_eq!(
        owned, "",
        "a file of root's, or a copy of one, is the proxy's"
    );
    workload.converge().await?;
    assert_eq!(vm.shell(UNTOUCHED)?, before);
    Ok(())
}

#[tokio::test]
async fn foreign_files_keep_their_owner_and_survive_the_proxy() -> Done {
    let scenario = Scenario::begin("others")?;
    let vm = scenario.vm.clone();
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    vm.shell(
        "mkdir -m 700 /etc/certs/app /var/run/secrets/app
        echo key >/etc/certs/app/nginx.key && echo word >/var/run/secrets/app/password
        chmod 600 /etc/certs/app/nginx.key /var/run/secrets/app/password",
    )?;
    let theirs = "stat -c '%n %U:%G %a' /etc/certs/app /etc/certs/app/* /var/run/secrets/app /var/run/secrets/app/*; cat /etc/certs/app/* /var/run/secrets/app/*";
    let before = vm.shell(theirs)?;
    vm.shell("systemctl restart istio")?;
    crate::ready(&vm)?;
    workload.config["labels"]["version"] = json!("v2");
    workload.converge().await?;
    assert_eq!(vm.shell(theirs)?, before);
    match &workload.destroy().await?[..] {
        [warning] => holds(
            warning,
            "vm-files-left",
            &["/etc/certs/app", "/var/run/secrets/app"],
        )?,
        reported => return Err(Failure::new(texts(reported))),
    }
    assert_eq!(vm.shell(theirs)?, before);
    let left = vm.shell(
        "ls /etc/certs /run/secrets; ls -d /var/lib/istio /var/log/istio 2>/dev/null; true",
    )?;
    assert_eq!(left, "/etc/certs:\napp\n\n/run/secrets:\napp\n");
    Ok(())
}

#[tokio::test]
async fn a_hosts_file_that_is_a_link_keeps_all_lines() -> Done {
    let scenario = Scenario::begin("hosts-link")?;
    let vm = scenario.vm.clone();
    vm.shell(
        "mkdir /etc/static && mv /etc/hosts /etc/static/hosts && ln -s static/hosts /etc/hosts",
    )?;
    let before = vm.read("/etc/static/hosts")?;
    assert!(before.contains("localhost"), "{before}");
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let joined = vm.read("/etc/static/hosts")?;
    assert!(
        joined.ends_with(&before) && joined.starts_with("# BEGIN mesh-vm"),
        "{joined}"
    );
    assert_eq!(vm.shell("readlink /etc/hosts")?, "static/hosts\n");
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(vm.read("/etc/static/hosts")?, before);
    Ok(())
}

/// Istio's guide gives `/var/lib/istio` to the proxy's user, who could then put a program there.
#[tokio::test]
async fn a_state_folder_of_the_proxys_user_is_rejected_and_never_executed() -> Done {
    const GUIDE: &str = "set -e
groupadd --system istio-proxy
useradd --system --gid istio-proxy --home-dir /var/lib/istio istio-proxy
install -d -o istio-proxy -g istio-proxy /var/lib/istio";
    const TRAP: &str = "mkdir -m 700 -p /var/lib/istio/mesh/run && cd /var/lib/istio/mesh/run
echo 0123456789abcdef0123456789abcdef >id; echo keep >steps; echo 'touch /root/was-run' >program
printf '%s\\n' '/etc/cron.d/evil' >../paths; echo 'uid bookinfo/x' >../owner";
    let scenario = Scenario::begin("state")?;
    let vm = scenario.vm.clone();
    vm.shell(GUIDE)?;
    as_proxy(&vm, TRAP)?;
    let mut workload = Workload::new(&scenario)?;
    let fix = "chown -hR root:root /var/lib/istio/mesh && chmod 0700 /var/lib/istio/mesh";
    let reported = workload.apply().await?;
    fails(
        &reported,
        "vm-reverted",
        &[fix, "rm -rf /var/lib/istio/mesh"],
    )?;
    assert!(!vm.exec(&["test", "-e", "/root/was-run"])?.success());
    vm.shell("rm -rf /var/lib/istio/mesh")?;
    workload.state = None;
    workload.converge().await?;
    let owned = "stat -c '%U %a' /var/lib/istio /var/lib/istio/mesh";
    assert_eq!(vm.shell(owned)?, "root 755\nroot 700\n");

    // The user follows the guide again: nothing is read there meanwhile, and an apply takes it back.
    vm.shell("chown istio-proxy /var/lib/istio")?;
    workload.refresh().await?;
    let lines = workload.drift("vm").join("\n");
    assert!(
        lines.contains("proxy: /var/lib/istio is not as the bootstrap left it"),
        "{lines}"
    );
    workload.converge().await?;
    assert_eq!(vm.shell(owned)?, "root 755\nroot 700\n");
    assert_eq!(texts(&workload.destroy().await?), "");
    let left = vm.shell("stat -c '%U %a' /var/lib/istio; ls -A /var/lib/istio")?;
    assert_eq!(left, "istio-proxy 755\n", "as it was");
    Ok(())
}
