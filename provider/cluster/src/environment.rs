//! The environment that we run in.

/// Reads one environment variable.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);
