//! A whole provider: notes that exist in the state only. The tests of the plugin process start it.

use std::process::ExitCode;

use plugin::{
    Deadline, Diagnostics, Done, Paths, Planned, Provider, Registration, Resource, Rule, Stage,
    Value, object, resource,
};
use tokio::time::Instant;

const UPDATE: Rule = Rule::new(1);

object! {
    /// A note.
    struct NoteInput {
        /// What it says.
        Required text: String => UPDATE,
        /// What nobody shall see.
        Secret password: String => UPDATE,
        /// What goes wrong while it is written: `hang` or `panic`.
        Optional fault: String,
    }
}

object! {
    /// Who wrote the note.
    struct NoteOutput {
        /// Id of the process that wrote it last.
        Computed writer: u32 => UPDATE,
    }
}

struct Note;

impl Resource for Note {
    const NAME: &'static str = "toy_note";

    type Input = NoteInput;
    type Output = NoteOutput;
    type Context = ();

    fn describe_rule(_: Rule) -> &'static str {
        ""
    }

    fn check(_: &NoteInput, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    fn plan(stage: &Stage<'_, Self>) -> Planned<Self::Output> {
        let writer = match stage {
            Stage::Update { output, edits, .. } if edits.is_empty() => output.writer,
            _ => Value::Unknown,
        };
        Planned::new(NoteOutput { writer })
    }

    async fn apply(
        (): &(),
        stage: &Stage<'_, Self>,
        _: &Deadline,
        reached: &mut Option<NoteOutput>,
    ) -> Done {
        let (Stage::Create { next } | Stage::Update { next, .. }) = stage else {
            *reached = None;
            return Ok(Diagnostics::none());
        };
        *reached = Some(NoteOutput {
            writer: std::process::id().into(),
        });
        tracing::info!(?next.text, fault = ?next.fault, "written");
        match next.fault.known().map(String::as_str) {
            Some("hang") => std::future::pending().await,
            Some("panic") => panic!("as ordered"),
            _ => Ok(Diagnostics::none()),
        }
    }

    async fn read((): &(), _: &NoteInput, _: Instant, _: &mut Option<NoteOutput>) -> Done {
        Ok(Diagnostics::none())
    }
}

object! {
    /// The provider of notes.
    struct Config {
        /// Who writes.
        Optional author: String,
    }
}

struct Toy;

impl Provider for Toy {
    type Config = Config;
    type Context = ();

    fn check(_: &Config, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    fn configure(&self, _: Config) -> Result<(), Diagnostics> {
        Ok(())
    }

    fn resources() -> Vec<Registration<()>> {
        vec![resource::<Note>()]
    }
}

fn main() -> ExitCode {
    tfplugin::serve(Toy, "registry.terraform.io/test/toy")
}
