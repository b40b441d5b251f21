//! Brings the whole bed up and down once. Needs root.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use bed::{Bed, HostKey, Options};

/// Returns everything on this machine that is named after a bed or its network.
fn traces(name: &str, network: &str) -> Vec<String> {
    let output = |program: &str, words: &[&str]| {
        String::from_utf8(Command::new(program).args(words).output().unwrap().stdout).unwrap()
    };
    let folder = format!("/var/lib/terraform-provider-mesh/{name}");
    let prefixes = [format!("meshbr{network} "), format!("mesh{network}-")];
    let listings = [
        output("ip", &["netns", "list"]),
        output("ip", &["-brief", "link"]),
        output("ps", &["-eo", "args"]),
        fs::read_to_string("/proc/mounts").unwrap(),
        output(
            "find",
            &[
                "/run/systemd/nspawn",
                "/var/lib/terraform-provider-mesh",
                "/sys/fs/cgroup",
            ],
        ),
    ];
    let lines = listings.iter().flat_map(|listing| listing.lines());
    let ours = lines.filter(|line| {
        line.contains(&folder) || prefixes.iter().any(|prefix| line.contains(prefix))
    });
    ours.map(str::to_owned).collect()
}

#[test]
fn a_bed_comes_up_works_and_leaves_nothing() {
    let name = "test";
    bed::down(name).unwrap();
    let options = Options {
        name: name.into(),
        vms: 1,
        pods: 2,
    };
    let mut bed = Bed::up(&options).unwrap();
    bed.use_provider(Path::new("/nowhere/terraform-provider-mesh"))
        .unwrap();
    assert!(
        Bed::up(&options)
            .unwrap_err()
            .to_string()
            .contains("is already running")
    );
    let found = Bed::attach(name).unwrap();
    assert_eq!(found.document(), bed.document());
    assert!(
        found.status().iter().all(|(_, runs)| *runs),
        "{:?}",
        found.status()
    );

    pods_talk_over_mutual_tls(&found);
    vm_is_as_described(&found);
    machines_share_no_control_group(&found);
    a_vm_that_lets_no_user_log_in_is_not_up(&found);
    vm_survives_what_tests_do_to_it(&found);

    let address = found.control_plane_address();
    let network = address.split('.').nth(2).unwrap();
    assert!(
        traces(name, network).len() > 10,
        "the bed is found by its traces"
    );
    found.down().unwrap();
    assert_eq!(traces(name, network), [""; 0]);
}

fn pods_talk_over_mutual_tls(bed: &Bed) {
    let answer = bed.pods[0]
        .curl("http://pod-2.bookinfo:9080/hello", &[])
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        answer
            .body
            .contains(&format!("URI={}", bed.pods[0].spiffe_id())),
        "{}",
        answer.body
    );
    let plain = bed.vms[0]
        .curl(&format!("http://{}:9080/", bed.pods[0].address), &[])
        .unwrap();
    assert_eq!(
        plain.status, 0,
        "a stranger got an answer in spite of STRICT: {}",
        plain.body
    );
}

/// A unit that ends on one machine would remove the group in which the same unit starts on another.
fn machines_share_no_control_group(bed: &Bed) {
    let group = "/sys/fs/cgroup/only-here";
    bed.pods[0].shell(&format!("mkdir {group}")).unwrap();
    bed.vms[0].shell(&format!("test ! -e {group}")).unwrap();
    bed.pods[0].shell(&format!("rmdir {group}")).unwrap();
}

fn ssh(bed: &Bed, user: &str, words: &[&str]) -> (bool, String) {
    let vm = &bed.vms[0];
    let known = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        known.path(),
        format!("{} {}\n", vm.address, vm.host_key().unwrap()),
    )
    .unwrap();
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=10",
        "-i",
    ])
    .arg(&vm.private_key_path);
    ssh.arg("-o")
        .arg(format!("UserKnownHostsFile={}", known.path().display()));
    let output = ssh
        .arg(format!("{user}@{}", vm.address))
        .args(words)
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn vm_is_as_described(bed: &Bed) {
    let vm = &bed.vms[0];
    assert_eq!(
        vm.ssh_connections().unwrap(),
        0,
        "the bed itself must not connect"
    );
    assert_eq!(
        ssh(bed, &vm.user, &["sudo", "-n", "id", "-u"]),
        (true, "0".into())
    );
    assert!(!ssh(bed, "nosudo", &["sudo", "-n", "id"]).0);
    assert_eq!(vm.ssh_connections().unwrap(), 2);

    vm.shell("systemctl start ratings").unwrap();
    let own = vm
        .curl(
            "http://127.0.0.1:9080/",
            &["--retry-connrefused", "--retry", "20", "--retry-delay", "1"],
        )
        .unwrap();
    assert!(
        own.status == 200 && own.body.contains("\"host\": \"vm-1\""),
        "{own:?}"
    );
    let outside = bed.pods[0]
        .curl(&format!("http://{}:9080/", vm.address), &[])
        .unwrap();
    assert_eq!(
        outside.status, 503,
        "the application listens on loopback only: {}",
        outside.body
    );

    let (url, sha256) = bed.package();
    let install = format!(
        "cd /root && curl -fsSO {url} && echo '{sha256}  istio-sidecar.deb' | sha256sum -c && dpkg -i istio-sidecar.deb"
    );
    vm.shell(&install).unwrap();
    assert!(vm.shell("pilot-agent version").unwrap().contains("1.31.0"));
}

/// As after a boot in which the unit failed that lets users log in.
fn a_vm_that_lets_no_user_log_in_is_not_up(bed: &Bed) {
    let vm = &bed.vms[0];
    vm.write("/run/nologin", b"").unwrap();
    let refused = vm.wait_until_up().unwrap_err().chain();
    assert!(refused.contains("lets no user log in"), "{refused}");
    assert!(!ssh(bed, "ubuntu", &["true"]).0);
    vm.exec(&["rm", "/run/nologin"]).unwrap();
    vm.wait_until_up().unwrap();
}

fn vm_survives_what_tests_do_to_it(bed: &Bed) {
    let vm = &bed.vms[0];
    vm.cut().unwrap();
    assert!(
        !ssh(bed, "root", &["true"]).0,
        "a cut machine is not reached"
    );
    vm.restore().unwrap();
    assert!(ssh(bed, "root", &["touch", "/root/kept"]).0);
    vm.reboot().unwrap();
    assert_eq!(
        vm.read("/root/kept").unwrap(),
        "",
        "a reboot keeps the disk"
    );

    let (machine_id, host_key) = (vm.read("/etc/machine-id").unwrap(), vm.host_key().unwrap());
    vm.kill().unwrap();
    assert!(!vm.is_on() && vm.exec(&["true"]).is_err());
    vm.rebuild(HostKey::New).unwrap();
    vm.wait_until_up().unwrap();
    assert!(
        vm.read("/root/kept").is_err(),
        "a rebuilt machine has a fresh disk"
    );
    assert_ne!(vm.read("/etc/machine-id").unwrap(), machine_id);
    assert_ne!(vm.host_key().unwrap(), host_key);
    assert!(ssh(bed, "root", &["true"]).0);
}
