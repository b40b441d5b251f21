//! The home folder in paths that the user writes.

use std::path::{Path, PathBuf};

/// Returns a path with the home folder in the place of a leading `~`, as a shell does. Another user's `~name` and a
/// path without a home folder stay as they are.
pub(crate) fn expand(path: &str) -> PathBuf {
    let path = Path::new(path);
    let below = path.strip_prefix("~").ok();
    match (below, std::env::home_dir()) {
        (Some(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_tilde_is_the_home_folder() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(expand("~/a/b"), home.join("a/b"));
        assert_eq!(expand("~"), home);
        for as_it_is in ["~other/a", "a/~/b", "/a", "./~"] {
            assert_eq!(expand(as_it_is), Path::new(as_it_is));
        }
    }
}
