//! The real `terraform` in a folder, as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance_tests::{Done, Failure, Result};
use bed::{Bed, Vm};
use serde_json::{Map, Value, json};

const STATE: &str = "terraform.tfstate";

/// A folder with a configuration, its variables and its state.
pub(crate) struct Terraform {
    folder: PathBuf,
    cli_config: PathBuf,
    variables: Map<String, Value>,
}

impl Terraform {
    /// Copies the configuration in `source` into `folder`, for a VM of a bed with a provider. The variables are those of
    /// `examples/talk-demo`.
    pub(crate) fn new(source: &Path, folder: PathBuf, bed: &Bed, vm: &Vm) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(source)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tf") {
                fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
            }
        }
        let cli_config = bed.document()["terraform_cli_config"].as_str();
        let (package_url, package_sha256) = bed.package();
        let variables = json!({
            "kubeconfig": bed.kubectl().kubeconfig(), "control_plane_address": bed.control_plane_address(),
            "vm_address": vm.address, "ssh_port": vm.ssh_port, "user": vm.user, "private_key_path": vm.private_key_path,
            "host_key": vm.host_key, "package_url": package_url, "package_sha256": package_sha256,
        });
        let terraform = Self {
            folder,
            cli_config: cli_config.unwrap_or_default().into(),
            variables: variables.as_object().cloned().unwrap_or_default(),
        };
        terraform.write_variables()?;
        Ok(terraform)
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) -> Done {
        self.variables.insert(name.into(), value.into());
        self.write_variables()
    }

    /// Plans with a refresh, and saves the plan. Returns its text; `None` if there are no changes.
    pub(crate) fn plan(&self) -> Result<Option<String>> {
        self.planned(&["-out=saved"])
    }

    /// Plans with this number of parallel refreshes.
    pub(crate) fn plan_at_once(&self, count: usize) -> Result<Option<String>> {
        self.planned(&[&format!("-parallelism={count}")])
    }

    fn planned(&self, words: &[&str]) -> Result<Option<String>> {
        let words = [&["plan", "-input=false", "-detailed-exitcode"], words].concat();
        match self.run(&words)? {
            (0, _) => Ok(None),
            (2, output) => Ok(Some(output)),
            (_, output) => Err(Failure::new(output)),
        }
    }

    /// Returns the state file.
    pub(crate) fn state(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.folder.join(STATE))?)?)
    }

    /// Replaces the state file.
    pub(crate) fn set_state(&self, state: &Value) -> Done {
        Ok(fs::write(self.folder.join(STATE), state.to_string())?)
    }

    /// Applies the saved plan, without a refresh. Returns output and duration.
    pub(crate) fn apply_saved(&self) -> Result<(String, Duration)> {
        let start = Instant::now();
        let output = self.checked(&["apply", "-input=false", "saved"])?;
        Ok((output, start.elapsed()))
    }

    /// Destroys everything. Returns output and duration.
    pub(crate) fn destroy(&self) -> Result<(String, Duration)> {
        let start = Instant::now();
        let output = self.checked(&["destroy", "-input=false", "-auto-approve"])?;
        Ok((output, start.elapsed()))
    }

    fn checked(&self, words: &[&str]) -> Result<String> {
        match self.run(words)? {
            (0, output) => Ok(output),
            (_, output) => Err(Failure::new(output)),
        }
    }

    /// Returns exit code and output, errors last.
    fn run(&self, words: &[&str]) -> Result<(i32, String)> {
        let output = Command::new("terraform")
            .args(words)
            .arg("-no-color")
            .current_dir(&self.folder)
            .env("TF_CLI_CONFIG_FILE", &self.cli_config)
            .env("TF_IN_AUTOMATION", "1")
            .stdin(Stdio::null())
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }

    fn write_variables(&self) -> Done {
        let text = format!("{:#}\n", Value::Object(self.variables.clone()));
        Ok(fs::write(self.folder.join("terraform.tfvars.json"), text)?)
    }
}
