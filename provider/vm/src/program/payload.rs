//! What is written to the remote program's standard input.

use std::io::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use mesh::bundle::ROOT_CERT;
use mesh::desired::{Authority, AuthorityRoot, Bundle, Inbound, Owner};
use mesh::workload::{Interception, PullPolicy, Runtime};
use secrecy::{ExposeSecret as _, SecretString};

use super::patience::Patience;
use super::protocol::{Caller, FilePart, Input, InputEnd, Verb};
use super::run::RunId;

/// The program as it travels. It is compressed once, and what a test appends is a gzip member of its own behind it.
static PROGRAM: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(super::packed(super::TEXT).as_bytes()));

/// Keys and values of an input.
pub(super) type Data = Vec<(String, Vec<u8>)>;

/// One call of the program: a verb and its data. Holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    run: RunId,
    verb: Verb,
    data: Data,
    appended: String,
}

/// Returns the call that observes a VM and writes nothing: the bundle's files, the proxy, its
/// certificate, the jumps to its chains and whether a run was left unfinished.
pub fn observe(bundle: &Bundle) -> Payload {
    let paths = bundle.files.iter().enumerate();
    let data = paths.map(|(at, file)| (part(at, FilePart::Path), file.path.clone().into_bytes()));
    Payload::new(RunId::generate(), Verb::Observe).with(data)
}

/// Returns the call that checks whether a bootstrap could succeed. `now` is the caller's clock,
/// which the VM's is compared with.
pub fn check(bundle: &Bundle, now: Timestamp) -> Payload {
    Payload::new(RunId::generate(), Verb::Check)
        .with([clock(now)])
        .with(expectations(bundle))
}

/// Returns the call that makes the VM run on `bundle`, or leaves it as it was.
///
/// It is final when the proxy is ready on the VM itself. Where NAT rules are new on the VM, which
/// the VM knows, they might lock everybody out: then it is final when [`commit`] came over a *new*
/// connection, and is reverted without it.
pub fn bootstrap(bundle: &Bundle, run: RunId, patience: Patience, now: Timestamp) -> Payload {
    Payload::new(run, Verb::Bootstrap)
        .with([clock(now)])
        .with(joining(bundle, patience))
}

/// Returns the call that follows a run, begun on a connection that was lost, to its end.
pub fn result(run: RunId) -> Payload {
    Payload::new(run, Verb::Result)
}

/// Returns the call that makes a run final after [`Report::AwaitsVerdict`](super::Report).
pub fn commit(run: RunId) -> Payload {
    Payload::new(run, Verb::Commit)
}

/// Returns the call that undoes a run: one that awaits its verdict, or the last final one.
pub fn revert(run: RunId) -> Payload {
    Payload::new(run, Verb::Revert)
}

/// Returns the call that takes the VM out of the mesh, if `owner` owns its proxy.
pub fn remove(owner: &Owner, run: RunId, patience: Patience) -> Payload {
    Payload::new(run, Verb::Remove).with(leaving(owner, patience))
}

/// Returns the line that answers [`Event::WantsToken`](super::Event).
pub fn token_line(token: &SecretString) -> SecretString {
    let token = STANDARD.encode(token.expose_secret());
    format!("{} {token}\n", Caller::Token).into()
}

impl Payload {
    fn new(run: RunId, verb: Verb) -> Self {
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
    /// another root below the program's directories. The product never calls it.
    #[must_use]
    pub fn appending(mut self, text: &str) -> Self {
        self.appended.push_str(text);
        self
    }

    /// Returns the run that this call begins or concerns.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Returns the verb of the call.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Returns what is written first. Standard input stays open behind it, for the token.
    pub fn stdin(&self) -> Vec<u8> {
        let mut program = PROGRAM.clone();
        if !self.appended.is_empty() {
            program.extend(gzip(format!("\n{}\n", self.appended).as_bytes()));
        }
        let mut lines = STANDARD.encode(program);
        lines.push('\n');
        let head = [
            text(Input::Run, self.run.as_str()),
            text(Input::Verb, self.verb.text()),
        ];
        for (key, value) in head.iter().chain(&self.data) {
            lines.push_str(&line(key, value));
        }
        lines.push_str(InputEnd::End.text());
        lines.push('\n');
        lines.into_bytes()
    }
}

/// Returns the data of a bootstrap: all but the run, the verb and the clock.
pub(super) fn joining(bundle: &Bundle, patience: Patience) -> Data {
    let waits = waits(patience);
    expectations(bundle)
        .into_iter()
        .chain(files(bundle))
        .chain(waits)
        .collect()
}

/// Returns the data of a removal: all but the run and the verb.
pub(super) fn leaving(owner: &Owner, patience: Patience) -> Data {
    let owner = text(Input::Owner, &owner_line(owner));
    waits(patience).chain([owner]).collect()
}

/// Returns a line of data: a plain text as it is, and any other value in base64.
pub(super) fn line(key: &str, value: &[u8]) -> String {
    match plain(value) {
        Some(text) => format!("{key} ={text}\n"),
        None => format!("{key} {}\n", STANDARD.encode(value)),
    }
}

/// Returns the value as text, if it is one of plain words that the shell reads unchanged.
fn plain(value: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=.- ".contains(byte);
    let text = std::str::from_utf8(value).ok()?;
    (value.iter().all(is_plain) && !text.ends_with(' ')).then_some(text)
}

/// Returns the value of a line of data, without its key.
pub(super) fn value(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix('=') {
        Some(plain) => Some(plain.as_bytes().to_vec()),
        None => STANDARD.decode(text).ok(),
    }
}

fn clock(now: Timestamp) -> (String, Vec<u8>) {
    text(Input::Now, &now.as_second().to_string())
}

/// What the checks compare the VM with.
fn expectations(bundle: &Bundle) -> Data {
    let redirect = match bundle.proxy.interception {
        Interception::None => "no",
        Interception::Redirect | Interception::Tproxy => "yes",
    };
    let ports: Vec<String> = bundle
        .ports
        .iter()
        .map(|port| format!("{port}\n"))
        .collect();
    let mut data = vec![
        text(Input::ControlPlane, &bundle.control_plane),
        text(Input::TlsName, &bundle.control_plane_san),
        text(Input::Redirect, redirect),
        text(Input::Ports, &ports.concat()),
        text(Input::Owner, &owner_line(&bundle.owner)),
    ];
    let root = bundle.files.iter().find(|file| file.path == ROOT_CERT);
    data.extend(root.map(|root| (Input::Root.to_string(), root.content.clone())));
    data.extend(
        bundle
            .hosts_line
            .as_ref()
            .map(|line| text(Input::Hosts, line)),
    );
    data.extend(bundle.authority.iter().flat_map(authority));
    data.extend(inbound(&bundle.inbound));
    if !bundle.taken.is_empty() {
        let lines = bundle.taken.iter().map(|(ip, id)| format!("{ip} {id}\n"));
        data.push(text(Input::Taken, &lines.collect::<String>()));
    }
    let is_tproxy = bundle.proxy.interception == Interception::Tproxy;
    let yes = [
        (is_tproxy, Input::Tproxy),
        (bundle.has_other_root, Input::OtherRoot),
        (bundle.finds_address, Input::FindAddress),
    ];
    let yes = yes.into_iter().filter(|(is_set, _)| *is_set);
    data.extend(yes.map(|(_, key)| text(key, "yes")));
    if bundle.proxy.runtime != Runtime::Systemd {
        let policy = bundle.proxy.pull_policy.unwrap_or(PullPolicy::IfNotPresent);
        data.extend([
            text(Input::Engine, &bundle.proxy.runtime.to_string()),
            text(Input::Pull, &policy.to_string()),
        ]);
        let image = bundle.proxy.image.as_ref();
        data.extend(image.map(|image| text(Input::Image, &image.to_string())));
    }
    if let Some(install) = &bundle.proxy.install {
        data.extend([
            text(Input::Url, &install.url),
            text(Input::Sha256, &install.sha256.to_string()),
        ]);
    }
    if let Some(release) = &bundle.release {
        data.push(text(Input::Release, &release.url));
        let version = release.version.as_ref();
        data.extend(version.map(|version| text(Input::Version, version.as_str())));
    }
    data
}

/// What the path to the certificate authority is checked by.
fn authority(authority: &Authority) -> Data {
    let root = match &authority.root {
        AuthorityRoot::Mesh => None,
        AuthorityRoot::System => Some("system"),
        AuthorityRoot::Unknown => Some("unknown"),
        AuthorityRoot::File(path) => Some(path.as_str()),
    };
    let address = text(Input::Ca, &authority.address);
    let root = root.map(|root| text(Input::CaRoot, root));
    std::iter::once(address).chain(root).collect()
}

fn inbound(inbound: &Inbound) -> Option<(String, Vec<u8>)> {
    let family = if inbound.ipv6 { 6 } else { 4 };
    let ports = inbound.ports.iter();
    let lines: String = ports.map(|port| format!("{family} {port}\n")).collect();
    (!lines.is_empty()).then(|| text(Input::Inbound, &lines))
}

fn files(bundle: &Bundle) -> Data {
    let own = super::refresh::files(bundle);
    let parts = bundle
        .files
        .iter()
        .chain(&own)
        .enumerate()
        .flat_map(|(at, file)| {
            [
                (part(at, FilePart::Path), file.path.clone().into_bytes()),
                (part(at, FilePart::Owner), file.owner.into()),
                (
                    part(at, FilePart::Mode),
                    format!("{:04o}", file.mode).into(),
                ),
                (part(at, FilePart::Content), file.content.clone()),
            ]
        });
    parts.collect()
}

/// Returns the key of a part of the bundle's file with this number.
fn part(at: usize, part: FilePart) -> String {
    format!("file.{at}.{part}")
}

fn waits(patience: Patience) -> impl Iterator<Item = (String, Vec<u8>)> {
    let seconds =
        |(key, wait): (Input, std::time::Duration)| text(key, &wait.as_secs().to_string());
    patience.waits().into_iter().map(seconds)
}

fn owner_line(owner: &Owner) -> String {
    format!("{} {}", owner.uid, owner.id)
}

fn text(key: Input, value: &str) -> (String, Vec<u8>) {
    (key.to_string(), value.as_bytes().to_vec())
}

/// Writing to a `Vec` cannot fail; should it, the VM refuses the truncated program.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(plain);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}
