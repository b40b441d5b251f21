//! `cargo xtask install [--dir DIR]`: installs the release binary, static on Linux, in a filesystem mirror for
//! `terraform init`.
//!
//! Layout: <https://developer.hashicorp.com/terraform/cli/config/config-file#filesystem_mirror>, unpacked.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use crate::arguments::WrongArguments;
use crate::cargo::{Profile, provider_binary};

/// Registry hosts of the source `vm-mesh/mesh`: Terraform's and `OpenTofu`'s.
const HOSTS: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the provider and installs it in the mirror.
///
/// # Errors
/// Fails if an argument is unknown, there is no home folder, the build fails, or a file cannot be written.
#[expect(
    clippy::print_stdout,
    reason = "this command prints the configuration to use"
)]
pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let given = match args {
        [] => None,
        ["--dir", dir] => Some(std::path::absolute(dir)?),
        _ => return Err(WrongArguments.into()),
    };
    let mirror = given.clone().map_or_else(implied_mirror, Ok)?;
    let binary = provider_binary(Profile::Release)?;
    for host in HOSTS {
        let path = mirror.join(place(host, env::consts::OS, env::consts::ARCH));
        install(&binary, &path)
            .map_err(|error| format!("cannot install {}: {error}", path.display()))?;
        eprintln!("installed {}", path.display());
    }
    if let Some(mirror) = given {
        println!("{}", cli_config(&mirror));
    }
    println!("{}", required_providers());
    Ok(())
}

/// Returns the mirror that Terraform and `OpenTofu` use by default.
fn implied_mirror() -> Result<PathBuf, String> {
    let home =
        env::home_dir().ok_or("no home folder: set HOME, or set the mirror with --dir DIR")?;
    Ok(home.join(".terraform.d/plugins"))
}

/// Returns the path of the binary in a mirror for a registry host and for a platform with its Rust names.
fn place(host: &str, os: &str, arch: &str) -> PathBuf {
    let os = if os == "macos" { "darwin" } else { os };
    let arch = match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Path::new(host).join(format!(
        "vm-mesh/mesh/{VERSION}/{os}_{arch}/terraform-provider-mesh_v{VERSION}"
    ))
}

/// Replaces the file atomically, so that a running Terraform is not affected.
fn install(binary: &Path, path: &Path) -> std::io::Result<()> {
    let new = path.with_extension("new");
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::copy(binary, &new)?;
    fs::rename(&new, path)
}

fn cli_config(mirror: &Path) -> String {
    let mirror = mirror.display();
    format!(
        r#"# in the CLI configuration (~/.terraformrc, or the file that TF_CLI_CONFIG_FILE names)
provider_installation {{
  filesystem_mirror {{
    path    = "{mirror}"
    include = ["vm-mesh/*"]
  }}
  direct {{
    exclude = ["vm-mesh/*"]
  }}
}}
"#
    )
}

fn required_providers() -> String {
    format!(
        r#"# in the configuration; then `terraform init`
terraform {{
  required_providers {{
    mesh = {{
      source  = "vm-mesh/mesh"
      version = "{VERSION}"
    }}
  }}
}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_uses_gos_names_of_platforms() {
        let end = |os, arch| place("example.com", os, arch).display().to_string();
        assert_eq!(
            end("linux", "x86_64"),
            format!(
                "example.com/vm-mesh/mesh/{VERSION}/linux_amd64/terraform-provider-mesh_v{VERSION}"
            )
        );
        assert!(end("macos", "aarch64").contains("/darwin_arm64/"));
    }

    #[test]
    fn an_older_binary_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "old").unwrap();
        fs::write(&new, "new").unwrap();
        let path = folder.path().join("mirror/a/binary_v0.1.0");
        install(&old, &path).unwrap();
        install(&new, &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn terraform_installs_from_the_mirror_with_the_printed_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let mirror = folder.path().join("mirror");
        let path = mirror.join(place(HOSTS[0], env::consts::OS, env::consts::ARCH));
        install(&write("binary", "not run by init"), &path).unwrap();
        write("main.tf", &required_providers());
        let init = std::process::Command::new("terraform")
            .args(["init", "-no-color"])
            .current_dir(folder.path())
            .env(
                "TF_CLI_CONFIG_FILE",
                write("config.tfrc", &cli_config(&mirror)),
            )
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&init.stderr);
        assert!(init.status.success(), "{said}");
    }
}
