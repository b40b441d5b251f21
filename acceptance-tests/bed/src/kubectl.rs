//! Access to a cluster with kubectl as its administrator.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::command::{Output, PATIENCE, run, tail};
use crate::request::{self, Request, Response};
use crate::{Error, Result};

/// The real kubectl with an administrator's kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(binary: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { binary, kubeconfig }
    }

    /// Returns the path of the kubectl binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Returns the path of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl and returns its output, whatever its exit code.
    pub fn run(&self, args: &[&str], input: &[u8]) -> Result<Output> {
        let cache = self.kubeconfig.with_file_name("kubectl-cache");
        let mut command = Command::new(&self.binary);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(cache)
            .args(args);
        run(&mut command, input, PATIENCE)
    }

    /// Runs kubectl and returns its stdout; a non-zero exit code is an error.
    pub fn call(&self, args: &[&str], input: &[u8]) -> Result<String> {
        let output = self.run(args, input)?;
        if output.success() {
            return Ok(output.stdout);
        }
        let command = format!("kubectl {}", args.join(" "));
        Err(Error::Command {
            command,
            status: format!("exit code {}", output.status),
            output: tail(&output.stderr, 20),
        })
    }

    /// Returns the API server's response for the path of a list or an object, e.g. `/api/v1/namespaces/a/pods`.
    pub fn get(&self, path: &str) -> Result<Value> {
        parsed(&self.text(path)?)
    }

    /// Returns the object at a path; `None` if it does not exist.
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        let response = self.read(path)?;
        match response.success() {
            true => parsed(&response.body).map(Some),
            false if response.status == 404 => Ok(None),
            false => Err(refused("GET", path, &response)),
        }
    }

    /// Returns the API server's response at a path as text.
    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let response = self.read(path)?;
        if response.success() {
            Ok(response.body)
        } else {
            Err(refused("GET", path, &response))
        }
    }

    /// Returns all objects of these Istio kinds in a namespace, e.g. `["sidecars"]`.
    pub fn list(&self, namespace: &str, plurals: &[&str]) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        for response in self.send(&of_kinds("GET", namespace, plurals))? {
            let list = parsed(&response.body)?;
            items.extend(list["items"].as_array().cloned().unwrap_or_default());
        }
        Ok(items)
    }

    /// Deletes all objects of these Istio kinds in a namespace, without waiting for finalizers.
    pub fn delete_all(&self, namespace: &str, plurals: &[&str]) -> Result<()> {
        self.send(&of_kinds("DELETE", namespace, plurals)).map(drop)
    }

    fn read(&self, path: &str) -> Result<Response> {
        let request = Request {
            method: "GET",
            path: path.to_owned(),
            body: Value::Null,
        };
        let mut responses = request::send(&self.kubeconfig, &[request])?;
        responses
            .pop()
            .ok_or_else(|| Error::Refused(format!("no response to GET {path}")))
    }

    fn send(&self, requests: &[Request<'_>]) -> Result<Vec<Response>> {
        let responses = request::send(&self.kubeconfig, requests)?;
        for (request, response) in requests.iter().zip(&responses) {
            if !response.success() {
                return Err(refused(request.method, &request.path, response));
            }
        }
        Ok(responses)
    }

    /// Applies an object, or each object of an array, server-side as field manager `bed`. Conflicts are overridden.
    pub fn apply(&self, objects: &Value) -> Result<()> {
        // Separate documents instead of a List: for a List, kubectl downloads the whole schema each time.
        let documents = match objects {
            Value::Array(items) => items
                .iter()
                .map(Value::to_string)
                .collect::<Vec<_>>()
                .join("\n---\n"),
            one => one.to_string(),
        };
        self.apply_text(&documents)
    }

    pub(crate) fn apply_text(&self, manifests: &str) -> Result<()> {
        self.call(
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--field-manager=bed",
                "-f",
                "-",
            ],
            manifests.as_bytes(),
        )
        .map(drop)
    }

    /// Merges a JSON patch document into an object, e.g. `patch("bookinfo", "pod/a", &json!({…}), &["--subresource=status"])`.
    pub fn patch(&self, namespace: &str, object: &str, patch: &Value, more: &[&str]) -> Result<()> {
        let patch = patch.to_string();
        let args = [
            &[
                "patch",
                "--namespace",
                namespace,
                object,
                "--type=merge",
                "--patch",
                &patch,
            ],
            more,
        ]
        .concat();
        self.call(&args, b"").map(drop)
    }

    /// Deletes an object if it exists, e.g. `delete("bookinfo", "workloadentry/a")`.
    pub fn delete(&self, namespace: &str, object: &str) -> Result<()> {
        self.call(
            &[
                "delete",
                "--namespace",
                namespace,
                object,
                "--ignore-not-found",
            ],
            b"",
        )
        .map(drop)
    }

    /// Creates a namespace with service accounts: `default`, which no controller creates here, and `accounts`.
    pub fn create_namespace(&self, name: &str, accounts: &[&str]) -> Result<()> {
        let namespaces = "/api/v1/namespaces";
        let apply = |path: String, body: Value| Request {
            method: "PATCH",
            path: format!("{path}?fieldManager=bed&force=true"),
            body,
        };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let mut requests = vec![apply(format!("{namespaces}/{name}"), namespace)];
        for account in std::iter::once(&"default").chain(accounts) {
            requests.push(apply(
                format!("{namespaces}/{name}/serviceaccounts/{account}"),
                json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": name, "name": account}}),
            ));
        }
        self.send(&requests).map(drop)
    }

    /// Returns a service account token that is valid for 24 hours, for an audience such as `istio-ca`; `None`: the API server.
    pub fn token(&self, namespace: &str, account: &str, audience: Option<&str>) -> Result<String> {
        let mut args = vec![
            "create",
            "token",
            "--namespace",
            namespace,
            account,
            "--duration=24h",
        ];
        if let Some(audience) = audience {
            args.extend(["--audience", audience]);
        }
        let printed = self.call(&args, b"")?;
        let token = printed.trim();
        if token.is_empty() {
            return Err(Error::Refused(format!(
                "kubectl created an empty token for {namespace}/{account}"
            )));
        }
        Ok(token.to_owned())
    }
}

fn of_kinds<'a>(method: &'a str, namespace: &str, plurals: &[&str]) -> Vec<Request<'a>> {
    let of = |plural: &&str| Request {
        method,
        path: format!("/apis/networking.istio.io/v1/namespaces/{namespace}/{plural}"),
        body: Value::Null,
    };
    plurals.iter().map(of).collect()
}

fn refused(method: &str, path: &str, response: &Response) -> Error {
    Error::Command {
        command: format!("{method} {path}"),
        status: format!("status {}", response.status),
        output: tail(&response.body, 20),
    }
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| {
        Error::Refused(format!(
            "invalid JSON from the API server ({error}): {text}"
        ))
    })
}
