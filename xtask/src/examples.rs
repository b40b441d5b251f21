//! Validates the examples against the provider with `terraform validate`.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cargo::root;

/// Folders in `examples/` that are a configuration each.
const CONFIGURATIONS: &[&[&str]] = &[
    &["behind-nat"],
    &["control-plane-by-name"],
    &["fleet"],
    &["multi-network"],
    &["offload"],
    &["talk-demo"],
    &["three-applications"],
    &["two-clusters"],
    &["provider", "data-sources/mesh_network_path"],
    &["provider", "data-sources/mesh_vm_bundle"],
    &["provider", "ephemeral-resources/mesh_vm_bundle"],
    &["provider", "resources/mesh_vm_workload"],
    &["provider", "resources/mesh_vm_fleet"],
];

/// Validates each configuration with the provider at `binary`.
///
/// # Errors
/// Fails if Terraform cannot be started or a file cannot be copied; otherwise returns Terraform's errors.
pub(crate) fn validate(binary: &Path) -> Result<(), Box<dyn Error>> {
    let mut wrong = Vec::new();
    for folders in CONFIGURATIONS {
        let copy = tempfile::tempdir()?;
        for folder in *folders {
            copy_files(&root().join("examples").join(folder), copy.path())?;
        }
        if let Err(words) = terraform_validate(copy.path(), binary)? {
            wrong.push(format!(
                "examples/{}:\n{words}",
                folders.join(", examples/")
            ));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n").into())
    }
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// Returns Terraform's errors if the configuration in `folder` is invalid.
fn terraform_validate(folder: &Path, binary: &Path) -> std::io::Result<Result<(), String>> {
    let config = folder.join("terraform.rc");
    let binaries = binary.parent().unwrap_or(folder).display();
    fs::write(
        &config,
        format!(
            "provider_installation {{\n  dev_overrides {{\n    \"vm-mesh/mesh\" = \"{binaries}\"\n  }}\n  direct {{}}\n}}\n"
        ),
    )?;
    let output = Command::new("terraform")
        .args(["validate", "-no-color"])
        .current_dir(folder)
        .env("TF_CLI_CONFIG_FILE", config)
        .output()?;
    let words = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(if output.status.success() {
        Ok(())
    } else {
        Err(words)
    })
}
