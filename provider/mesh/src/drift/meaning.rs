//! What a line of drift is about, in the form of today and in that of former versions: whatever state holds stays
//! readable.

use crate::change::{Cause, WAS_CHANGED};

/// A line, as far as it is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its cause; an object's line has none.
    pub cause: Option<Cause>,
    /// The object or file of which a part differs.
    pub title: Option<&'a str>,
    /// The part, e.g. `spec.labels.version`, a variable, or `the unit istio`; else the whole sentence.
    pub what: &'a str,
    /// Whether an edit of the attribute `what` is held back.
    pub is_edit: bool,
}

/// What comes after the name of what differs, today and in former versions: `owner 'a' -> 'b'`, `mode 0666 -> 0644`.
const DIFFERS: [&str; 6] = [" is ", " '", " none -> ", " 0", " differs", WAS_CHANGED];
/// The hosts file of the VM.
pub(super) const HOSTS: &str = "/etc/hosts";
/// The line in it that is ours.
pub(super) const ISTIOD_LINE: &str = "istiod's line";

impl<'a> Line<'a> {
    /// Reads a line. Any text is one.
    pub fn of(line: &'a str) -> Self {
        let cause = Cause::of_line(line);
        let text = cause
            .and_then(|_| line.split_once(": "))
            .map_or(line, |(_, text)| text);
        let end = DIFFERS.iter().filter_map(|differs| text.find(differs));
        let about = end.min().map_or(text, |end| &text[..end]);
        let (title, what) = titled(about);
        Self {
            cause,
            title,
            what,
            is_edit: cause.is_some() && text.ends_with(WAS_CHANGED),
        }
    }

    /// Returns the attribute whose edit is held back.
    pub fn edit(&self) -> Option<&'a str> {
        self.is_edit.then_some(self.what)
    }
}

/// Splits `title: what`.
fn titled(about: &str) -> (Option<&str>, &str) {
    // Former versions wrote `/etc/hosts: '10.0.0.1 istiod'`.
    if about.strip_suffix(':') == Some(HOSTS) {
        return (Some(HOSTS), ISTIOD_LINE);
    }
    match about.split_once(": ") {
        Some((title, what)) => (Some(title), what),
        None => (None, about),
    }
}
