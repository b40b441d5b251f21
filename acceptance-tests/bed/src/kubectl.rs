//! A cluster, talked to by kubectl as its administrator.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::command::{Output, PATIENCE, run, tail};
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

    /// Runs kubectl and returns what it left, whatever its exit code.
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

    /// Runs kubectl and returns its standard output; any exit code but 0 is an error.
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

    /// Returns what the API server answers at a path such as `/api/v1/namespaces/a/pods`.
    /// The path of an object gives that object.
    pub fn get(&self, path: &str) -> Result<Value> {
        parsed(&self.call(&["get", "--raw", path], b"")?)
    }

    /// Returns the object at a path, or none if there is none.
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        let output = self.run(&["get", "--raw", path], b"")?;
        match output.success() {
            true => parsed(&output.stdout).map(Some),
            false if output.stderr.contains("(NotFound)") => Ok(None),
            false => Err(Error::Command {
                command: format!("kubectl get --raw {path}"),
                status: output.status.to_string(),
                output: output.stderr,
            }),
        }
    }

    /// Applies an object, or each of an array, server-side as field manager `bed`, taking fields over.
    pub fn apply(&self, objects: &Value) -> Result<()> {
        // Separate documents, not a List: for a List kubectl fetches the whole schema each time.
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

    /// Creates a namespace with service accounts: `default`, which no controller makes here, and `accounts`.
    pub fn create_namespace(&self, name: &str, accounts: &[&str]) -> Result<()> {
        let account = |account: &&str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": name, "name": account}});
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let accounts = std::iter::once(&"default").chain(accounts).map(account);
        self.apply(&std::iter::once(namespace).chain(accounts).collect())
    }

    /// Returns a token of a service account for 24 hours, for an audience such as `istio-ca` or the API server itself.
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

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|error| Error::Refused(format!("no JSON from the API server ({error}): {text}")))
}
