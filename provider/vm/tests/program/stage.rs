//! A place where the program runs without root: its folders below a temporary one, its steps
//! replaced by harmless ones, its input and output in the test's hands.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mesh::desired::{Bundle, File, Inbound, Owner, Watch};
use mesh::workload::{Install, Interception, Proxy, Runtime};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use vm::program::{self, Event, Patience, Payload, Privilege, Reader, Report};

/// The shells that the program must run in, as words of a command line.
pub(crate) const SHELLS: [&str; 3] = ["dash", "bash", "busybox sh"];

/// Replaces the steps that need root and systemd.
const HARMLESS: &str = r#"
systemctl() { :; }
sync() { :; }
has_unit() { false; }
is_ready() { false; }
package_version() { :; }
iptables_tools() { :; }
is_registered() { false; }
remove_user() { :; }
chown() { command chown "$@" 2>/dev/null || :; }
do_check() { :; }
do_stop() { :; }
undo_stop() { :; }
commit_run() { emit committed >"$state_dir/run/end" && finish committed; }
"#;

/// One machine's stand-in.
pub(crate) struct Stage {
    pub(crate) shell: &'static str,
    /// Everything that the program writes is below.
    pub(crate) root: TempDir,
}

impl Stage {
    pub(crate) fn new(shell: &'static str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("hosts"), "127.0.0.1 localhost\n").unwrap();
        Self { shell, root }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Unpacks an archive, whose program then runs here; `own` has the last word. Returns its `install.sh`.
    pub(crate) fn unpack(&self, archive: &[u8], own: &str) -> PathBuf {
        let folder = self.path("carried");
        fs::create_dir_all(&folder).unwrap();
        fs::write(self.path("carried.tar.gz"), archive).unwrap();
        let tar = Command::new("tar")
            .args(["--no-same-owner", "-xzf"])
            .args([self.path("carried.tar.gz"), "-C".into(), folder.clone()])
            .status();
        assert!(tar.unwrap().success());
        let program = fs::read_to_string(folder.join("mesh-vm.sh")).unwrap();
        fs::write(
            folder.join("mesh-vm.sh"),
            format!("{program}\n{}\n", self.text(own)),
        )
        .unwrap();
        let install = folder.join("install.sh");
        let text = fs::read_to_string(&install).unwrap();
        fs::write(
            &install,
            text.replace("/bin/sh", self.shell).replace(
                "/etc/systemd/system",
                &self.path("units").display().to_string(),
            ),
        )
        .unwrap();
        install
    }

    /// Runs `install.sh` with these words. Returns whether it succeeded, and its output.
    pub(crate) fn install(&self, install: &Path, words: &[&str]) -> (bool, String) {
        let mut shell = self.shell.split(' ');
        let output = Command::new(shell.next().unwrap())
            .args(shell)
            .arg(install)
            .args(words)
            .env("TMPDIR", self.root.path())
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(printed).unwrap())
    }

    /// Returns what is appended to the program: the directories, harmless steps, then the test's own text.
    fn text(&self, own: &str) -> String {
        let root = self.root.path().display();
        let shell = self.shell;
        crate::functions::check_stand_ins(&format!("{HARMLESS}\n{own}"));
        format!(
            "runs_dir={root}/run state_dir={root}/lib/mesh HOSTS_FILE={root}/hosts CERTS_DIR={root}/certs BIN_DIR={root}/bin LOG_DIR={root}/log\n\
             DROP_IN_DIR={root}/drop UNITS_DIR={root}/units CONTAINER_ID_FILE={root}/cid CLOUD_INIT_DIR={root}/cloud-init LOGROTATE_FILE={root}/rotate.d/mesh-vm ETC_DIR={root}/etc-istio TOKEN_FILE={root}/secrets/tokens/istio-token SDS_DIR={root}/secrets/sds\n\
             OWNED_DIRS=\"$ETC_DIR/config $ETC_DIR/proxy $ETC_DIR $CERTS_DIR $LOG_DIR ${{TOKEN_FILE%/*}} $SDS_DIR ${{TOKEN_FILE%/*/*}} $DROP_IN_DIR\"\n\
             detach() {{ setsid {shell} \"$run_dir/program\" \"$2\" \"$run_dir\" </dev/null >/dev/null 2>&1 & }}\n\
             ROOT_UID=$(id -u) ENVOY_DIR={root}/lib/envoy\n\
             [ ! -d \"$state_dir\" ] || [ -h \"$state_dir\" ] || chmod 700 \"$state_dir\"\n{HARMLESS}\n{own}\n"
        )
    }

    /// Starts a call; `own` is shell text that has the last word. The program is in a file: a shell reads each byte of its
    /// standard input by itself, which would be half of all that these tests ask of the kernel.
    pub(crate) fn call(&self, payload: Payload, own: &str) -> Call {
        let payload = payload.appending(&self.text(own));
        let sent = payload.stdin();
        let end = sent.iter().position(|byte| *byte == b'\n').unwrap();
        let file = tempfile::NamedTempFile::new_in(self.root.path()).unwrap();
        fs::write(file.path(), &sent[..end]).unwrap();
        let (_, path) = file.keep().unwrap();
        let usual = program::command(Privilege::Root);
        let taken = format!("program=$(cat {0}); rm {0};", path.display());
        let command = usual.replace("read -r program;", &taken);
        assert_ne!(command, usual);
        let mut call = self.start_by(&command);
        call.stdin(&sent[end + 1..]);
        call.reader = Some(Reader::new(payload.run()));
        call
    }

    /// Starts the usual command with nothing on its standard input yet.
    pub(crate) fn start(&self) -> Call {
        self.start_by(&program::command(Privilege::Root))
    }

    /// Goes on with a run by the program that it left here.
    pub(crate) fn call_at_hand(&self, payload: &Payload) -> Call {
        let command = program::command_at_hand(Privilege::Root, payload).unwrap();
        let runs = self.path("run").display().to_string();
        let mut call = self.start_by(&command.replace("/run/mesh-vm", &runs));
        call.reader = Some(Reader::new(payload.run()));
        call
    }

    pub(crate) fn start_by(&self, command: &str) -> Call {
        // The login shell is the one under test, and the shell that it starts is, too.
        let command = command.replace("/bin/sh", self.shell);
        let mut words = self.shell.split(' ');
        let child = Command::new(words.next().unwrap())
            .args(words)
            .args(["-c", &command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.unwrap_or_else(|err| panic!("{} is needed: {err}", self.shell));
        Call {
            child,
            reader: None,
        }
    }

    /// Runs a part of the program: the functions are there, `own` calls them.
    pub(crate) fn part(&self, own: &str) -> String {
        let text = format!(
            "{}\n{}",
            program::TEXT,
            self.text(&format!("run_dir={}\n{own}", self.root.path().display()))
        );
        // As a file: a text of this length is no word of a command line.
        let mut script = tempfile::NamedTempFile::new().unwrap();
        script.write_all(text.as_bytes()).unwrap();
        let mut words = self.shell.split(' ');
        let output = Command::new(words.next().unwrap())
            .args(words)
            .arg(script.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.shell);
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A call that is going on.
pub(crate) struct Call {
    pub(crate) child: Child,
    pub(crate) reader: Option<Reader>,
}

impl Call {
    pub(crate) fn stdin(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// Returns the next event that is not [`Event::Ignored`] nor a heartbeat.
    pub(crate) fn next(&mut self) -> Event {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut byte = [0];
            let stdout = self.child.stdout.as_mut().unwrap();
            while stdout.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
                line.push(byte[0]);
            }
            assert!(
                !line.is_empty() || byte == *b"\n",
                "the program ended early: {}",
                self.stderr()
            );
            match self
                .reader
                .as_mut()
                .unwrap()
                .feed(&String::from_utf8_lossy(&line))
            {
                Event::Ignored | Event::Heartbeat => {}
                event => return event,
            }
        }
    }

    /// Answers a wish for the token and returns the report.
    pub(crate) fn report(&mut self) -> Report {
        loop {
            match self.next() {
                Event::Finished(report) => return report,
                Event::WantsToken => self.stdin(
                    program::token_line(&TOKEN.into())
                        .expose_secret()
                        .as_bytes(),
                ),
                Event::Malformed(why) => panic!("{why}"),
                _ => {}
            }
        }
    }

    /// Waits until it begins this step.
    pub(crate) fn until(&mut self, step: &str) {
        while self.next() != Event::Step(step.into()) {}
    }

    /// Cuts the connection.
    pub(crate) fn cut(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Returns what it wrote to standard error until its end.
    pub(crate) fn stderr(&mut self) -> String {
        drop(self.child.stdin.take());
        let lines = BufReader::new(self.child.stderr.take().unwrap()).lines();
        lines.map_while(Result::ok).collect::<Vec<_>>().join("\n")
    }
}

/// What a test sends as token.
pub(crate) const TOKEN: &str =
    "eyJhbGciOi.eyJhdWQiOlsiaXN0aW8tY2EiXSwiY2FuYXJ5Ijoib2YgdGhlIHRva2VuIn0.c2ln";

/// A bundle with these files, and without rules.
pub(crate) fn bundle(files: Vec<File>) -> Bundle {
    Bundle {
        files,
        proxy: Proxy {
            runtime: Runtime::Systemd,
            image: None,
            pull_policy: None,
            interception: Interception::None,
            install: None::<Install>,
            version: None,
            exclude_inbound_ports: Vec::new(),
            exclude_cidrs: Vec::new(),
            dns_capture: None,
            config: None,
            token_command: None,
        },
        own: std::collections::BTreeSet::new(),
        release: None,
        identity: "spiffe://cluster.local/ns/bookinfo/sa/ratings"
            .parse()
            .unwrap(),
        owner: owner("uid-1", "bookinfo/ratings"),
        hosts_line: Some("10.0.0.1 istiod.istio-system.svc".into()),
        control_plane: "istiod.istio-system.svc:15012".into(),
        control_plane_san: "istiod.istio-system.svc".into(),
        has_other_root: false,
        authority: None,
        inbound: Inbound::default(),
        taken: vec![],
        ports: mesh::ports::OF_EACH_PROXY.to_vec(),
        finds_address: false,
    }
}

pub(crate) fn owner(uid: &str, id: &str) -> Owner {
    Owner {
        uid: uid.into(),
        id: id.parse().unwrap(),
    }
}

pub(crate) fn file(path: &Path, content: &[u8]) -> File {
    File {
        path: path.to_str().unwrap().into(),
        owner: "root",
        mode: 0o640,
        content: content.to_vec(),
        watch: Watch::Yes,
    }
}

/// Waits that never decide a test, but end a broken one.
pub(crate) fn patience() -> Patience {
    let long = std::time::Duration::from_mins(1);
    Patience {
        lock: long,
        boot: long,
        fetch: long,
        token: long,
        drain: long,
        ready: long,
        verdict: long,
    }
}

/// Writes a command that replaces a real one.
pub(crate) fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
