//! Checks that the files of a crate do not import each other in a circle, directly or indirectly: such files cannot be
//! read separately.
//!
//! A file imports the files that **define** the names in its `use` lines and paths. Re-exports are followed, and a `pub use`
//! alone imports nothing. Tests do not count.

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::cargo::root;
use tree::Tree;

/// Folders of the crates that must not have circles.
const CRATES: [&str; 10] = [
    "acceptance-tests",
    "acceptance-tests/bed",
    "acceptance-tests/contract",
    "provider",
    "provider/cluster",
    "provider/mesh",
    "provider/plugin",
    "provider/tfplugin",
    "provider/vm",
    "xtask",
];

type Imports = BTreeMap<String, BTreeSet<String>>;

/// Returns the groups of files that are mutually reachable.
fn circles(imports: &Imports) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = imports
        .keys()
        .map(|file| (file, reachable(imports, file)))
        .collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, others) in &reached {
        if !others.contains(file) || circles.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let back = |other: &&&String| reached.get(**other).is_some_and(|its| its.contains(file));
        circles.push(
            others
                .iter()
                .filter(back)
                .map(|&name| name.clone())
                .collect(),
        );
    }
    circles
}

fn reachable<'a>(imports: &'a Imports, from: &str) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&String> = imports.get(from).into_iter().flatten().collect();
    while let Some(file) = open.pop() {
        if found.insert(file) {
            open.extend(imports.get(file).into_iter().flatten());
        }
    }
    found
}

/// Returns a circle as lines `a.rs imports b.rs`.
fn described(imports: &Imports, circle: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for file in circle {
        let inside = imports[file].intersection(circle);
        let names: Vec<&str> = inside.map(String::as_str).collect();
        text += &format!("  {file} imports {}\n", names.join(", "));
    }
    text
}

#[test]
fn no_files_of_a_crate_import_in_a_circle() {
    let mut wrong = String::new();
    for folder in CRATES {
        let imports = Tree::read(&root().join(folder).join("src")).imports();
        assert!(!imports.is_empty(), "{folder} has no sources");
        for circle in circles(&imports) {
            wrong += &format!("{folder}:\n{}", described(&imports, &circle));
        }
    }
    assert!(wrong.is_empty(), "these import each other:\n{wrong}");
}

/// Returns the imports of a crate with these files.
fn imports_of(files: &[(&str, &str)]) -> Imports {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Tree::read(folder.path()).imports()
}

#[test]
fn a_circle_is_found_through_uses_paths_macros_and_re_exports() {
    let lib = (
        "lib.rs",
        "mod a; mod b; pub use b::B; macro_rules! m { ($($t:tt)*) => { $($t)* } }",
    );
    let b = ("b.rs", "pub struct B; fn back() -> crate::a::A { todo() }");
    for a in [
        "use crate::B; pub struct A;",
        "pub struct A; fn f() { let _ = super::b::B; }",
        "use super::b; pub struct A; fn f() { let _ = b::B; }",
        "pub struct A; fn f() { crate::m!(crate::b::B); }",
        "use crate::b::*; pub struct A; fn f() { let _ = B; }",
    ] {
        let imports = imports_of(&[lib, b, ("a.rs", a)]);
        let found = circles(&imports);
        assert_eq!(found.len(), 1, "{a}: {imports:?}");
        assert_eq!(found[0].iter().collect::<Vec<_>>(), ["a.rs", "b.rs"], "{a}");
    }
}

#[test]
fn re_exports_and_tests_do_not_count_as_imports() {
    let imports = imports_of(&[
        ("lib.rs", "mod a; mod b; pub use a::A; pub struct Top;"),
        (
            "a.rs",
            "use crate::Top; pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
        ),
        ("b.rs", "use crate::A; pub struct B;"),
    ]);
    assert_eq!(
        circles(&imports),
        Vec::<BTreeSet<String>>::new(),
        "{imports:?}"
    );
    assert_eq!(imports["a.rs"].iter().collect::<Vec<_>>(), ["lib.rs"]);
    assert_eq!(imports["b.rs"].iter().collect::<Vec<_>>(), ["a.rs"]);
}
