//! `lint FILE…`: names in configuration files that the schema does not have. Inside an attribute, Terraform drops such a
//! name before a provider sees it.

mod declarations;
mod file;
mod names;

use std::ffi::OsString;
use std::io::Write;

use declarations::Declarations;
use file::File;

/// How a run ended. Its number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Every name is in the schema.
    Clean = 0,
    /// A name is not.
    Found = 1,
    /// A file cannot be read.
    Unread = 2,
}

const USAGE: &str = "usage: terraform-provider-mesh lint FILE…\n\n\
                     Reports names in Terraform configurations that this provider's schema does not have.\n";

/// Prints each unknown name of the files to `out`, and each file that cannot be read to `err`.
pub(crate) fn lint(paths: &[OsString], out: &mut impl Write, err: &mut impl Write) -> Outcome {
    if paths.is_empty() {
        // There is nobody to report a broken pipe to.
        _ = err.write_all(USAGE.as_bytes());
        return Outcome::Unread;
    }
    let mut outcome = Outcome::Clean;
    let mut files = Vec::new();
    for path in paths {
        match File::read(path) {
            Ok(file) => files.push(file),
            Err(error) => {
                _ = writeln!(err, "{error}");
                outcome = Outcome::Unread;
            }
        }
    }
    let declarations = Declarations::new(&files);
    for file in &files {
        for finding in names::unknown(file, &declarations) {
            _ = writeln!(out, "{finding}");
            outcome = outcome.max(Outcome::Found);
        }
    }
    outcome
}
