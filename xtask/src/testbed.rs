//! `cargo xtask testbed`: the test bed for people and programs.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bed::{Bed, Options};

const USAGE: &str = "usage: cargo xtask testbed up [--vms N] [--pods N] [--name NAME]
       cargo xtask testbed exec [--name NAME] MACHINE -- COMMAND…
       cargo xtask testbed status [--name NAME]
       cargo xtask testbed down [--name NAME]";

/// Runs one of the commands.
pub(crate) fn run(args: &[&str]) -> Result<(), String> {
    let (words, command) = match args.iter().position(|word| *word == "--") {
        Some(place) => (&args[..place], &args[place + 1..]),
        None => (args, &[][..]),
    };
    let (verb, rest) = words.split_first().ok_or(USAGE)?;
    let (flags, names) = parse(rest)?;
    match (*verb, names.as_slice(), command) {
        ("up", [], []) => up(&flags),
        ("exec", [machine], [_, ..]) => exec(&flags.name, machine, command),
        ("status", [], []) => status(&flags.name),
        ("down", [], []) => down(&flags.name),
        _ => Err(USAGE.into()),
    }
}

/// What the flags say.
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
            .ok_or_else(|| format!("{word} needs a value\n{USAGE}"))?;
        let number = || {
            value
                .parse::<u8>()
                .map_err(|_| format!("{word} takes a number from 0 to 80, not `{value}`"))
        };
        match *word {
            "--vms" => flags.vms = number()?,
            "--pods" => flags.pods = number()?,
            "--name" => flags.name = (*value).into(),
            _ => return Err(format!("unknown flag {word}\n{USAGE}")),
        }
    }
    Ok((flags, names))
}

fn up(flags: &Flags) -> Result<(), String> {
    let provider_binary = provider_binary();
    let provider = build_provider();
    let options = Options {
        name: flags.name.clone(),
        vms: flags.vms,
        pods: flags.pods,
        provider_binary,
    };
    let bed = Bed::up(&options).map_err(|error| error.chain())?;
    let provider = provider.and_then(|mut cargo| cargo.wait().map_err(|error| error.to_string()));
    say(&bed.document().to_string())?;
    match provider {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the bed is up, but the provider did not build, see above".into()),
        Err(error) => Err(format!(
            "the bed is up, but cargo could not build the provider: {error}"
        )),
    }
}

/// Starts the build beside the bed: neither needs the other.
fn build_provider() -> Result<std::process::Child, String> {
    eprintln!("testbed: building the provider meanwhile");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "terraform-provider-mesh"])
        .stdout(Stdio::null());
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .spawn()
        .map_err(|error| error.to_string())
}

/// Returns the path where cargo puts the development binary.
pub(crate) fn provider_binary() -> PathBuf {
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let workspace = workspace.canonicalize().unwrap_or(workspace);
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace.join(target).join("debug/terraform-provider-mesh")
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
    // The command's own exit code is what a script wants to see.
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
    match bed::down(name).map_err(|error| error.chain())? {
        true => eprintln!("testbed: bed `{name}` is gone"),
        false => eprintln!("testbed: there is no bed `{name}`"),
    }
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
            (["--vms", "many"], "not `many`"),
            (["--pod", "1"], "unknown flag --pod"),
        ] {
            let message = parse(&words).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
