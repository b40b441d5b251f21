//! `cargo xtask fresh [--keep]`: set-up and demo as on a machine that has built and fetched nothing yet.
//!
//! **Invariant**: the demo finds nothing that an earlier run of anything left in the home folder, in the
//! caches of cargo and Go, or in that of the bed. What belongs to the machine itself stays as it is: its
//! toolchains, its packages, and the settings that say where crates, modules and wheels come from.

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

/// The bed of this command; others may run beside it.
const BED: &str = "fresh";
/// On a disk: some gigabytes are written.
const PLACE: &str = "/var/tmp";

/// Variables that lead to what earlier runs left, each with the folder that it names instead.
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

/// Settings of the machine that lie in the home folder, each with the places where they are looked for.
const KEPT: [(&str, &[&str]); 4] = [
    ("RUSTUP_HOME", &["{home}/.rustup"]),
    ("GOENV", &["{config}/go/env"]),
    (
        "PIP_CONFIG_FILE",
        &["{config}/pip/pip.conf", "{home}/.pip/pip.conf"],
    ),
    ("NPM_CONFIG_USERCONFIG", &["{home}/.npmrc"]),
];

/// What Terraform and kubectl take from the user, by the beginning of the name.
const OF_THE_USER: [&str; 2] = ["TF_", "KUBECONFIG"];

/// What a process gets as its environment: `None` removes a variable.
type Environment = BTreeMap<OsString, Option<OsString>>;

/// Runs the demo with folders of its own, and removes them.
///
/// # Errors
/// An unknown argument, something that is missing on this machine, or a demo that fails.
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
        "fresh: builds everything again in {}, then plays the demo: about 20 min on two cores, 8 GB",
        folder.path().display()
    );
    let played = play(folder.path());
    let minutes = start.elapsed().as_secs().div_ceil(60);
    if keep {
        let folder = folder.keep();
        eprintln!("fresh: what was built is in {}", folder.display());
    } else {
        // Its machines have their files in the folder.
        bed::down(BED).map_err(|error| error.chain())?;
        let path = folder.path().to_owned();
        folder
            .close()
            .map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
    }
    played?;
    eprintln!("fresh: ok, an empty machine gets to the end of the demo in {minutes} min");
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
    eprintln!("fresh: cargo builds the commands first, about 2 min, and says nothing meanwhile");
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

/// Makes the empty folders. Where crates come from is the machine's affair, so cargo's settings are copied.
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

/// Returns what differs from the environment given.
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

/// Returns where settings lie for the user who has these variables.
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
    fn what_earlier_runs_left_is_out_of_reach() {
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
    fn the_machine_s_settings_stay() {
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
    fn cargo_s_home_is_empty_but_for_where_crates_come_from() {
        let (home, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(&home.path().join(".cargo/config.toml"), "[registries]");
        write(&home.path().join(".cargo/registry/index"), "left");
        prepare(own.path(), &variables(home.path(), &[])).unwrap();
        let copied = fs::read_dir(own.path().join("cargo")).unwrap();
        let copied: Vec<_> = copied.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(copied, ["config.toml"]);
    }
}
