//! An sshd of our own on a free port, and what a test needs to reach it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tempfile::TempDir;
use vm::{Bastions, Credentials, Hop, Identity, Session, Target, Trust, VmError, Wait};

pub(crate) const HOST: &str = "127.0.0.1";

/// A running sshd with an ed25519 and an ecdsa host key, which lets the key `user` in.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Starts one with more lines of configuration, which win over the usual ones.
    pub(crate) fn with(lines: &str) -> Self {
        Self::started_by(lines, &["/usr/sbin/sshd"])
    }

    /// As [`Self::with`], by a command that ends in sshd's own name.
    pub(crate) fn started_by(lines: &str, command: &[&str]) -> Self {
        let mut sshd = Self::prepared(lines);
        for _ in 0..5 {
            sshd.write_config(lines);
            if sshd.launch(command) {
                return sshd;
            }
            sshd.port = free_port();
        }
        panic!("sshd does not start: {}", sshd.log());
    }

    /// Returns one that does not run yet; [`Self::launch`] starts it.
    pub(crate) fn prepared(lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Making one takes longer than most tests.
        let rsa = lines.contains("host_rsa").then_some("rsa");
        for kind in ["ed25519", "ecdsa"].into_iter().chain(rsa) {
            keygen(&["-t", kind, "-f", &format!("host_{kind}")], dir.path());
        }
        keygen(&["-t", "ed25519", "-f", "user"], dir.path());
        fs::copy(
            dir.path().join("user.pub"),
            dir.path().join("authorized_keys"),
        )
        .unwrap();
        let sshd = Self {
            dir,
            port: free_port(),
            process: None,
        };
        sshd.write_config(lines);
        sshd
    }

    fn write_config(&self, lines: &str) {
        let dir = self.dir.path().display().to_string();
        let keys = ["ed25519", "ecdsa"]
            .map(|kind| format!("HostKey {dir}/host_{kind}\n"))
            .concat();
        let listen = if lines.contains("ListenAddress") {
            ""
        } else {
            "ListenAddress 127.0.0.1\n"
        };
        // The default, post-quantum key exchange takes a client 0.1 s of computing.
        let config = format!(
            "{}\n{listen}Port {}\n{keys}AuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\n\
             UsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv PATH={dir}/bin:/usr/bin:/bin\nLogLevel DEBUG1\nMaxStartups 200\nPermitRootLogin yes\n\
             KexAlgorithms curve25519-sha256\n",
            lines.replace("DIR", &dir),
            self.port,
        );
        fs::write(self.path("config"), config).unwrap();
        self.script("bin/sudo", "[ \"$1\" = -n ] && shift; exec \"$@\"");
    }

    /// Writes a program into the sshd's directory.
    pub(crate) fn script(&self, name: &str, body: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        assert!(
            Command::new("chmod")
                .arg("0755")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn launch(&mut self, command: &[&str]) -> bool {
        // sshd insists on it when it is root, whatever it is for.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(self.path("log")).unwrap();
        let mut process = Command::new(command[0])
            .args(&command[1..])
            .args(["-D", "-e", "-f"])
            .arg(self.path("config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until && process.try_wait().unwrap().is_none() {
            if self.log().contains("Server listening on") {
                self.process = Some(process);
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        let _ = process.wait();
        false
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read(self.path("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// How many logins there were.
    pub(crate) fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// Process ids of the listener, its sessions, and all that they started.
    pub(crate) fn processes(&self) -> Vec<u32> {
        descendants(self.process.as_ref().unwrap().id())
    }

    pub(crate) fn pinned(&self, kind: &str) -> Trust {
        Trust::HostKey(self.read(&format!("host_{kind}.pub")).parse().unwrap())
    }

    pub(crate) fn hop(&self, trust: Trust) -> Hop {
        Hop {
            host: HOST.into(),
            port: Some(self.port),
            user: Some(user()),
            trust,
        }
    }

    pub(crate) fn target(&self) -> Target {
        target(self.hop(self.pinned("ed25519")))
    }

    pub(crate) fn credentials(&self) -> Credentials {
        identity(&self.read("user"))
    }

    pub(crate) async fn connect(&self) -> Result<Session, VmError> {
        connect(&self.target(), &self.credentials()).await
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            for pid in descendants(process.id()) {
                signal("KILL", pid);
            }
            let _ = process.wait();
        }
    }
}

pub(crate) fn target(vm: Hop) -> Target {
    Target {
        vm,
        bastions: Vec::new(),
        connect_timeout: Duration::from_secs(20),
    }
}

pub(crate) fn identity(private_key: &str) -> Credentials {
    let identity = Identity::parse(&SecretString::from(private_key), None, None).unwrap();
    Credentials {
        identity: Some(identity),
        ..Credentials::default()
    }
}

pub(crate) async fn connect(
    target: &Target,
    credentials: &Credentials,
) -> Result<Session, VmError> {
    Session::connect(target, credentials, &Bastions::default(), briefly()).await
}

/// Long enough for every attempt.
pub(crate) fn briefly() -> Wait {
    Wait::Briefly(Instant::now() + Duration::from_mins(5))
}

pub(crate) fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs ssh-keygen in `dir`, without a passphrase unless one is given.
pub(crate) fn keygen(args: &[&str], dir: &Path) -> String {
    let mut command = Command::new("ssh-keygen");
    if args.contains(&"-t") && !args.contains(&"-N") {
        command.args(["-N", ""]);
    }
    let output = command
        .arg("-q")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((HOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// `pid` and all that descend from it, itself first.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    let parents: Vec<(u32, u32)> = processes()
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    while let Some(parent) = all.get(at).copied() {
        all.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    all
}

pub(crate) fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The name of a process.
pub(crate) fn command_of(pid: u32) -> Option<String> {
    Some(
        fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()?
            .trim()
            .to_owned(),
    )
}

/// A zombie has ended: it has no parent here.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        None
    } else {
        fields.next()?.parse().ok()
    }
}

pub(crate) fn runs(pid: u32) -> bool {
    parent(pid).is_some()
}

/// Waits until it holds; the bound only ends a broken test.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within two minutes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
