//! The codes of the diagnostics and the guide that explains them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::messages::Code;

/// Returns the anchors of the guide: its headings of one word, and those in tables.
fn anchors(guide: &str) -> Vec<String> {
    let heading = |line: &str| line.strip_prefix("### ").map(str::to_owned);
    let cell = |line: &str| {
        let (_, rest) = line.split_once("<a id=\"")?;
        rest.split_once('"').map(|(id, _)| id.to_owned())
    };
    let lines = guide.lines();
    let found = lines.filter_map(|line| heading(line).or_else(|| cell(line)));
    found.collect()
}

#[test]
fn the_troubleshooting_guide_explains_each_code_once_and_no_other() {
    let rules = mesh::rule::Rule::ALL.iter().map(|&rule| Code::Rule(rule));
    let codes: Vec<_> = Code::ALL.iter().copied().chain(rules).collect();
    let names = codes.iter().map(|code| code.name());
    let of_framework = plugin::Fault::ALL.iter().map(|fault| fault.code());
    let codes: Vec<_> = names.chain(of_framework).map(str::to_owned).collect();
    let names: BTreeSet<_> = codes.iter().cloned().collect();
    assert_eq!(names.len(), codes.len(), "two codes have one name");
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/troubleshooting.md");
    let listed = anchors(&fs::read_to_string(guide).unwrap());
    let guide: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(guide.len(), listed.len(), "a code is explained twice");
    let missing: Vec<_> = names.difference(&guide).collect();
    let stale: Vec<_> = guide.difference(&names).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "without a section: {missing:#?}\na section without a code: {stale:#?}"
    );
}
