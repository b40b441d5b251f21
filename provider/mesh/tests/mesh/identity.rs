use mesh::identity::{Identity, SeenNamespace, Verdict};

use crate::sample::p;

const UIDS: [Option<&str>; 3] = [None, Some("a"), Some("b")];

fn verdict(
    known: (Option<&str>, Option<&str>),
    namespace: &SeenNamespace,
    entry: Option<&str>,
) -> String {
    let (of_namespace, of_entry) = known;
    let state = Identity {
        namespace: of_namespace,
        entry: of_entry,
    };
    match state.compare(&p("bookinfo/ratings-vm-1"), namespace, entry) {
        Verdict::Same => "same".to_owned(),
        Verdict::Unknown => "unknown".to_owned(),
        Verdict::Other(finding) => finding.to_string(),
    }
}

#[test]
fn the_uid_of_the_namespace_decides_whatever_the_entry_has() {
    for (known, seen) in UIDS
        .into_iter()
        .flat_map(|known| UIDS.map(|seen| (known, seen)))
    {
        let is = |uid: &str| verdict((Some("a"), known), &SeenNamespace::Uid(uid.into()), seen);
        assert_eq!(is("a"), "same");
        let line = "Namespace bookinfo: metadata.uid is 'b', should be 'a'";
        assert_eq!(is("b"), line);
        let absent = verdict((Some("a"), known), &SeenNamespace::Absent, seen);
        assert_eq!(absent, "Namespace bookinfo is missing");
    }
}

#[test]
fn where_the_namespace_is_not_known_the_uid_of_the_entry_decides() {
    let unknown = [
        (Some("n"), SeenNamespace::Hidden),
        (None, SeenNamespace::Hidden),
        (None, SeenNamespace::Uid("n".into())),
    ];
    for (known, namespace) in unknown {
        let is = |state, entry| verdict((known, state), &namespace, entry);
        assert_eq!(is(Some("a"), Some("a")), "same");
        let line = "WorkloadEntry bookinfo/ratings-vm-1: metadata.uid is 'b', should be 'a'";
        assert_eq!(is(Some("a"), Some("b")), line);
        // A UID that one side does not know is never equal.
        for (state, entry) in [(None, None), (Some("a"), None), (None, Some("a"))] {
            assert_eq!(is(state, entry), "unknown");
        }
    }
}
