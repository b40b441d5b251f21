//! The archive for a VM that Terraform does not reach: the user copies it there.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::ClusterError;
use mesh::desired::Bundle;
use mesh::names::Id;
use plugin::{Diagnostic, Diagnostics};
use vm::program::offload::Origin;
use vm::program::{Offload, Token};

use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use crate::home;
use crate::messages::{self, Code, Message};

/// Lifetime of the token in an archive, within which the user should install it.
pub(super) const TOKEN: Duration = Duration::from_hours(1);

/// Writes the archive, with a token that is `minted` for it, and returns the digest of its files. `last` is what was written last.
pub(super) async fn write(
    minted: impl Future<Output = Result<cluster::Token, ClusterError>>,
    path: &Path,
    bundle: &Bundle,
    last: Option<&WorkloadOutput>,
) -> Result<String, Diagnostics> {
    let mut bundle = bundle.clone();
    let id = &bundle.owner.id;
    match there(path, id, last) {
        There::Other(of) if of.owner != *id || !of.leads_where(&bundle) => {
            return Err(taken(path, id, &of).into());
        }
        There::Stranger => return Err(stranger(path).into()),
        There::Nothing | There::Ours | There::Other(_) => {}
    }
    // The archive stays the same if the entry is created again.
    bundle.owner.uid.clear();
    let token = minted.await.map_err(|error| messages::cluster(&error))?;
    let offload = Offload::new(&bundle, Token::Enclosed(&token.secret));
    let written = offload.archive().and_then(|archive| place(path, &archive));
    written.map_err(|error| unwritable(path, &error))?;
    Ok(bundle.digest().to_string())
}

/// Removes an archive that is no longer needed. It may be gone already, and another file in its place stays.
pub(crate) fn remove(path: &Path, id: &Id, last: &WorkloadOutput) -> Diagnostics {
    if there(path, id, Some(last)) != There::Ours {
        return Diagnostics::none();
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let text = format!(
                "{}: {error}. Remove it: it may contain a token that is still valid.",
                path.display()
            );
            Message::new(Code::ArchiveLeft)
                .text(text)
                .at("bundle.path")
                .warning()
                .into()
        }
        _ => Diagnostics::none(),
    }
}

/// Returns where the archive of a workload is, if it has one.
pub(crate) fn path(input: &WorkloadInput) -> Option<PathBuf> {
    let bundle = input.bundle.known().filter(|_| input.ssh.is_null())?;
    bundle.path.known().map(|path| home::expand(path))
}

/// What is at the path of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum There {
    /// Nothing that can be read.
    Nothing,
    /// What the workload wrote last.
    Ours,
    /// An archive, but not that one.
    Other(Origin),
    /// A file that is no archive of this provider.
    Stranger,
}

/// Returns what is at the path. `last` is what the workload wrote last.
pub(crate) fn there(path: &Path, id: &Id, last: Option<&WorkloadOutput>) -> There {
    let Ok(content) = fs::read(path) else {
        return There::Nothing;
    };
    let Some(found) = Origin::of(&content) else {
        return There::Stranger;
    };
    let last = last.and_then(|last| last.bundle_digest.known());
    if found.owner == *id && last == Some(&found.digest) {
        There::Ours
    } else {
        There::Other(found)
    }
}

/// Returns whether two paths lead to the same file.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn stranger(path: &Path) -> Diagnostic {
    let text = format!(
        "{} exists and is not an archive of this provider. Choose a path that is not in use, or remove the file.",
        path.display()
    );
    Message::new(Code::ArchiveTaken)
        .text(text)
        .at("bundle.path")
        .error()
}

fn taken(path: &Path, id: &Id, other: &Origin) -> Diagnostic {
    let owner = &other.owner;
    let mesh = if owner == id {
        " at another control plane"
    } else {
        ""
    };
    let text = format!(
        "{} is the archive of {owner}{mesh}, whose machine would then join as this workload. Give each workload \
         its own path. If that workload is gone, remove the file.",
        path.display()
    );
    Message::new(Code::ArchiveTaken)
        .title("The archive belongs to another workload")
        .text(text)
        .at("bundle.path")
        .error()
}

/// Writes by renaming, so that nobody reads half a file. Its mode is 0600 from the start.
fn place(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn unwritable(path: &Path, error: &io::Error) -> Diagnostic {
    let text = format!(
        "{}: {error}. There is nothing to copy to the VM. Choose a path that can be written.",
        path.display()
    );
    Message::new(Code::ArchiveNotWritten)
        .text(text)
        .at("bundle.path")
        .error()
}
