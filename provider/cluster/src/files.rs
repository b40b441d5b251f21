//! Files that the user or a kubeconfig names: read with a bound, and never waited for.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::Path;

/// Bytes of a kubeconfig, a certificate, a key or a token.
const LONGEST: u64 = 4 << 20;

/// Reads a file of at most 4 MiB. A FIFO or a device is refused.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let regular = |of: std::fs::Metadata| {
        let odd = || Error::other("it is not a regular file");
        of.is_file().then_some(()).ok_or_else(odd)
    };
    // Opening a FIFO waits for its writer.
    regular(path.metadata()?)?;
    let file = File::open(path)?;
    regular(file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        let text = format!("it is longer than {} MiB", LONGEST >> 20);
        return Err(Error::other(text));
    }
    Ok(bytes)
}

/// Reads a text likewise.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Error::other("it is not UTF-8 text"))
}
