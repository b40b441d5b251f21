//! How a script travels: without the comments and blank lines that only readers need.

/// Returns a script without its comments and blank lines, but for the line `#!`. Only lines that begin with `#` are
/// comments; what a script prints by `<<'END'` stays as it is.
///
/// A text in quotes must have no line that begins with `#` nor an empty one: a test holds that for our scripts.
pub fn packed(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    let mut end: Option<&str> = None;
    for (at, line) in script.lines().enumerate() {
        let code = line.trim_start();
        let is_kept = end.is_some()
            || at == 0 && line.starts_with("#!")
            || !code.is_empty() && !code.starts_with('#');
        match end {
            Some(word) if line == word => end = None,
            None if is_kept => end = printed_until(line),
            _ => {}
        }
        if is_kept {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Returns the word that ends the text which a line prints by `<<'END'`, the only form in our scripts.
fn printed_until(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("<<'")?;
    rest.split_once('\'').map(|(word, _)| word)
}
