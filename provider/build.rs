//! Links what a static binary needs to look names up on any machine: see `src/names.c`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=src/names.c");
    let is = |name, value| env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // Nothing calls it: it runs before `main`, so the linker must take it although nobody refers to it.
    cc::Build::new()
        .file("src/names.c")
        .link_lib_modifier("+whole-archive")
        .compile("names");
}
