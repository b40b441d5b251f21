//! The user's command that renews the token.

use mesh::bundle::TOKEN_COMMAND;
use mesh::desired::{Bundle, File};
use mesh::render::render;

use crate::sample::{facts, workload};

fn bundle(command: Option<&str>) -> Bundle {
    let mut workload = workload();
    workload.proxy.token_command = command.map(str::to_owned);
    render(&workload, &facts()).unwrap().bundle
}

fn file(bundle: &Bundle) -> Option<&File> {
    bundle.files.iter().find(|file| file.path == TOKEN_COMMAND)
}

#[test]
fn only_root_reads_the_command_and_a_change_of_it_is_one_of_the_bundle() {
    let (without, with, other) = (bundle(None), bundle(Some("cat /a")), bundle(Some("cat /b")));
    assert!(file(&without).is_none() && !without.renews_token());
    let placed = file(&with).unwrap();
    assert_eq!((placed.owner, placed.mode), ("root", 0o700));
    assert_eq!(placed.content, b"cat /a");
    assert!(with.renews_token());
    assert_ne!(with.digest(), without.digest());
    assert_ne!(with.digest(), other.digest());
}
