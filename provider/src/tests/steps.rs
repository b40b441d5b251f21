//! What an apply does in each case, as ARCHITECTURE.md shows it.

use std::fs;
use std::path::Path;

use mesh::change::Effect::{self, Nothing, Objects, Rebootstrap, Replace};

use crate::machine::VmAfterFailure::{self, Occupied, Reverted, Unknown, Untouched};
use crate::workload::steps::Circumstance::{
    self, AdoptsObjects, LeavesVm, MovesArchive, ProbesHealth, TakesOverVm, TakesTurn,
};
use crate::workload::steps::{Kind, Reach, Step, steps, ways_back};

const FILE: &str = "../ARCHITECTURE.md";

/// A row of the page: its title, how the VM was reached and is reached, and what else decides.
type Case = (
    &'static str,
    (Option<Reach>, Option<Reach>),
    Effect,
    &'static [Circumstance],
);

const SSH: Option<Reach> = Some(Reach::Ssh);
const ARCHIVE: Option<Reach> = Some(Reach::Archive);
const OBJECTS: Option<Reach> = Some(Reach::Objects);

const CASES: [Case; 29] = [
    (
        "create, also after an unfinished one",
        (None, SSH),
        Rebootstrap,
        &[],
    ),
    (
        "… with a health check",
        (None, SSH),
        Rebootstrap,
        &[ProbesHealth],
    ),
    (
        "… on another workload's VM",
        (None, SSH),
        Rebootstrap,
        &[TakesOverVm],
    ),
    (
        "… on the VM of a fleet's member",
        (None, SSH),
        Rebootstrap,
        &[TakesOverVm, TakesTurn],
    ),
    ("… with an archive", (None, ARCHIVE), Rebootstrap, &[]),
    ("… of objects only", (None, OBJECTS), Rebootstrap, &[]),
    (
        "update of nothing that is applied",
        (SSH, SSH),
        Nothing,
        &[],
    ),
    ("… of objects", (SSH, SSH), Objects, &[]),
    ("… of the VM's files", (SSH, SSH), Rebootstrap, &[]),
    (
        "… with a health check",
        (SSH, SSH),
        Rebootstrap,
        &[ProbesHealth],
    ),
    (
        "… that takes over another workload's VM",
        (SSH, SSH),
        Rebootstrap,
        &[TakesOverVm],
    ),
    (
        "… of a fleet's member",
        (SSH, SSH),
        Rebootstrap,
        &[TakesTurn],
    ),
    (
        "… to another host, the former VM is cleaned",
        (SSH, SSH),
        Rebootstrap,
        &[LeavesVm],
    ),
    (
        "… to another host, the former VM is kept",
        (SSH, SSH),
        Rebootstrap,
        &[],
    ),
    (
        "… of an import, of objects",
        (OBJECTS, OBJECTS),
        Objects,
        &[AdoptsObjects],
    ),
    (
        "… of an import, with ssh added",
        (OBJECTS, SSH),
        Rebootstrap,
        &[AdoptsObjects],
    ),
    (
        "… of an import, with an archive",
        (OBJECTS, ARCHIVE),
        Rebootstrap,
        &[AdoptsObjects],
    ),
    (
        "… from SSH to objects only",
        (SSH, OBJECTS),
        Rebootstrap,
        &[LeavesVm],
    ),
    (
        "… the same, on_destroy = keep",
        (SSH, OBJECTS),
        Rebootstrap,
        &[],
    ),
    (
        "… from SSH to an archive",
        (SSH, ARCHIVE),
        Rebootstrap,
        &[LeavesVm],
    ),
    (
        "… of an archive's objects",
        (ARCHIVE, ARCHIVE),
        Objects,
        &[],
    ),
    (
        "… of an archive's files",
        (ARCHIVE, ARCHIVE),
        Rebootstrap,
        &[],
    ),
    (
        "… of an archive's path",
        (ARCHIVE, ARCHIVE),
        Rebootstrap,
        &[MovesArchive],
    ),
    ("… from an archive to SSH", (ARCHIVE, SSH), Rebootstrap, &[]),
    (
        "… from an archive to objects only",
        (ARCHIVE, OBJECTS),
        Rebootstrap,
        &[],
    ),
    (
        "destroy, also after an unfinished bootstrap",
        (SSH, None),
        Replace,
        &[LeavesVm],
    ),
    (
        "… on_destroy = keep, or never bootstrapped",
        (SSH, None),
        Replace,
        &[],
    ),
    ("… with an archive", (ARCHIVE, None), Replace, &[]),
    ("… of objects only", (OBJECTS, None), Replace, &[]),
];

fn listed(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() {
        "nothing".into()
    } else {
        items.join(", ")
    }
}

/// Returns the page as the functions give it.
fn page() -> String {
    let mut text = String::new();
    for (title, (before, after), effect, circumstances) in CASES {
        let steps = steps(before, after, effect, circumstances);
        text += &format!("{title:<50}{}\n", listed(&steps));
    }
    text
}

/// A failure: of which apply, at which step, and how that left the VM.
type Failure = (
    Kind,
    (Option<Reach>, Option<Reach>),
    Step,
    VmAfterFailure,
    &'static str,
);

const FAILURES: [Failure; 21] = [
    (Kind::Create, (None, SSH), Step::AwaitTurn, Untouched, ""),
    (Kind::Update, (SSH, SSH), Step::AwaitTurn, Untouched, ""),
    (
        Kind::Create,
        (None, SSH),
        Step::WithdrawOthers,
        Untouched,
        "",
    ),
    (
        Kind::Update,
        (SSH, SSH),
        Step::WithdrawOthers,
        Untouched,
        "",
    ),
    (Kind::Create, (None, SSH), Step::Withdraw, Untouched, ""),
    (
        Kind::Create,
        (None, SSH),
        Step::Bootstrap,
        Untouched,
        ", VM untouched",
    ),
    (
        Kind::Create,
        (None, SSH),
        Step::Bootstrap,
        Reverted,
        ", VM reverted",
    ),
    (
        Kind::Create,
        (None, SSH),
        Step::Bootstrap,
        Unknown,
        ", VM unknown",
    ),
    (
        Kind::Create,
        (None, SSH),
        Step::AwaitConnection,
        Untouched,
        "",
    ),
    (
        Kind::Create,
        (None, ARCHIVE),
        Step::WriteArchive,
        Untouched,
        "",
    ),
    (Kind::Update, (SSH, SSH), Step::Withdraw, Untouched, ""),
    (
        Kind::Update,
        (SSH, SSH),
        Step::Bootstrap,
        Untouched,
        ", VM untouched",
    ),
    (
        Kind::Update,
        (SSH, SSH),
        Step::Bootstrap,
        Occupied,
        ", VM occupied",
    ),
    (
        Kind::Update,
        (SSH, SSH),
        Step::Bootstrap,
        Reverted,
        ", VM reverted",
    ),
    (
        Kind::Update,
        (SSH, SSH),
        Step::Bootstrap,
        Unknown,
        ", VM unknown",
    ),
    (Kind::Update, (SSH, SSH), Step::Admit, Untouched, ""),
    (
        Kind::Update,
        (OBJECTS, OBJECTS),
        Step::WriteObjects,
        Untouched,
        "",
    ),
    (Kind::Destroy, (SSH, None), Step::Withdraw, Untouched, ""),
    (
        Kind::Destroy,
        (SSH, None),
        Step::RemoveProxy,
        Untouched,
        ", proxy still serves",
    ),
    (
        Kind::Destroy,
        (SSH, None),
        Step::RemoveProxy,
        Unknown,
        ", proxy stopped",
    ),
    (
        Kind::Destroy,
        (SSH, None),
        Step::DeleteObjects,
        Untouched,
        "",
    ),
];

/// Returns the page of what is undone after a step failed, as the functions give it.
fn failures() -> String {
    let mut text = String::new();
    for (kind, (before, after), failed, vm, how) in FAILURES {
        let circumstances = match after {
            Some(_) => [TakesOverVm, TakesTurn],
            None => [LeavesVm, LeavesVm],
        };
        let steps = steps(before, after, Effect::Rebootstrap, &circumstances);
        let index = steps.iter().position(|step| *step == failed).unwrap();
        let back = ways_back(kind, &steps[..=index], vm);
        let kind = format!("{kind:?}").to_lowercase();
        let title = format!("{kind}: {failed}{how}");
        text += &format!("{title:<50}{}\n", listed(&back));
    }
    text
}

/// Returns the fenced block of that name in ARCHITECTURE.md.
fn written(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = fs::read_to_string(path).unwrap();
    let start = format!("```{name}\n");
    let from = text
        .find(&start)
        .unwrap_or_else(|| panic!("no block {name}"))
        + start.len();
    let until = text[from..].find("```").unwrap();
    text[from..from + until].to_owned()
}

#[test]
fn an_apply_does_the_steps_that_are_written() {
    let page = page();
    assert_eq!(written("steps"), page, "{FILE} should have:\n{page}");
}

#[test]
fn a_failed_step_is_undone_as_written() {
    let page = failures();
    assert_eq!(written("failures"), page, "{FILE} should have:\n{page}");
}
