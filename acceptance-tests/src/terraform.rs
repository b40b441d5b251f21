//! The real `terraform` in its own folder, with the provider under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::world::Scenario;
use crate::{Done, Failure, Result};

/// Time limit of a command. It is exceeded only if the command hangs.
const LIMIT: Duration = Duration::from_mins(4);
/// Number of commands that run at the same time. Each starts about six processes, and more would only wait.
const AT_ONCE: usize = 3;

/// A folder with a configuration and its state.
pub struct Terraform {
    folder: TempDir,
    cli_config: PathBuf,
    variables: Map<String, Value>,
}

/// Result of a command.
#[derive(Clone, Debug)]
pub struct Run {
    /// Exit code; -1 if a signal terminated it.
    pub code: i32,
    /// Output of both streams in chronological order.
    pub output: String,
}

/// A saved plan.
#[derive(Clone, Debug)]
pub struct Plan {
    path: PathBuf,
    /// Human-readable output.
    pub text: String,
    /// Output of `terraform show -json`.
    pub json: Value,
}

impl Terraform {
    /// Creates a folder with the scenario `scenarios/NAME.tf`, the provider block, and the variables of the scenario's bed:
    /// `namespace`, `vm`, and the settings of the provider.
    pub fn new(scenario: &Scenario, configuration: &str) -> Result<Self> {
        let document = scenario.document();
        let path = |key: &str| document[key].as_str().map(PathBuf::from);
        let cli_config = path("terraform_cli_config").ok_or_else(|| {
            Failure::new("the bed has no provider: bring it up with `cargo xtask testbed up`")
        })?;
        let (package_url, package_sha256) = scenario.package();
        let vm = &scenario.vm;
        let mut variables = Map::new();
        for (name, value) in [
            ("kubeconfig", json!(scenario.kubectl().kubeconfig())),
            (
                "control_plane_address",
                json!(scenario.control_plane_address()),
            ),
            ("private_key_path", json!(vm.private_key_path)),
            (
                "package",
                json!({"url": package_url, "sha256": package_sha256}),
            ),
            ("namespace", json!(scenario.namespace)),
            (
                "vm",
                json!({"address": vm.address, "host_key": vm.host_key}),
            ),
        ] {
            variables.insert(name.into(), value);
        }
        let terraform = Self {
            folder: TempDir::new()?,
            cli_config,
            variables,
        };
        fs::copy(
            source("provider"),
            terraform.folder.path().join("provider.tf"),
        )?;
        terraform.use_configuration(configuration)?;
        terraform.write_variables()?;
        Ok(terraform)
    }

    /// Creates a folder with `examples/NAME` and these variables.
    pub fn of_example(scenario: &Scenario, name: &str, variables: Value) -> Result<Self> {
        let Value::Object(variables) = variables else {
            return Err(Failure::new("variables must be an object"));
        };
        let terraform = Self {
            variables,
            ..Self::new(scenario, "workload")?
        };
        for file in ["provider.tf", "main.tf"] {
            fs::remove_file(terraform.path().join(file))?;
        }
        let example = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(name);
        for file in fs::read_dir(example)? {
            let file = file?;
            fs::copy(file.path(), terraform.path().join(file.file_name()))?;
        }
        terraform.write_variables()?;
        Ok(terraform)
    }

    /// Replaces the scenario's configuration; the state is kept.
    pub fn use_configuration(&self, name: &str) -> Done {
        Ok(fs::copy(source(name), self.path().join("main.tf")).map(drop)?)
    }

    /// Writes a file into the folder, e.g. `providers.tf`.
    pub fn write(&self, name: &str, text: &str) -> Done {
        Ok(fs::write(self.path().join(name), text)?)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Done {
        self.variables.insert(name.into(), value.into());
        self.write_variables()
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command and returns its result, whatever its exit code.
    pub fn run(&self, words: &[&str]) -> Result<Run> {
        let _permit = Permit::take();
        let output_path = self.path().join("output.txt");
        let output = fs::File::create(&output_path)?;
        let errors = output.try_clone()?;
        let mut child = self
            .command(words)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()?;
        let code = wait(&mut child, words)?;
        Ok(Run {
            code,
            output: fs::read_to_string(&output_path)?,
        })
    }

    /// Returns a command that the caller starts, e.g. to interrupt it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command.args(words).current_dir(self.path());
        for name in ["KUBECONFIG", "KUBE_CONFIG_PATH", "SSH_AUTH_SOCK", "TF_LOG"] {
            command.env_remove(name);
        }
        command
            .env("TF_CLI_CONFIG_FILE", &self.cli_config)
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_ARGS", "-no-color");
        command
    }

    /// Plans with optional flags, and saves the plan.
    pub fn plan(&self, more: &[&str]) -> Result<Plan> {
        let path = self.path().join("saved.plan");
        let words = [&["plan", "-input=false", "-out=saved.plan"], more].concat();
        let text = self.run(&words)?.checked()?.output;
        let json = self.json(&["show", "-json", "saved.plan"])?;
        Ok(Plan { path, text, json })
    }

    /// Applies the configuration.
    pub fn apply(&self) -> Result<Run> {
        self.try_apply()?.checked()
    }

    /// Applies the configuration, and returns the result even if it failed.
    pub fn try_apply(&self) -> Result<Run> {
        self.run(&["apply", "-input=false", "-auto-approve"])
    }

    /// Applies a saved plan, without a refresh.
    pub fn apply_saved(&self, plan: &Plan) -> Result<Run> {
        self.run(&["apply", "-input=false", &plan.path.display().to_string()])?
            .checked()
    }

    /// Destroys everything.
    pub fn destroy(&self) -> Result<Run> {
        self.try_destroy()?.checked()
    }

    /// Destroys everything, and returns the result even if it failed.
    pub fn try_destroy(&self) -> Result<Run> {
        self.run(&["destroy", "-input=false", "-auto-approve"])
    }

    /// Returns the values of a resource in the state, e.g. `mesh_vm_workload.ratings`; null if it is not in the state.
    pub fn state(&self, address: &str) -> Result<Value> {
        let state = self.json(&["show", "-json"])?;
        let resources = state["values"]["root_module"]["resources"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = resources
            .into_iter()
            .find(|resource| resource["address"] == address);
        Ok(found.map_or(Value::Null, |resource| resource["values"].clone()))
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let run = self.run(words)?.checked()?;
        // A warning about the development override may surround the document.
        let document = run
            .output
            .lines()
            .find(|line| line.starts_with('{'))
            .unwrap_or_default();
        Ok(serde_json::from_str(document)?)
    }

    fn write_variables(&self) -> Done {
        self.write(
            "terraform.tfvars.json",
            &Value::Object(self.variables.clone()).to_string(),
        )
    }
}

impl Run {
    /// Returns the run if it succeeded.
    ///
    /// # Errors
    /// Returns the whole output.
    pub fn checked(self) -> Result<Self> {
        if self.code == 0 {
            Ok(self)
        } else {
            Err(Failure::new(self.output))
        }
    }

    /// Returns the output of a failed run. Whitespace is collapsed, because Terraform wraps its messages.
    ///
    /// # Errors
    /// Fails if the run succeeded.
    pub fn failure(&self) -> Result<String> {
        if self.code == 0 {
            return Err(Failure::new(format!(
                "it should have failed:\n{}",
                self.output
            )));
        }
        Ok(self.words())
    }

    /// Returns the output as one line.
    pub fn words(&self) -> String {
        self.output.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Plan {
    /// Returns true if the plan has no changes.
    pub fn is_empty(&self) -> bool {
        self.changes()
            .all(|change| change["change"]["actions"] == json!(["no-op"]))
    }

    /// Returns the change of a resource: `actions`, `before`, `after`, `after_unknown`.
    pub fn change(&self, address: &str) -> Value {
        let mut changes = self.changes();
        changes
            .find(|change| change["address"] == address)
            .map_or(Value::Null, |change| change["change"].clone())
    }

    fn changes(&self) -> impl Iterator<Item = &Value> {
        self.json["resource_changes"]
            .as_array()
            .into_iter()
            .flatten()
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(format!("{name}.tf"))
}

fn wait(child: &mut Child, words: &[&str]) -> Result<i32> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or(-1));
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Err(Failure::new(format!(
                "`terraform {}` hangs",
                words.join(" ")
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Permit for one of the commands that may run at the same time.
struct Permit;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Permit {
    fn take() -> Self {
        let running = RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = RUNNING.1.wait_while(running, |running| *running >= AT_ONCE);
        *running.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        RUNNING.1.notify_one();
    }
}
