//! `cargo xtask testbed`: manages the test bed.

use std::io::{self, Write};
use std::thread;

use bed::{Bed, Options};

use crate::cargo::{Profile, provider_binary};

/// Runs one of the commands.
pub(crate) fn run(args: &[&str]) -> Result<(), String> {
    let (words, command) = match args.iter().position(|word| *word == "--") {
        Some(place) => (&args[..place], &args[place + 1..]),
        None => (args, &[][..]),
    };
    let (verb, rest) = words.split_first().ok_or(HELP)?;
    let (flags, names) = parse(rest)?;
    match (*verb, names.as_slice(), command) {
        ("up", [], []) => up(&flags),
        ("exec", [machine], [_, ..]) => exec(&flags.name, machine, command),
        ("status", [], []) => status(&flags.name),
        ("down", [], []) => down(&flags.name),
        _ => Err(HELP.into()),
    }
}

/// Reference to the help.
const HELP: &str = "see `cargo xtask testbed --help`";

/// Parsed flags.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    name: String,
    vms: u8,
    pods: u8,
}

fn parse<'a>(words: &[&'a str]) -> Result<(Flags, Vec<&'a str>), String> {
    let mut flags = Flags {
        name: "main".into(),
        vms: 2,
        pods: 1,
    };
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            names.push(*word);
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value: {HELP}"))?;
        let number = || {
            value
                .parse::<u8>()
                .map_err(|_| format!("{word} must be a number from 0 to 80, got `{value}`"))
        };
        match *word {
            "--vms" => flags.vms = number()?,
            "--pods" => flags.pods = number()?,
            "--name" => flags.name = (*value).into(),
            _ => return Err(format!("unknown flag {word}: {HELP}")),
        }
    }
    Ok((flags, names))
}

fn up(flags: &Flags) -> Result<(), String> {
    let options = Options {
        name: flags.name.clone(),
        vms: flags.vms,
        pods: flags.pods,
    };
    let (bed, provider) = bring_up(&options, Profile::Dev)?;
    say(&bed.document().to_string())?;
    provider.map_err(|error| format!("the bed is up, but without a provider: {error}"))
}

/// Brings up a bed and builds the provider for it. The second part of the result is that of the build.
///
/// # Errors
/// Fails if the bed does not come up.
pub(crate) fn bring_up(
    options: &Options,
    profile: Profile,
) -> Result<(Bed, Result<(), String>), String> {
    // In parallel, because they are independent.
    let (bed, provider) = thread::scope(|scope| {
        let provider =
            scope.spawn(move || provider_binary(profile).map_err(|error| error.to_string()));
        let bed = Bed::up(options).map_err(|error| error.chain());
        eprintln!("testbed: waiting for the build of the provider");
        (
            bed,
            provider
                .join()
                .unwrap_or_else(|_| Err("the build panicked".into())),
        )
    });
    let mut bed = bed?;
    let used = provider.and_then(|binary| bed.use_provider(&binary).map_err(|error| error.chain()));
    Ok((bed, used))
}

fn exec(name: &str, machine: &str, words: &[&str]) -> Result<(), String> {
    let bed = Bed::attach(name).map_err(|error| error.chain())?;
    let command = bed
        .machine(machine)
        .and_then(|machine| machine.command(words));
    let status = command
        .map_err(|error| error.chain())?
        .status()
        .map_err(|error| error.to_string())?;
    // Scripts expect the command's own exit code.
    std::process::exit(status.code().unwrap_or(1))
}

fn status(name: &str) -> Result<(), String> {
    let bed = Bed::attach(name).map_err(|error| error.chain())?;
    for (part, runs) in bed.status() {
        say(&format!("{part}: {}", if runs { "running" } else { "off" }))?;
    }
    say(&format!("logs and keys: {}", bed.folder().display()))
}

fn down(name: &str) -> Result<(), String> {
    let was_there = bed::down(name).map_err(|error| error.chain())?;
    let outcome = if was_there {
        "is gone"
    } else {
        "does not exist"
    };
    eprintln!("testbed: bed `{name}` {outcome}");
    Ok(())
}

fn say(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("cannot write to stdout: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_names_may_come_in_any_order() {
        let (flags, names) = parse(&["--vms", "3", "vm-1", "--name", "other"]).unwrap();
        assert_eq!(
            flags,
            Flags {
                name: "other".into(),
                vms: 3,
                pods: 1
            }
        );
        assert_eq!(names, ["vm-1"]);
    }

    #[test]
    fn a_wrong_flag_is_named() {
        for (words, expected) in [
            (["--vms", "many"], "got `many`"),
            (["--pod", "1"], "unknown flag --pod"),
        ] {
            let message = parse(&words).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
