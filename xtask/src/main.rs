//! The commands of this project: `cargo xtask COMMAND`.

use std::process::ExitCode;

mod codegen;

const USAGE: &str = "usage: cargo xtask COMMAND

  codegen [--check]   writes the generated code of the wire types";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
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
