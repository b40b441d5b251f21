//! Calls of cargo, and paths of the workspace.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Build profile of the provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Fast build for tests.
    Dev,
    /// Build for users.
    Release,
}

/// Returns the folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Returns a command of the cargo that runs this process, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Returns cargo's metadata of the workspace, without external crates.
///
/// # Errors
/// Fails if cargo cannot be started or rejects the workspace.
pub(crate) fn metadata() -> Result<Value, Box<dyn Error>> {
    let output = cargo()
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Builds the provider and returns the path of its binary. Progress goes to stderr.
///
/// On Linux, it is statically linked, so that it starts wherever Terraform does: in Alpine's image, and on systems with an
/// older glibc. Only the last crate is built differently; all others are shared with other builds.
///
/// # Errors
/// Fails if cargo cannot be started, the build fails, or cargo reports no binary.
pub(crate) fn provider_binary(profile: Profile) -> Result<PathBuf, Box<dyn Error>> {
    let mut build = cargo();
    build.args([
        "rustc",
        "--quiet",
        "--package=terraform-provider-mesh",
        "--bin=terraform-provider-mesh",
        "--message-format=json-render-diagnostics",
    ]);
    if profile == Profile::Release {
        build.arg("--release");
    }
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        build.args(["--", "-Ctarget-feature=+crt-static"]);
    }
    eprintln!("building the provider, which takes minutes the first time");
    let output = build.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the build of the provider failed: see the errors above".into());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    executable(&messages).ok_or_else(|| "cargo built the provider but reported no binary".into())
}

/// Returns the last binary in cargo's messages (JSON lines).
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_the_one_that_cargo_reports() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/t/release/terraform-provider-mesh"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable(messages),
            Some(PathBuf::from("/t/release/terraform-provider-mesh"))
        );
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#),
            None
        );
    }
}
