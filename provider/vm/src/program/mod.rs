//! The remote program: what it is sent ([`payload`]), what it answers ([`report`]), and how it runs
//! without SSH ([`offload`]).
//!
//! One command without any data starts it in any login shell. Standard input carries the program, the
//! data and finally the token; standard output carries the answer.
//!
//! ```text
//! command(privilege)    <- Payload::stdin: program, then lines of data, `end`
//!                       -> begin RUN, lines, heartbeats, `want token`, …, end RUN -> Reader -> Report
//!                       <- token_line, when the reader says WantsToken
//! ```
//!
//! **Invariant**: nothing here does input or output, and no value of the user's is ever a word of
//! a script: values travel as texts or base64 and become files on the VM.

mod answer;
mod certificate;
pub mod offload;
mod pack;
pub mod patience;
pub mod payload;
pub mod protocol;
mod reader;
mod refresh;
pub mod report;
mod run;
mod text;

pub use offload::{Offload, Token};
pub use pack::packed;
pub use patience::Patience;
pub use payload::{Payload, bootstrap, check, commit, observe, remove, result, revert, token_line};
pub use protocol::Verb;
pub use reader::{Event, Reader};
pub use report::{Check, Report, Verdict};
pub use run::{InvalidRunId, RunId};
pub use text::TEXT;

use protocol::Entry;

/// How the session becomes root on the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// It is root already.
    Root,
    /// By `sudo -n`, without a password.
    Sudo,
    /// The same where sudo wants a terminal (`requiretty`): it gets one that carries no data.
    SudoWithTerminal,
}

/// What the shell on the VM runs: it reads the program.
const READ: &str =
    r#"read -r program; eval "$(printf %s "$program" | base64 -d | gzip -dc)"; main"#;

/// Returns the remote command: without user data, valid in every login shell (POSIX ones, fish, tcsh).
pub fn command(privilege: Privilege) -> String {
    call(privilege, READ)
}

/// Returns the command that continues a run with the copy of the program that it left on the VM, where this is such a
/// call: nothing has to be sent then, which saves a round trip. Without the copy it fails before any line of an answer.
pub fn command_at_hand(privilege: Privilege, payload: &Payload) -> Option<String> {
    let (verb, run) = (payload.verb(), payload.run());
    let resume = Entry::Resume;
    let script = format!("exec /bin/sh /run/mesh-vm/{run}/program {resume} {verb} {run}");
    matches!(verb, Verb::Result | Verb::Commit | Verb::Revert).then(|| call(privilege, &script))
}

fn call(privilege: Privilege, script: &str) -> String {
    match privilege {
        Privilege::Root => format!("exec /bin/sh -c '{script}'"),
        Privilege::Sudo => format!("exec sudo -n /bin/sh -c '{script}'"),
        // The streams go around the terminal, which would echo them and cut long lines.
        Privilege::SudoWithTerminal => [
            r#"exec /bin/sh -c 'command -v script >/dev/null || { echo "sudo: wants a terminal, and there is no script(1)" >&2; exit 1; }; "#,
            r#"export SHELL=/bin/sh MESH="$1"; exec script -qefc "$0" /dev/null 3<&0 4>&1 5>&2 </dev/null >/dev/null 2>&1' "#,
            r#"'exec sudo -n /bin/sh -c "$MESH" <&3 >&4 2>&5 3<&- 4>&- 5>&-' '"#,
            script,
            "'",
        ]
        .concat(),
    }
}
