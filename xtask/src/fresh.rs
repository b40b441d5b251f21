//! `cargo xtask fresh [--keep]`: runs set-up and demo with empty caches, as on a new machine.
//!
//! **Invariant**: the demo finds nothing of earlier runs in the home folder or in the caches of cargo, Go and the bed. The
//! machine itself is unchanged: its toolchains, its packages, and the settings for the sources of crates, modules and
//! wheels.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::arguments::WrongArguments;
use crate::cargo::cargo;
use crate::tools;

/// Bed of this command; others may run at the same time.
const BED: &str = "fresh";
/// Parent folder, on a disk: several gigabytes are written.
const PLACE: &str = "/var/tmp";

/// Variables that refer to caches of earlier runs, each with its replacement folder.
const EMPTY: [(&str, &str); 9] = [
    ("HOME", "home"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_CONFIG_HOME", "home/.config"),
    ("XDG_DATA_HOME", "home/.local/share"),
    ("CARGO_HOME", "cargo"),
    ("CARGO_TARGET_DIR", "target"),
    ("GOPATH", "go"),
    ("GOMODCACHE", "go/pkg/mod"),
    ("GOCACHE", "go-build"),
];

/// Settings of the machine in the home folder, each with its possible locations.
const KEPT: [(&str, &[&str]); 4] = [
    ("RUSTUP_HOME", &["{home}/.rustup"]),
    ("GOENV", &["{config}/go/env"]),
    (
        "PIP_CONFIG_FILE",
        &["{config}/pip/pip.conf", "{home}/.pip/pip.conf"],
    ),
    ("NPM_CONFIG_USERCONFIG", &["{home}/.npmrc"]),
];

/// Prefixes of variables that Terraform and kubectl read.
const OF_THE_USER: [&str; 2] = ["TF_", "KUBECONFIG"];

/// Changes of the environment of a process; `None` removes a variable.
type Environment = BTreeMap<OsString, Option<OsString>>;

/// Runs the demo with its own folders, and removes them.
///
/// # Errors
/// Fails if an argument is unknown, a requirement is missing on this machine, or the demo fails.
pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let keep = match args {
        [] => false,
        ["--keep"] => true,
        _ => return Err(WrongArguments.into()),
    };
    tools::provide(&[], tools::Bed::Needed)?;
    let folder = tempfile::Builder::new()
        .prefix("terraform-provider-mesh-fresh-")
        .tempdir_in(PLACE)
        .map_err(|error| format!("cannot create a folder in {PLACE}: {error}"))?;
    let start = Instant::now();
    eprintln!(
        "fresh: builds everything in {} and then runs the demo: about 20 min on two cores, 8 GB",
        folder.path().display()
    );
    let played = play(folder.path());
    let minutes = start.elapsed().as_secs().div_ceil(60);
    if keep {
        let folder = folder.keep();
        eprintln!("fresh: build artifacts are in {}", folder.display());
    } else {
        // The files of its machines are in the folder.
        bed::down(BED).map_err(|error| error.chain())?;
        let path = folder.path().to_owned();
        folder
            .close()
            .map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
    }
    played?;
    eprintln!("fresh: ok, set-up and demo on an empty machine took {minutes} min");
    Ok(())
}

fn play(folder: &Path) -> Result<(), Box<dyn Error>> {
    let variables: BTreeMap<OsString, OsString> = env::vars_os().collect();
    prepare(folder, &variables)?;
    let mut demo = cargo();
    demo.args(["xtask", "demo", "--name", BED]);
    for (name, value) in environment(folder, &variables) {
        match value {
            Some(value) => demo.env(name, value),
            None => demo.env_remove(name),
        };
    }
    eprintln!("fresh: cargo first builds the commands without output, about 2 min");
    let status = demo
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "fresh: `cargo xtask demo` failed on an empty machine ({status}), for the reason above. \
         `cargo xtask fresh --keep` leaves its files and logs for a look."
    )
    .into())
}

/// Creates the empty folders. Cargo's settings are copied, because the machine determines the source of crates.
fn prepare(folder: &Path, variables: &BTreeMap<OsString, OsString>) -> Result<(), String> {
    for (_, part) in EMPTY {
        let path = folder.join(part);
        fs::create_dir_all(&path)
            .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
    }
    let cargo = set(variables, "CARGO_HOME")
        .or_else(|| set(variables, "HOME").map(|home| home.join(".cargo")));
    for name in ["config.toml", "config"] {
        let Some(settings) = cargo.as_ref().map(|cargo| cargo.join(name)) else {
            continue;
        };
        if settings.is_file() {
            fs::copy(&settings, folder.join("cargo").join(name))
                .map_err(|error| format!("cannot copy {}: {error}", settings.display()))?;
        }
    }
    Ok(())
}

/// Returns the changes of the environment.
fn environment(folder: &Path, variables: &BTreeMap<OsString, OsString>) -> Environment {
    let mut changed = Environment::new();
    for name in variables.keys() {
        let text = name.to_string_lossy();
        if OF_THE_USER.iter().any(|prefix| text.starts_with(prefix)) {
            changed.insert(name.clone(), None);
        }
    }
    for (name, places) in KEPT {
        if set(variables, name).is_some() {
            continue;
        }
        let found = places
            .iter()
            .filter_map(|place| settings(place, variables))
            .find(|path| path.exists());
        if let Some(path) = found {
            changed.insert(name.into(), Some(path.into()));
        }
    }
    for (name, part) in EMPTY {
        changed.insert(name.into(), Some(folder.join(part).into()));
    }
    changed
}

/// Returns the path of settings for a user with these variables.
fn settings(place: &str, variables: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let home = set(variables, "HOME")?;
    let (base, rest) = match place.split_once("{config}/") {
        Some((_, rest)) => {
            let config = set(variables, "XDG_CONFIG_HOME");
            (config.unwrap_or_else(|| home.join(".config")), rest)
        }
        None => (home, place.trim_start_matches("{home}/")),
    };
    Some(base.join(rest))
}

fn set(variables: &BTreeMap<OsString, OsString>, name: &str) -> Option<PathBuf> {
    let value = variables.get(&OsString::from(name))?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(home: &Path, more: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        let own = [("HOME", home.to_str().unwrap()), ("PATH", "/bin")];
        let all = own.iter().chain(more);
        all.map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn caches_of_earlier_runs_are_not_used() {
        let home = tempfile::tempdir().unwrap();
        let left = [
            ("XDG_CACHE_HOME", "/left/cache"),
            ("CARGO_HOME", "/left/cargo"),
            ("GOMODCACHE", "/left/mod"),
            ("TF_CLI_CONFIG_FILE", "/left/terraformrc"),
            ("TF_PLUGIN_CACHE_DIR", "/left/plugins"),
            ("KUBECONFIG", "/left/kubeconfig"),
        ];
        let changed = environment(Path::new("/own"), &variables(home.path(), &left));
        for (name, _) in left {
            let value = changed[&OsString::from(name)].clone();
            let is_own = value.is_none_or(|value| Path::new(&value).starts_with("/own"));
            assert!(is_own, "{name}");
        }
        for (name, _) in EMPTY {
            let value = changed[&OsString::from(name)].clone().unwrap();
            assert!(Path::new(&value).starts_with("/own"), "{name}");
        }
    }

    #[test]
    fn settings_of_the_machine_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let files = [
            ("RUSTUP_HOME", ".rustup/settings.toml"),
            ("GOENV", ".config/go/env"),
            ("PIP_CONFIG_FILE", ".pip/pip.conf"),
            ("NPM_CONFIG_USERCONFIG", ".npmrc"),
        ];
        for (_, file) in files {
            write(&home.path().join(file), "");
        }
        let changed = environment(Path::new("/own"), &variables(home.path(), &[]));
        for (name, file) in files {
            let value = PathBuf::from(changed[&OsString::from(name)].clone().unwrap());
            assert!(home.path().join(file).starts_with(&value), "{name}");
        }
        let given = variables(home.path(), &[("GOENV", "off")]);
        let changed = environment(Path::new("/own"), &given);
        assert!(!changed.contains_key(&OsString::from("GOENV")));
    }

    #[test]
    fn cargos_home_contains_only_the_source_of_crates() {
        let (home, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(&home.path().join(".cargo/config.toml"), "[registries]");
        write(&home.path().join(".cargo/registry/index"), "left");
        prepare(own.path(), &variables(home.path(), &[])).unwrap();
        let copied = fs::read_dir(own.path().join("cargo")).unwrap();
        let copied: Vec<_> = copied.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(copied, ["config.toml"]);
    }
}
