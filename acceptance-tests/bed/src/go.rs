//! The Go tool: its version, folders of modules, and builds of programs.
//!
//! **Invariant**: no module is assumed to be in the cache. For a module that was never downloaded, `go list -m` succeeds
//! and prints an empty folder; `go mod download` downloads it first.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::command::{checked, run, word};
use crate::{Error, Result};

/// Module whose `go.mod` pins the versions.
const SERVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../servers");

/// The Go tool on PATH, with additional environment variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Go {
    environment: Vec<(&'static str, String)>,
}

impl Go {
    /// Returns the version, for example `go1.26.8`.
    pub(crate) fn version(&self) -> Result<String> {
        self.setting("GOVERSION").map_err(|error| {
            Error::Refused(format!(
                "cannot find Go ({}): install Go 1.26 or newer, it builds the servers of the bed",
                error.chain()
            ))
        })
    }

    /// Returns a setting of `go env`.
    pub(crate) fn setting(&self, name: &str) -> Result<String> {
        let mut go = self.command();
        go.args(["env", name]);
        word(&mut go)
    }

    /// Returns the folder of a module in its pinned version. Downloads it if necessary.
    pub(crate) fn module(&self, name: &str) -> Result<PathBuf> {
        let mut go = self.command();
        go.args(["mod", "download", "-json", name]);
        let output = run(&mut go, b"", Duration::from_mins(15))?;
        let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let folder = answer["Dir"].as_str().unwrap_or_default();
        if !output.success() || folder.is_empty() {
            let cause = answer["Error"].as_str().unwrap_or(output.stderr.trim());
            return Err(Error::Refused(format!(
                "cannot fetch the Go module {name}: {cause}; check GOPROXY (`go env GOPROXY`) and the network, \
                 then run the same command again"
            )));
        }
        Ok(folder.into())
    }

    /// Builds a package of a pinned module into a file.
    pub(crate) fn build(&self, package: &str, link: &str, target: &Path) -> Result<()> {
        let mut go = self.command();
        go.args(["build", link, "-o"]).arg(target).arg(package);
        checked(&mut go, b"", Duration::from_hours(1)).map(drop)
    }

    fn command(&self) -> Command {
        let mut go = Command::new("go");
        go.current_dir(SERVERS).env("GOWORK", "off");
        // A build writes gigabytes there, and tests may have theirs in memory.
        go.env_remove("TMPDIR");
        go.envs(self.environment.iter().map(|(name, value)| (name, value)));
        go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a Go tool with an empty module cache. If possible, modules come from the machine's own cache, so that the
    /// test takes only seconds.
    fn empty_cache(folder: &Path) -> Go {
        let usual = Go::default();
        let cache = usual.setting("GOMODCACHE").unwrap();
        let proxy = usual.setting("GOPROXY").unwrap();
        Go {
            environment: vec![
                ("GOMODCACHE", folder.display().to_string()),
                ("GOPROXY", format!("file://{cache}/cache/download,{proxy}")),
                // Otherwise the files are read-only and cannot be removed.
                ("GOFLAGS", "-modcacherw".into()),
            ],
        }
    }

    #[test]
    fn a_module_that_was_never_downloaded_is_downloaded_with_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let go = empty_cache(folder.path());
        let module = go.module("istio.io/istio").unwrap();
        assert!(module.starts_with(folder.path()), "{}", module.display());
        let definitions = module.join("manifests/charts/base/files/crd-all.gen.yaml");
        assert!(definitions.is_file(), "{}", definitions.display());
        assert!(!go.version().unwrap().is_empty());
    }

    #[test]
    fn a_module_that_cannot_be_downloaded_is_reported_with_cause_and_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let mut go = empty_cache(folder.path());
        go.environment.push(("GOPROXY", "off".into()));
        let error = go.module("istio.io/istio").unwrap_err().chain();
        assert!(
            error.contains("cannot fetch the Go module istio.io/istio: "),
            "{error}"
        );
        assert!(error.contains("GOPROXY=off"), "{error}");
        assert!(error.contains("run the same command again"), "{error}");
    }
}
