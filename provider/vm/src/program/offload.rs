//! A bootstrap without SSH: the same program with the same data, as an archive that an operator
//! carries to the VM, or as user data of cloud-init. `install.sh` in both starts the program as a
//! session would, and gives it the token when the program wants it.
//!
//! **Invariant**: the same inputs give the same bytes; only an enclosed token differs.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use mesh::bundle::token_command;
use mesh::desired::Bundle;
use mesh::names::Id;
use secrecy::{ExposeSecret as _, SecretString};

use super::pack::packed;
use super::patience::Patience;
use super::payload::{self, Data, gzip, joining, leaving, line};
use super::protocol::{Input, Verb};
use super::text::{CARRIED, INSTALL, TEXT};

/// Where cloud-init puts the files.
pub const DIRECTORY: &str = "/var/lib/mesh-vm";

/// Keys of an archive that distinguish this workload from one of the same name on another mesh. The program ignores them.
const DIGEST: &str = "digest";
const ROUTE: &str = "way";
const LEAVE: &str = "leave.data";

/// How often cloud-init tries: the workload's entry, without which istiod refuses the proxy, may be
/// created after the machine.
const TRIES: u8 = 20;

/// Where the VM gets its token.
#[derive(Clone, Copy, Debug)]
pub enum Token<'a> {
    /// The archive contains it.
    Enclosed(&'a SecretString),
    /// The VM runs this shell text as root, now and by a timer; it prints the token.
    Command(&'a str),
}

/// The files for a VM. One may hold a token, so it has no `Debug`.
#[derive(Clone)]
pub struct Offload {
    /// Name and content, in order.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Offload {
    /// Returns what makes a VM run on `bundle`, or leaves it as it was.
    pub fn new(bundle: &Bundle, token: Token<'_>) -> Self {
        // No apply waits for it, and the mesh may not know the workload yet.
        let patience = Patience {
            ready: std::time::Duration::from_mins(3),
            ..Patience::default()
        };
        let data = |verb: Verb, data: Data| {
            let lines = data.iter().map(|(key, value)| line(key, value));
            let verb = line(Input::Verb.text(), verb.text().as_bytes());
            std::iter::once(verb).chain(lines).collect::<String>()
        };
        let mut placed = bundle.clone();
        if let Token::Command(command) = token
            && !bundle.renews_token()
        {
            placed.files.push(token_command(command));
        }
        let (name, token) = match token {
            Token::Enclosed(token) => ("token", token.expose_secret()),
            Token::Command(command) => ("token-command", command),
        };
        let join = data(Verb::Bootstrap, joining(&placed, patience));
        // The program ignores these two.
        let origin = [
            (DIGEST.to_owned(), bundle.digest().to_string().into()),
            (ROUTE.to_owned(), route(bundle).into()),
        ];
        let leave = leaving(&bundle.owner, patience).into_iter();
        let leave = data(Verb::Remove, leave.chain(origin).collect());
        Self {
            files: vec![
                ("install.sh", INSTALL.into()),
                ("mesh-vm.sh", TEXT.into()),
                ("join.data", join.into()),
                (LEAVE, leave.into()),
                (name, token.into()),
            ],
        }
    }

    /// Returns a `.tar.gz`: unpacked anywhere, `sh install.sh` joins the mesh.
    ///
    /// # Errors
    /// None that could happen: it is written to memory.
    pub fn archive(&self) -> io::Result<Vec<u8>> {
        let zip = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::best());
        let mut archive = tar::Builder::new(zip);
        for (name, content) in &self.files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(if *name == "install.sh" { 0o700 } else { 0o600 });
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            archive.append_data(&mut header, name, content.as_slice())?;
        }
        let mut zip = archive.into_inner()?;
        zip.flush()?;
        zip.finish()
    }

    /// Returns user data for cloud-init, as text: it writes the files below [`DIRECTORY`] and joins. Clouds limit its size,
    /// so the scripts have no comments and nothing that only SSH uses.
    pub fn user_data(&self) -> String {
        let mut text = String::from("#cloud-config\nwrite_files:\n");
        for (name, content) in &self.files {
            let script = match *name {
                "mesh-vm.sh" => Some(packed(CARRIED)),
                "install.sh" => Some(packed(INSTALL)),
                _ => None,
            };
            let content = script.as_deref().map_or(content.as_slice(), str::as_bytes);
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "  - path: {DIRECTORY}/{name}\n    owner: root:root\n    permissions: '0600'\n"
            );
            match std::str::from_utf8(content) {
                Ok(plain) if *name != "token-command" => block(&mut text, plain),
                // The user's own text may hold what YAML has no plain form for.
                _ => {
                    let encoded = STANDARD.encode(content);
                    let _ = writeln!(text, "    encoding: b64\n    content: {encoded}");
                }
            }
        }
        let _ = writeln!(
            text,
            "runcmd:\n  - [sh, {DIRECTORY}/install.sh, join, '{TRIES}']"
        );
        text
    }

    /// Returns the same compressed, in base64, for clouds with a narrow limit; cloud-init unpacks it.
    pub fn user_data_base64(&self) -> String {
        STANDARD.encode(gzip(self.user_data().as_bytes()))
    }
}

/// What an archive was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The workload.
    pub owner: Id,
    /// [`Bundle::digest`] of what it carries.
    pub digest: String,
    route: String,
}

impl Origin {
    /// Reads it from an archive; `None` if it is none of [`Offload::archive`].
    pub fn of(archive: &[u8]) -> Option<Self> {
        let mut archive = tar::Archive::new(GzDecoder::new(archive));
        let mut files = archive.entries().ok()?.filter_map(Result::ok);
        let mut data = files.find(|file| file.path().is_ok_and(|path| path == Path::new(LEAVE)))?;
        let mut text = String::new();
        data.read_to_string(&mut text).ok()?;
        let value = |key| {
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
            String::from_utf8(payload::value(found)?).ok()
        };
        Some(Self {
            owner: value(Input::Owner.text())?
                .split_once(' ')?
                .1
                .trim()
                .parse()
                .ok()?,
            digest: value(DIGEST)?,
            route: value(ROUTE)?,
        })
    }

    /// Whether it was made for the control plane of a bundle: the same name at the same address.
    pub fn leads_where(&self, bundle: &Bundle) -> bool {
        self.route == route(bundle)
    }
}

fn route(bundle: &Bundle) -> String {
    let hosts = bundle.hosts_line.as_deref().unwrap_or_default();
    format!("{} {hosts}", bundle.control_plane)
}

fn block(text: &mut String, content: &str) {
    text.push_str("    content: |\n");
    for line in content.lines() {
        let margin = if line.is_empty() { "" } else { "      " };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{margin}{line}");
    }
}
