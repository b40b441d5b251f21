//! The real istioctl, with many runs of `istioctl x workload` in one process.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::api_server::ApiServer;
use crate::command::checked;
use crate::progress::Progress;
use crate::servers::Servers;
use crate::{Error, Result};

/// Time limit for all runs together.
const LIMIT: Duration = Duration::from_mins(5);

/// istioctl with the credential of an API server's administrator.
#[derive(Debug)]
pub struct Istioctl {
    program: PathBuf,
    kubeconfig: PathBuf,
    goldens: PathBuf,
}

impl Istioctl {
    /// Returns istioctl for an API server. Builds it if it is not in the cache, which takes a minute.
    pub fn of(server: &ApiServer) -> Result<Self> {
        let servers = Servers::find()?;
        let program = servers.build_istioctl(&Progress::new(servers.missing_for_istioctl()))?;
        let module = Servers::istio_module()?;
        Ok(Self {
            program,
            kubeconfig: server.kubeconfig().into(),
            goldens: module.join("istioctl/pkg/workload/testdata"),
        })
    }

    /// Runs `istioctl x workload` with each list of arguments. Returns istioctl's error for each, empty if there was none.
    pub fn workload(&self, runs: &[Vec<String>]) -> Result<Vec<String>> {
        let mut input = String::new();
        for arguments in runs {
            let arguments = serde_json::Value::from(arguments.clone());
            // Writing to a String cannot fail.
            let _ = writeln!(input, "{arguments}");
        }
        let mut program = Command::new(&self.program);
        program.arg("--kubeconfig").arg(&self.kubeconfig);
        program.args(["--istioNamespace", "istio-system"]);
        let output = checked(&mut program, input.as_bytes(), LIMIT)?;
        let answers: Vec<String> = output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if answers.len() == runs.len() {
            return Ok(answers);
        }
        let counts = (answers.len(), runs.len());
        let text = format!(
            "istioctl returned {} results for {} runs",
            counts.0, counts.1
        );
        Err(Error::Refused(text))
    }

    /// Returns the folder of the test cases of istioctl itself.
    pub fn goldens(&self) -> &Path {
        &self.goldens
    }
}
