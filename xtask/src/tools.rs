//! Programs that tests and demo need. They are installed if possible and reported otherwise. The bed handles its own.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Programs of tests, with their Debian packages.
pub(crate) const UNIT: [(&str, &str); 7] = [
    ("shellcheck", "shellcheck"),
    ("dash", "dash"),
    ("busybox", "busybox"),
    ("fish", "fish"),
    ("tcsh", "tcsh"),
    ("sshd", "openssh-server"),
    ("ssh-agent", "openssh-client"),
];
/// Programs that Debian lacks or has in a too old version, with their download addresses.
const ELSEWHERE: [(&str, &str); 2] = [
    ("go", "Go 1.26 or newer, from https://go.dev/dl"),
    (
        "terraform",
        "Terraform 1.8 or newer, from https://developer.hashicorp.com/terraform/install",
    ),
];

/// Whether a bed is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bed {
    /// A bed will be started.
    Needed,
    /// No bed is needed.
    Spared,
}

/// Installs or checks these programs, each with its package, and those that Debian lacks.
///
/// # Errors
/// Lists everything that is missing, and the command that installs it.
pub(crate) fn provide(programs: &[(&str, &str)], bed: Bed) -> Result<(), Box<dyn Error>> {
    let packages: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    let elsewhere = ELSEWHERE.iter().filter(|(program, _)| !is_there(program));
    let mut left: Vec<String> = elsewhere
        .map(|(program, from)| format!("{program} is not on PATH: install {from}"))
        .collect();
    if !packages.is_empty() && !apt_install(&packages)? {
        left.push(format!(
            "programs are missing: sudo apt-get install -y {}",
            packages.join(" ")
        ));
    }
    if bed == Bed::Needed && !is_root() {
        left.push(
            "the bed needs root: run this as root (`cargo xtask test --unit` runs the tests without a bed)"
                .into(),
        );
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(left.join("\n").into())
    }
}

/// Installs Debian packages. Returns false if that is impossible, because it needs root and apt-get.
fn apt_install(packages: &[&str]) -> Result<bool, Box<dyn Error>> {
    if !is_root() || !is_there("apt-get") {
        return Ok(false);
    }
    eprintln!("installing {}", packages.join(", "));
    let install = || {
        let mut apt = apt_get(&["install", "-y", "--no-install-recommends"]);
        apt.args(packages).status().map(|status| status.success())
    };
    // The package lists may be missing or outdated.
    if install()? || (apt_get(&["update"]).status()?.success() && install()?) {
        return Ok(true);
    }
    Err(format!(
        "apt-get could not install {}: see its messages above",
        packages.join(", ")
    )
    .into())
}

fn apt_get(args: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-o", "DPkg::Lock::Timeout=120"]).args(args);
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    apt
}

/// Returns true if a program is on PATH or in a folder of daemons, which may not be on PATH.
fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
