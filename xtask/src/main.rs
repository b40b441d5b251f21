//! The commands of this project: `cargo xtask COMMAND`.

use std::process::ExitCode;

mod bench;
mod cargo;
mod codegen;
mod demo;
mod docs;
mod examples;
mod fresh;
#[cfg(test)]
mod imports;
mod install;
mod libtest;
mod page;
#[cfg(test)]
mod sizes;
mod summary;
mod terraform;
mod test;
mod testbed;
#[cfg(test)]
mod tidy;
mod tools;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo [--keep] [--name NAME]
                        examples/talk-demo on a real mesh, step by step; --keep: leaves it up
  fresh [--keep]        set-up and demo as on a machine that has built and fetched nothing; --keep: leaves its files
  test [--unit]         runs everything that must hold; --unit: what needs neither root nor the bed
  install [--dir DIR]   puts the release binary where `terraform init` finds it, or into a mirror
  testbed up|exec|status|down
                        a real mesh with VMs and pods on this machine; `testbed` alone tells more
  bench                 measures the pure core's plans, and start, memory, size and round trips of the release binary
  docs [--check]        writes the registry's pages from the provider's own schema
  codegen [--check]     writes the generated code of the wire types";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["demo", rest @ ..] => demo::run(rest),
        ["fresh", rest @ ..] => fresh::run(rest),
        ["test", rest @ ..] => test::run(rest),
        ["install", rest @ ..] => install::run(rest),
        ["testbed", rest @ ..] => testbed::run(rest).map_err(Into::into),
        ["bench", rest @ ..] => bench::run(rest),
        ["docs", rest @ ..] => docs::run(rest),
        ["codegen", rest @ ..] => codegen::run(rest),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
