//! Lines that people read in a plan and that state keeps: bounded in number and length, with no
//! character that could deceive a terminal.

/// Lines of one side.
const MOST: usize = 20;
/// Characters of a value.
const LONGEST: usize = 80;

#[derive(Default)]
pub(super) struct Lines {
    lines: Vec<String>,
    left_out: usize,
}

impl Lines {
    pub(super) fn push(&mut self, line: String) {
        if self.lines.len() < MOST {
            self.lines.push(line);
        } else {
            self.left_out += 1;
        }
    }

    /// Adds what is, and what should be.
    pub(super) fn changed(&mut self, what: &str, is: Option<&str>, should_be: Option<&str>) {
        self.push(format!("{what} {} -> {}", quoted(is), quoted(should_be)));
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.left_out > 0 {
            self.lines.push(format!("and {} more", self.left_out));
        }
        self.lines
    }
}

/// Returns a value in quotes, `none` if there is none.
fn quoted(value: Option<&str>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("'{}'", plain(value)))
}

/// Returns a text that came from elsewhere, shortened and without control characters.
pub(super) fn plain(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    let mut short: String = text.chars().take(LONGEST).map(escape).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
