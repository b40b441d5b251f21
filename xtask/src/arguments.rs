//! Error of a command for invalid arguments.

/// A command was called with invalid arguments. Its help lists the valid ones.
#[derive(Debug)]
pub(crate) struct WrongArguments;

impl std::fmt::Display for WrongArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("invalid arguments")
    }
}

impl std::error::Error for WrongArguments {}
