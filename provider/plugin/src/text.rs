//! Leaves that are text: parsed, secret, or the key of a map.

use std::{
    fmt::{self, Debug, Display, Formatter},
    str::FromStr,
};

use secrecy::{ExposeSecret, SecretString};

/// Text that is parsed where it enters: `Text<Namespace>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<T>(pub T);

/// Text that `Debug` does not show, and that is wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Returns the text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the secret as the rest of the program carries it.
    pub fn into_secret(self) -> SecretString {
        self.0
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Debug for SecretText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// A type that can be the key of a map.
pub trait Key: Ord + Sized {
    /// Reads the key, or returns the problem.
    fn parse_key(text: &str) -> Result<Self, String>;
    /// Writes the key.
    fn key_text(&self) -> String;
}

impl Key for String {
    fn parse_key(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn key_text(&self) -> String {
        self.clone()
    }
}

impl<T: FromStr<Err: Display> + Display + Ord> Key for Text<T> {
    fn parse_key(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|err: T::Err| err.to_string())
    }

    fn key_text(&self) -> String {
        self.0.to_string()
    }
}
