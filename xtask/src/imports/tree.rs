//! Modules of a crate as declared in its files, and resolution of paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Item, UseTree, Visibility};

/// Maximum length of a chain of re-exports.
const MOST_HOPS: usize = 16;

/// A module: its file and the names in its scope.
#[derive(Default)]
struct Module {
    file: String,
    defined: BTreeSet<String>,
    /// Names imported by `use`, each with its path.
    used: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Paths in the module's code, without re-exports.
    named: BTreeSet<Vec<String>>,
}

/// All modules of a crate by their path from its root.
#[derive(Default)]
pub(super) struct Tree {
    modules: BTreeMap<Vec<String>, Module>,
}

impl Tree {
    /// Reads the crate with its sources in `folder`.
    pub(super) fn read(folder: &Path) -> Self {
        let mut tree = Self::default();
        for name in ["lib.rs", "main.rs"] {
            if folder.join(name).exists() {
                tree.read_file(folder, Path::new(name), &[]);
            }
        }
        tree
    }

    fn read_file(&mut self, folder: &Path, file: &Path, module: &[String]) {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let parsed = syn::parse_file(&text).unwrap();
        self.read_items(folder, file, module, parsed.items);
    }

    fn read_items(&mut self, folder: &Path, file: &Path, module: &[String], items: Vec<Item>) {
        self.at(file, module);
        for item in items.into_iter().filter(|item| !is_test(item)) {
            match item {
                Item::Use(line) => {
                    let mut leaves = Vec::new();
                    spread(&line.tree, &[], &mut leaves);
                    let module = self.at(file, module);
                    if matches!(line.vis, Visibility::Inherited) {
                        module
                            .named
                            .extend(leaves.iter().map(|(_, path)| path.clone()));
                    }
                    module.take_use(leaves);
                }
                Item::Mod(inner) => {
                    let name = inner.ident.to_string();
                    let below = [module, std::slice::from_ref(&name)].concat();
                    match inner.content {
                        Some((_, items)) => self.read_items(folder, file, &below, items),
                        None => self.read_file(folder, &declared(folder, file, &name), &below),
                    }
                }
                other => {
                    let module = self.at(file, module);
                    module.defined.extend(name_of(&other));
                    paths(other.to_token_stream(), &mut module.named);
                }
            }
        }
    }

    fn at(&mut self, file: &Path, module: &[String]) -> &mut Module {
        let found = self.modules.entry(module.to_vec()).or_default();
        found.file = file.display().to_string();
        found
    }

    /// Returns the files that each file imports.
    pub(super) fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (place, module) in &self.modules {
            let found = imports.entry(module.file.clone()).or_default();
            let files = module
                .named
                .iter()
                .filter_map(|path| self.file_of(place, path, MOST_HOPS));
            found.extend(files.filter(|file| *file != module.file));
        }
        imports
    }

    /// Returns the file that defines a path in a module; `None` if it belongs to another crate.
    fn file_of(&self, place: &[String], path: &[String], hops: usize) -> Option<String> {
        let mut place = place.to_vec();
        let mut words = path;
        while let Some((word, rest)) = words.split_first() {
            match word.as_str() {
                "crate" => place.clear(),
                "self" => {}
                "super" => {
                    place.pop()?;
                }
                _ => break,
            }
            words = rest;
        }
        self.file_below(&place, words, hops)
    }

    fn file_below(&self, place: &[String], words: &[String], hops: usize) -> Option<String> {
        let module = self.modules.get(place)?;
        let hops = hops.checked_sub(1)?;
        let Some((word, rest)) = words.split_first() else {
            return Some(module.file.clone());
        };
        let child = [place, std::slice::from_ref(word)].concat();
        if self.modules.contains_key(&child) {
            return self.file_below(&child, rest, hops);
        }
        if module.defined.contains(word) {
            return Some(module.file.clone());
        }
        if let Some(target) = module.used.get(word) {
            return self.file_of(place, &[target, rest].concat(), hops);
        }
        let through = |glob: &Vec<String>| self.file_of(place, &[glob, words].concat(), hops);
        module.globs.iter().find_map(through)
    }
}

impl Module {
    fn take_use(&mut self, leaves: Vec<(Option<String>, Vec<String>)>) {
        for (name, path) in leaves {
            match name {
                // A name that resolves to itself is another crate.
                Some(name) if path.first() != Some(&name) || path.len() > 1 => {
                    self.used.insert(name, path);
                }
                Some(_) => {}
                None => self.globs.push(path),
            }
        }
    }
}

/// Flattens a `use`: each leaf with the name that it imports, `None` for a glob.
fn spread(tree: &UseTree, before: &[String], leaves: &mut Vec<(Option<String>, Vec<String>)>) {
    let with = |word: &syn::Ident| [before, &[word.to_string()]].concat();
    match tree {
        UseTree::Path(path) => spread(&path.tree, &with(&path.ident), leaves),
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((before.last().cloned(), before.to_vec()));
        }
        UseTree::Name(name) => leaves.push((Some(name.ident.to_string()), with(&name.ident))),
        UseTree::Rename(renamed) => {
            leaves.push((Some(renamed.rename.to_string()), with(&renamed.ident)));
        }
        UseTree::Glob(_) => leaves.push((None, before.to_vec())),
        UseTree::Group(group) => {
            for tree in &group.items {
                spread(tree, before, leaves);
            }
        }
    }
}

/// Collects all paths `a::b` in code, including the tokens of macros.
fn paths(tokens: TokenStream, found: &mut BTreeSet<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(word) => {
                if colons != 2 {
                    keep(&mut path, found);
                }
                path.push(word.to_string());
                colons = 0;
            }
            other => {
                keep(&mut path, found);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    paths(group.stream(), found);
                }
            }
        }
    }
    keep(&mut path, found);
}

fn keep(path: &mut Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    let path = std::mem::take(path);
    if path.len() > 1 {
        found.insert(path);
    }
}

/// Returns the file of a module that `file` declares.
fn declared(folder: &Path, file: &Path, name: &str) -> PathBuf {
    let parent = file.parent().unwrap_or(Path::new(""));
    let owns_its_folder = ["lib.rs", "main.rs", "mod.rs"]
        .iter()
        .any(|root| file.ends_with(root));
    let below = if owns_its_folder {
        parent.to_owned()
    } else {
        file.with_extension("")
    };
    let alone = below.join(format!("{name}.rs"));
    if folder.join(&alone).exists() {
        alone
    } else {
        below.join(name).join("mod.rs")
    }
}

fn is_test(item: &Item) -> bool {
    let attributes = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string();
        text == "# [cfg (test)]" || text == "# [test]"
    })
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
