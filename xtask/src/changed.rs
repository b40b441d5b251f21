//! Selects the crates and scenarios that a change can affect.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cargo::{metadata, root};

/// Crates whose changes affect the scenarios: the tested binary and the scenarios themselves.
const TESTED: [&str; 2] = ["terraform-provider-mesh", "acceptance-tests"];
/// Folder of the scenarios. A change of one file affects its scenarios and those of modules that use it.
const SCENARIOS: &str = "acceptance-tests/tests/bed/";

/// Tests to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Crates whose unit tests run.
    pub(crate) crates: BTreeSet<String>,
    /// Scenarios to run.
    pub(crate) scenarios: Scenarios,
}

/// Selection of scenarios.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scenarios {
    /// None.
    None,
    /// The scenarios of these modules.
    Of(BTreeSet<String>),
    /// All scenarios.
    All,
}

/// The crates of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Crates {
    /// Name by folder, relative to the workspace.
    folders: BTreeMap<String, String>,
    /// Names of a crate's dependencies, by its name.
    needs: BTreeMap<String, BTreeSet<String>>,
}

/// Returns the tests that the changes since a revision, including uncommitted ones, can affect.
///
/// # Errors
/// Fails if git or cargo cannot be started or the revision is unknown.
pub(crate) fn since(revision: &str) -> Result<Reach, Box<dyn Error>> {
    let base = git(&["merge-base", "HEAD", revision])?;
    let tracked = git(&["diff", "--name-only", base.trim()])?;
    let others = git(&["ls-files", "--others", "--exclude-standard"])?;
    let files: Vec<&str> = tracked.lines().chain(others.lines()).collect();
    let mut reach = Crates::read(&metadata()?).reach(&files);
    if let Scenarios::Of(modules) = &mut reach.scenarios {
        close(modules, &module_uses()?);
    }
    Ok(reach)
}

/// Returns the modules of scenarios that each module of scenarios uses, by `crate::MODULE`.
fn module_uses() -> Result<BTreeMap<String, BTreeSet<String>>, Box<dyn Error>> {
    let folder = root().join(SCENARIOS);
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in rust_files(&folder)? {
        let file = path.strip_prefix(root())?.display().to_string();
        let Some(module) = scenario_of(&file) else {
            continue;
        };
        let text = fs::read_to_string(&path)?;
        let names = text.split("crate::").skip(1).map(|rest| {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        uses.entry(module.to_owned()).or_default().extend(names);
    }
    Ok(uses)
}

/// Returns all files of Rust below a folder.
fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|of| of == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Adds what needs one of these, directly or through others.
fn close(names: &mut BTreeSet<String>, needs: &BTreeMap<String, BTreeSet<String>>) {
    loop {
        let more: Vec<String> = needs
            .iter()
            .filter(|(name, needs)| !names.contains(*name) && !needs.is_disjoint(names))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return;
        }
        names.extend(more);
    }
}

/// Returns the output of git.
fn git(args: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new("git")
        .args(args)
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot start git: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().into())
}

impl Crates {
    fn read(metadata: &Value) -> Self {
        let mut crates = Self::default();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = text(&package["name"]);
            let manifest = text(&package["manifest_path"]);
            let folder = Path::new(&manifest).parent().unwrap_or(Path::new(""));
            let folder = folder.strip_prefix(root()).unwrap_or(folder);
            let needs = package["dependencies"].as_array().into_iter().flatten();
            let needs = needs.map(|needed| text(&needed["name"])).collect();
            crates
                .folders
                .insert(format!("{}/", folder.display()), name.clone());
            crates.needs.insert(name, needs);
        }
        crates
    }

    /// Returns the tests that changes of these files can affect. A file outside of all crates affects everything, unless it
    /// is known to affect only a part.
    fn reach(&self, files: &[&str]) -> Reach {
        let mut crates = BTreeSet::new();
        let mut modules = BTreeSet::new();
        for file in files {
            match (scenario_of(file), self.owner(file)) {
                (Some(module), _) => {
                    modules.insert(module.to_owned());
                }
                (None, Some(name)) => {
                    crates.insert(name.to_owned());
                }
                // The tests of xtask read all texts and examples.
                (None, None) if is_text(file) => {
                    crates.insert("xtask".to_owned());
                }
                (None, None) => crates.extend(self.needs.keys().cloned()),
            }
        }
        close(&mut crates, &self.needs);
        let reaches_all = TESTED.iter().any(|name| crates.contains(*name))
            || files.iter().any(|file| file.starts_with("examples/"));
        Reach {
            scenarios: match (reaches_all, modules.is_empty()) {
                (true, _) => Scenarios::All,
                (false, true) => Scenarios::None,
                (false, false) => Scenarios::Of(modules),
            },
            crates,
        }
    }

    /// Returns the crate of a file: the one with the longest matching folder.
    fn owner(&self, file: &str) -> Option<&str> {
        let around = self
            .folders
            .iter()
            .filter(|(folder, _)| file.starts_with(*folder));
        let innermost = around.max_by_key(|(folder, _)| folder.len());
        innermost.map(|(_, name)| name.as_str())
    }
}

/// Returns the module of a file of scenarios; `None` for files that all scenarios share.
fn scenario_of(file: &str) -> Option<&str> {
    let rest = file.strip_prefix(SCENARIOS)?;
    let (module, _) = rest.split_once(['.', '/'])?;
    (module != "main").then_some(module)
}

fn is_text(file: &str) -> bool {
    let is_markdown = Path::new(file).extension().is_some_and(|of| of == "md");
    is_markdown || file.starts_with("docs/") || file.starts_with("examples/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates() -> Crates {
        let package = |name: &str, folder: &str, needs: &[&str]| {
            serde_json::json!({
                "name": name,
                "manifest_path": root().join(folder).join("Cargo.toml"),
                "dependencies": needs.iter().map(|name| serde_json::json!({"name": name})).collect::<Vec<_>>(),
            })
        };
        Crates::read(&serde_json::json!({ "packages": [
            package("mesh", "provider/mesh", &[]),
            package("vm", "provider/vm", &["mesh"]),
            package("terraform-provider-mesh", "provider", &["mesh", "vm"]),
            package("contract", "acceptance-tests/contract", &[]),
            package("bed", "acceptance-tests/bed", &[]),
            package("acceptance-tests", "acceptance-tests", &["bed", "contract"]),
            package("xtask", "xtask", &["acceptance-tests"]),
        ] }))
    }

    #[track_caller]
    fn check(files: &[&str], reached: &[&str], scenarios: &Scenarios) {
        let reach = crates().reach(files);
        let names: Vec<&str> = reach.crates.iter().map(String::as_str).collect();
        assert_eq!(names, reached, "{files:?}");
        assert_eq!(reach.scenarios, *scenarios, "{files:?}");
    }

    #[test]
    fn a_change_affects_all_dependents_of_the_crate() {
        check(&[], &[], &Scenarios::None);
        let provider = ["mesh", "terraform-provider-mesh", "vm"];
        check(&["provider/mesh/src/drift.rs"], &provider, &Scenarios::All);
        check(
            &["provider/src/main.rs"],
            &["terraform-provider-mesh"],
            &Scenarios::All,
        );
        check(&["xtask/src/docs.rs"], &["xtask"], &Scenarios::None);
        let bed = ["acceptance-tests", "bed", "xtask"];
        check(&["acceptance-tests/bed/src/vm.rs"], &bed, &Scenarios::All);
    }

    #[test]
    fn a_text_affects_the_tests_that_read_texts() {
        check(
            &["README.md", "docs/index.md"],
            &["xtask"],
            &Scenarios::None,
        );
        check(&["examples/fleet/main.tf"], &["xtask"], &Scenarios::All);
    }

    #[test]
    fn a_file_of_scenarios_affects_only_these() {
        let of =
            |names: &[&str]| Scenarios::Of(names.iter().map(|&name| name.to_owned()).collect());
        check(
            &[
                "acceptance-tests/tests/bed/drift.rs",
                "acceptance-tests/tests/bed/verdicts/mod.rs",
            ],
            &[],
            &of(&["drift", "verdicts"]),
        );
        check(
            &["acceptance-tests/tests/bed/main.rs"],
            &["acceptance-tests", "xtask"],
            &Scenarios::All,
        );
    }

    #[test]
    fn a_module_that_others_use_affects_their_scenarios() {
        let uses = module_uses().unwrap();
        let reached = |module: &str| {
            let mut modules = BTreeSet::from([module.to_owned()]);
            close(&mut modules, &uses);
            modules
        };
        assert!(reached("demo").contains("fleet"), "{:?}", reached("demo"));
        assert!(reached("failures").contains("hops"));
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let chain = BTreeMap::from([
            ("a".to_owned(), set(&["b"])),
            ("b".to_owned(), set(&["c"])),
            ("d".to_owned(), set(&[])),
        ]);
        let mut modules = set(&["c"]);
        close(&mut modules, &chain);
        assert_eq!(modules, set(&["a", "b", "c"]));
    }

    #[test]
    fn a_file_outside_of_all_crates_affects_everything() {
        let all = [
            "acceptance-tests",
            "bed",
            "contract",
            "mesh",
            "terraform-provider-mesh",
            "vm",
            "xtask",
        ];
        check(&["Cargo.lock"], &all, &Scenarios::All);
    }

    #[test]
    fn the_crates_are_those_of_this_workspace() {
        let crates = Crates::read(&metadata().unwrap());
        assert_eq!(crates.owner("xtask/src/main.rs"), Some("xtask"));
        assert_eq!(crates.owner("provider/vm/src/lib.rs"), Some("vm"));
        assert_eq!(crates.owner("Cargo.toml"), None);
    }
}
