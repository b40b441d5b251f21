//! The body of an answer, read with a bound: what answers in the API server's place may send anything.

use http::StatusCode;
use http_body_util::BodyExt;
use kube::client::Body;

use crate::call::{Call, Verb};
use crate::error::ClusterError;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Bytes of one object: the API server itself takes none of more than 3 MiB.
const OBJECT: usize = 4 * MIB;
/// Bytes of a list: of some twenty thousand objects of Istio's.
const LIST: usize = 64 * MIB;
/// Bytes of a refusal.
const REFUSAL: usize = 256 * KIB;
/// How many times its length an answer may take once it is parsed. Objects with many small parts take eight.
const PARSED: usize = 8;

/// How much an answer to a call may be.
fn most(call: &Call, status: StatusCode) -> usize {
    if !status.is_success() {
        return REFUSAL;
    }
    match call.verb {
        Verb::List => LIST,
        _ => OBJECT,
    }
}

/// Returns how many bytes the values of an answer may take.
pub(crate) fn most_parsed(call: &Call) -> usize {
    PARSED * most(call, StatusCode::OK)
}

/// Reads the whole body of an answer.
///
/// # Errors
/// The outer one: the connection breaks. The inner one: the body is longer than an answer may be.
pub(crate) async fn whole(
    call: &Call,
    status: StatusCode,
    mut body: Body,
) -> Result<Result<Vec<u8>, ClusterError>, kube::Error> {
    let most = most(call, status);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > most {
            return Ok(Err(excess(call, status, most)));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Ok(bytes))
}

fn excess(call: &Call, status: StatusCode, most: usize) -> ClusterError {
    ClusterError::Excess {
        call: call.clone(),
        status: status.as_u16(),
        what: format!("is longer than {}", size(most)),
    }
}

fn size(bytes: usize) -> String {
    if bytes < MIB {
        format!("{} KiB", bytes / KIB)
    } else {
        format!("{} MiB", bytes / MIB)
    }
}

/// The lines of a watch.
pub(crate) struct Lines {
    body: Body,
    read: Vec<u8>,
    /// How much of it was returned already.
    returned: usize,
}

impl Lines {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body,
            read: Vec::new(),
            returned: 0,
        }
    }

    /// Returns the next line; `None`: the watch has ended, by itself or with its connection.
    ///
    /// # Errors
    /// The line is longer than an object may be.
    pub(crate) async fn next(&mut self, call: &Call) -> Result<Option<Vec<u8>>, ClusterError> {
        // As far as this, there is no end of a line.
        let mut searched = self.returned;
        loop {
            let unsearched = self.read.get(searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let end = searched + at + 1;
                let line = self
                    .read
                    .get(self.returned..end)
                    .unwrap_or_default()
                    .to_vec();
                self.returned = end;
                return Ok(Some(line));
            }
            self.read.drain(..std::mem::take(&mut self.returned));
            searched = self.read.len();
            if searched > OBJECT {
                return Err(excess(call, StatusCode::OK, OBJECT));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.read.extend(frame.into_data().unwrap_or_default()),
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}
