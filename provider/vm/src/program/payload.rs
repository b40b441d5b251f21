//! What is written to the remote program's standard input.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use mesh::bundle::ROOT_CERT;
use mesh::desired::{Bundle, Owner};
use mesh::ports::OF_EACH_PROXY;
use mesh::workload::{Interception, PullPolicy, Runtime};
use secrecy::{ExposeSecret as _, SecretString};

/// Names one run of the program on a VM: 32 lower-case hex digits. Unique, not secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId(String);

/// A text that is no run id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("run id {0:?} is not 32 hex digits")]
pub struct InvalidRunId(String);

impl RunId {
    /// Returns a new id.
    pub fn generate() -> Self {
        // The standard library seeds each of these from the system's random source.
        let half = || RandomState::new().hash_one(std::process::id());
        Self(format!("{:016x}{:016x}", half(), half()))
    }

    /// Returns the hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRunId(text.into()))
        }
    }
}

/// How long a writing run waits for what others do; whole seconds are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For another run on the same VM to end.
    pub lock: Duration,
    /// For the machine's first boot to end, where cloud-init still works on it.
    pub boot: Duration,
    /// For a package or an image to come.
    pub fetch: Duration,
    /// For the token, after it was asked for.
    pub token: Duration,
    /// For requests under way to end, before the proxy stops.
    pub drain: Duration,
    /// For the proxy to become ready.
    pub ready: Duration,
    /// For [`commit`], where rules are new.
    pub verdict: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            lock: seconds(120),
            boot: seconds(300),
            fetch: seconds(900),
            token: seconds(120),
            // As long as Kubernetes gives a pod.
            drain: seconds(30),
            ready: seconds(60),
            verdict: seconds(60),
        }
    }
}

/// One call of the program: a verb and its data. Holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    run: RunId,
    verb: &'static str,
    data: Vec<(String, Vec<u8>)>,
    appended: String,
}

/// Returns the call that looks at a VM and writes nothing: the bundle's files, the proxy, its
/// certificate, the jumps to its chains and whether a run was left unfinished.
pub fn observe(bundle: &Bundle) -> Payload {
    let paths = bundle.files.iter().enumerate();
    let data = paths.map(|(at, file)| (format!("file.{at}.path"), file.path.clone().into_bytes()));
    Payload::new(RunId::generate(), "observe").with(data)
}

/// Returns the call that checks whether a bootstrap could succeed. `now` is the caller's clock,
/// which the VM's is compared with.
pub fn check(bundle: &Bundle, now: Timestamp) -> Payload {
    Payload::new(RunId::generate(), "check")
        .with([clock(now)])
        .with(wanted(bundle))
}

/// Returns the call that makes the VM run on `bundle`, or leaves it as it was.
///
/// It is final when the proxy is ready on the VM itself. Where NAT rules are new on the VM, which
/// the VM knows, they might lock everybody out: then it is final when [`commit`] came over a *new*
/// connection, and is reverted without it.
pub fn bootstrap(bundle: &Bundle, run: RunId, patience: Patience, now: Timestamp) -> Payload {
    Payload::new(run, "bootstrap")
        .with([clock(now)])
        .with(joining(bundle, patience))
}

/// Returns the call that follows a run, begun on a connection that was lost, to its end.
pub fn result(run: RunId) -> Payload {
    Payload::new(run, "result")
}

/// Returns the call that makes a run final which [`Report::AwaitsVerdict`](super::Report) told of.
pub fn commit(run: RunId) -> Payload {
    Payload::new(run, "commit")
}

/// Returns the call that takes a run back: one that awaits its verdict, or the last final one.
pub fn revert(run: RunId) -> Payload {
    Payload::new(run, "revert")
}

/// Returns the call that takes the VM out of the mesh, if `owner` owns its proxy.
pub fn remove(owner: &Owner, run: RunId, patience: Patience) -> Payload {
    Payload::new(run, "remove").with(leaving(owner, patience))
}

/// Returns the line that answers [`Event::WantsToken`](super::Event).
pub fn token_line(token: &SecretString) -> SecretString {
    format!("token {}\n", STANDARD.encode(token.expose_secret())).into()
}

impl Payload {
    fn new(run: RunId, verb: &'static str) -> Self {
        Self {
            run,
            verb,
            data: Vec::new(),
            appended: String::new(),
        }
    }

    fn with(mut self, data: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        self.data.extend(data);
        self
    }

    /// Appends shell text to the program: how a test stops at a step (`hook() { … }`) or puts
    /// another root below the program's folders. The product never calls it.
    #[must_use]
    pub fn appending(mut self, text: &str) -> Self {
        self.appended.push_str(text);
        self
    }

    /// Returns the run that this call begins or concerns.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Returns the verb: `observe`, `check`, `bootstrap`, `result`, `commit`, `revert`, `remove`.
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    /// Returns what is written first. Standard input stays open behind it, for the token.
    pub fn stdin(&self) -> Vec<u8> {
        let program = super::packed(super::TEXT);
        let program = format!("{program}\n{}\n", self.appended);
        let mut lines = STANDARD.encode(gzip(program.as_bytes()));
        lines.push('\n');
        let head = [text("run", self.run.as_str()), text("verb", self.verb)];
        for (key, value) in head.iter().chain(&self.data) {
            lines.push_str(&line(key, value));
        }
        lines.push_str("end\n");
        lines.into_bytes()
    }
}

/// Returns the data of a bootstrap: all but the run, the verb and the clock.
pub(super) fn joining(bundle: &Bundle, patience: Patience) -> Vec<(String, Vec<u8>)> {
    let waits = waits(patience).into_iter();
    wanted(bundle)
        .into_iter()
        .chain(files(bundle))
        .chain(waits)
        .collect()
}

/// Returns the data of a removal: all but the run and the verb.
pub(super) fn leaving(owner: &Owner, patience: Patience) -> Vec<(String, Vec<u8>)> {
    let owner = text("owner", &owner_line(owner));
    waits(patience).into_iter().chain([owner]).collect()
}

/// Returns a line of data.
pub(super) fn line(key: &str, value: &[u8]) -> String {
    format!("{key} {}\n", STANDARD.encode(value))
}

fn clock(now: Timestamp) -> (String, Vec<u8>) {
    text("now", &now.as_second().to_string())
}

/// What the checks compare the VM with.
fn wanted(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let redirect = match bundle.proxy.interception {
        Interception::None => "no",
        Interception::Redirect | Interception::Tproxy => "yes",
    };
    let mut data = vec![
        text("control-plane", &bundle.control_plane),
        text("tls-name", &bundle.control_plane_san),
        text("redirect", redirect),
        text(
            "ports",
            &OF_EACH_PROXY.map(|port| format!("{port}\n")).concat(),
        ),
        text("owner", &owner_line(&bundle.owner)),
    ];
    let root = bundle.files.iter().find(|file| file.path == ROOT_CERT);
    data.extend(root.map(|root| ("root".to_owned(), root.content.clone())));
    data.extend(bundle.hosts_line.as_ref().map(|line| text("hosts", line)));
    if !bundle.taken.is_empty() {
        let lines = bundle.taken.iter().map(|(ip, id)| format!("{ip} {id}\n"));
        data.push(text("taken", &lines.collect::<String>()));
    }
    if bundle.proxy.interception == Interception::Tproxy {
        data.push(text("tproxy", "yes"));
    }
    if bundle.finds_address {
        data.push(text("find-address", "yes"));
    }
    if bundle.proxy.runtime != Runtime::Systemd {
        let policy = bundle.proxy.pull_policy.unwrap_or(PullPolicy::IfNotPresent);
        data.extend([
            text("engine", &bundle.proxy.runtime.to_string()),
            text("pull", &policy.to_string()),
        ]);
        let image = bundle.proxy.image.as_ref();
        data.extend(image.map(|image| text("image", &image.to_string())));
    }
    if let Some(install) = &bundle.proxy.install {
        data.extend([
            text("url", &install.url),
            text("sha256", &install.sha256.to_string()),
        ]);
    }
    if let Some(release) = &bundle.release {
        data.push(text("release", &release.url));
        let version = release.version.as_ref();
        data.extend(version.map(|version| text("version", version.as_str())));
    }
    data
}

fn files(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let parts = bundle.files.iter().enumerate().flat_map(|(at, file)| {
        [
            text(&format!("file.{at}.path"), &file.path),
            text(&format!("file.{at}.owner"), file.owner),
            text(&format!("file.{at}.mode"), &format!("{:04o}", file.mode)),
            (format!("file.{at}.content"), file.content.clone()),
        ]
    });
    parts.collect()
}

fn waits(patience: Patience) -> [(String, Vec<u8>); 7] {
    let seconds =
        |name: &str, wait: Duration| text(&format!("wait.{name}"), &wait.as_secs().to_string());
    [
        seconds("lock", patience.lock),
        seconds("boot", patience.boot),
        seconds("fetch", patience.fetch),
        seconds("token", patience.token),
        seconds("drain", patience.drain),
        seconds("ready", patience.ready),
        seconds("verdict", patience.verdict),
    ]
}

fn owner_line(owner: &Owner) -> String {
    format!("{} {}", owner.uid, owner.id)
}

fn text(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.into(), value.as_bytes().to_vec())
}

/// Writing to a `Vec` cannot fail; should it, the VM refuses the truncated program.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(plain);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}
