//! Commands by name: description, flags, an example, and the function that runs each.

use std::error::Error;

use crate::arguments::WrongArguments;
use crate::{bench, codegen, demo, docs, fresh, install, test, testbed};

type Done = Result<(), Box<dyn Error>>;

/// A command of `cargo xtask`.
pub(crate) struct Command {
    name: &'static str,
    /// Forms of its arguments.
    forms: &'static [&'static str],
    about: &'static str,
    /// Flags with their descriptions.
    flags: &'static [(&'static str, &'static str)],
    example: &'static str,
    run: fn(&[&str]) -> Done,
}

const NAME: (&str, &str) = (
    "--name NAME",
    "name of the bed; beds with different names can run at the same time",
);
const CHECK: (&str, &str) = (
    "--check",
    "only checks, and fails if a file is not up to date",
);

/// All commands, in the order in which a newcomer needs them.
const COMMANDS: [Command; 8] = [
    Command {
        name: "demo",
        forms: &["[--keep] [--name NAME]"],
        about: "Runs examples/talk-demo on a real mesh, step by step. Needs Linux and root.",
        flags: &[
            (
                "--keep",
                "keeps the bed running and prints how to continue by hand",
            ),
            NAME,
        ],
        example: "cargo xtask demo --keep",
        run: demo::run,
    },
    Command {
        name: "test",
        forms: &["[--unit]", "--changed [REVISION]"],
        about: "Runs all checks and tests. Needs Linux and root.",
        flags: &[
            (
                "--unit",
                "runs only checks and tests that need neither root nor the bed",
            ),
            (
                "--changed",
                "runs only what changes since REVISION (default: main) can affect",
            ),
        ],
        example: "cargo xtask test --unit",
        run: test::run,
    },
    Command {
        name: "install",
        forms: &["[--dir DIR]"],
        about: "Builds the release binary and installs it where `terraform init` finds it.",
        flags: &[(
            "--dir DIR",
            "installs into this filesystem mirror and prints the CLI configuration for it",
        )],
        example: "cargo xtask install --dir /srv/terraform-mirror",
        run: install::run,
    },
    Command {
        name: "testbed",
        forms: &[
            "up [--vms N] [--pods N] [--name NAME]",
            "exec [--name NAME] MACHINE -- COMMAND…",
            "status [--name NAME]",
            "down [--name NAME]",
        ],
        about: "Starts a real mesh with VMs and pods on this machine and keeps it running. Needs Linux and root.",
        flags: &[
            ("--vms N", "number of VMs, from 0 to 80 (default: 2)"),
            ("--pods N", "number of pods, from 0 to 80 (default: 1)"),
            NAME,
        ],
        example: "cargo xtask testbed up --vms 4 --name work",
        run: |args| testbed::run(args).map_err(Into::into),
    },
    Command {
        name: "fresh",
        forms: &["[--keep]"],
        about: "Runs set-up and demo with empty caches, as on a new machine. Needs Linux and root.",
        flags: &[("--keep", "keeps its folders for inspection")],
        example: "cargo xtask fresh",
        run: fresh::run,
    },
    Command {
        name: "bench",
        forms: &["[--start]"],
        about: "Measures planning, start, memory, size and round trips of the release binary. Needs Linux and root.",
        flags: &[(
            "--start",
            "measures only start, its memory, and size, without a bed",
        )],
        example: "cargo xtask bench",
        run: bench::run,
    },
    Command {
        name: "docs",
        forms: &["[--check]"],
        about: "Generates the registry's pages from the provider's schema.",
        flags: &[CHECK],
        example: "cargo xtask docs",
        run: docs::run,
    },
    Command {
        name: "codegen",
        forms: &["[--check]"],
        about: "Generates the code of the wire types.",
        flags: &[CHECK],
        example: "cargo xtask codegen",
        run: codegen::run,
    },
];

/// Request in the arguments of `cargo xtask`.
pub(crate) enum Call<'a> {
    /// A text to print to stdout.
    Help(String),
    /// A command with its arguments.
    Run(&'static Command, &'a [&'a str]),
    /// An invalid request, with a text that lists the commands.
    Unknown(String),
}

/// Parses the arguments of `cargo xtask`. Arguments after `--` belong to another program.
pub(crate) fn read<'a>(words: &'a [&'a str]) -> Call<'a> {
    let own = words.split(|word| *word == "--").next().unwrap_or_default();
    let asks = own.iter().any(|word| ["--help", "-h"].contains(word)) || own == ["help"];
    let named = own.first().and_then(|name| find(name));
    match (named, asks) {
        (Some(command), true) => Call::Help(command.help()),
        (Some(command), false) => Call::Run(command, &words[1..]),
        (None, true) => Call::Help(overview()),
        (None, false) => Call::Unknown(overview()),
    }
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

impl Command {
    /// Runs the command. For invalid arguments, the error contains its help.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        (self.run)(args).map_err(|error| {
            if error.is::<WrongArguments>() {
                self.help().into()
            } else {
                error
            }
        })
    }

    fn help(&self) -> String {
        let mut lines = vec![self.about.to_owned(), String::new()];
        for (at, form) in self.forms.iter().enumerate() {
            let lead = if at == 0 { "usage:" } else { "      " };
            let line = format!("{lead} cargo xtask {} {form}", self.name);
            lines.push(line.trim_end().to_owned());
        }
        lines.push(String::new());
        lines.extend(
            self.flags
                .iter()
                .map(|(flag, what)| format!("  {flag:<14}{what}")),
        );
        lines.push(format!("  {:<14}prints this help", "-h, --help"));
        lines.push(format!("\nexample: {}", self.example));
        lines.join("\n")
    }
}

fn overview() -> String {
    let mut lines = vec!["usage: cargo xtask COMMAND [--help]\n".to_owned()];
    lines.extend(
        COMMANDS
            .iter()
            .map(|command| format!("  {:<9}{}", command.name, command.about)),
    );
    lines.push("\nexample: cargo xtask demo".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(words: &[&str]) -> String {
        match read(words) {
            Call::Help(text) => text,
            Call::Run(command, _) => panic!("runs {}", command.name),
            Call::Unknown(text) => panic!("unknown: {text}"),
        }
    }

    #[test]
    fn help_of_every_command_has_forms_flags_and_an_example() {
        for command in &COMMANDS {
            for flag in ["--help", "-h"] {
                let text = help(&[command.name, flag]);
                for part in command.forms {
                    assert!(text.contains(part), "{text}");
                }
                for (flag, _) in command.flags {
                    assert!(text.contains(flag), "{text}");
                }
                let example = format!("example: cargo xtask {}", command.name);
                assert!(text.contains(&example), "{text}");
            }
        }
    }

    #[test]
    fn help_lists_every_command() {
        for words in [&["--help"][..], &["-h"], &["help"]] {
            let text = help(words);
            for command in &COMMANDS {
                assert!(text.contains(command.name), "{text}");
            }
        }
    }

    #[test]
    fn arguments_after_two_dashes_are_not_parsed() {
        let words = ["testbed", "exec", "vm-1", "--", "ls", "--help"];
        assert!(
            matches!(read(&words), Call::Run(command, args) if command.name == "testbed" && args.len() == 5)
        );
        assert!(matches!(read(&["no-such"]), Call::Unknown(_)));
    }
}
