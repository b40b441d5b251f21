//! Requests to the API server with curl: kubectl takes five times as long to start.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::{PATIENCE, checked};
use crate::{Error, Result};

/// A request, e.g. of an object or of a list.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: String,
    /// Body of a server-side apply; null: none.
    pub(crate) body: Value,
}

/// Response of the API server.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends requests sequentially over one connection, with the credentials of a kubeconfig of the bed.
///
/// # Errors
/// Fails if the API server does not respond.
pub(crate) fn send(kubeconfig: &Path, requests: &[Request<'_>]) -> Result<Vec<Response>> {
    let text = std::fs::read_to_string(kubeconfig).map_err(Error::at("read", kubeconfig))?;
    let config: Value = serde_json::from_str(&text)
        .map_err(|error| Error::Refused(format!("{}: {error}", kubeconfig.display())))?;
    let (cluster, user) = (
        &config["clusters"][0]["cluster"],
        &config["users"][0]["user"],
    );
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let server = word(&cluster["server"]);
    let mut curl = Command::new("curl");
    for (at, request) in requests.iter().enumerate() {
        if at > 0 {
            curl.arg("--next");
        }
        curl.args(["--silent", "--show-error", "--globoff", "--max-time", "60"]);
        curl.args(["--cacert", &word(&cluster["certificate-authority"])]);
        curl.args(["--cert", &word(&user["client-certificate"])]);
        curl.args(["--key", &word(&user["client-key"])]);
        curl.args([
            "--write-out",
            "\n%{http_code}\x1e",
            "--request",
            request.method,
        ]);
        if !request.body.is_null() {
            curl.args(["--header", "content-type: application/apply-patch+yaml"]);
            curl.args(["--data-binary", &request.body.to_string()]);
        }
        curl.arg(format!("{server}{}", request.path));
    }
    let printed = checked(&mut curl, b"", PATIENCE)?;
    let answers = printed.split_terminator('\x1e').map(|answer| {
        let (body, status) = answer.rsplit_once('\n').unwrap_or_default();
        Response {
            status: status.parse().unwrap_or(0),
            body: body.to_owned(),
        }
    });
    Ok(answers.collect())
}
