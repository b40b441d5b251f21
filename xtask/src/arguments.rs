//! What a command answers to arguments that it does not have.

/// A command was called with arguments that it does not have: its help says which it has.
#[derive(Debug)]
pub(crate) struct WrongArguments;

impl std::fmt::Display for WrongArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the command has no such arguments")
    }
}

impl std::error::Error for WrongArguments {}
