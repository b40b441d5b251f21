//! The commands of this project: `cargo xtask COMMAND`.

use std::process::ExitCode;

use commands::Call;

mod arguments;
mod bench;
mod cargo;
mod changed;
mod codegen;
mod commands;
mod demo;
mod docs;
mod examples;
mod fresh;
#[cfg(test)]
mod imports;
mod install;
mod libtest;
mod page;
mod row;
#[cfg(test)]
mod sizes;
mod summary;
mod terraform;
mod test;
mod testbed;
#[cfg(test)]
mod tidy;
mod tools;
#[cfg(test)]
mod walks;

#[expect(clippy::print_stdout, reason = "help is an answer")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match commands::read(&args) {
        Call::Help(text) => {
            println!("{text}");
            Ok(())
        }
        Call::Run(command, args) => command.run(args),
        Call::Unknown(text) => Err(text.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
