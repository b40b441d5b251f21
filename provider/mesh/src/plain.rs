//! Text that a VM, a cluster or a registry says, made safe for a terminal, a plan and state: nothing in it moves the
//! cursor, hides or turns what stands there, or looks like a line of ours, and it is bounded.

/// Returns a text on one line, of `most` characters: what a terminal would obey is escaped as Rust does.
pub fn line(text: &str, most: usize) -> String {
    let mut kept = String::new();
    let mut left = most;
    for sign in text.chars() {
        let before = kept.len();
        let count = push(&mut kept, sign);
        if count > left {
            kept.truncate(before);
            kept.push('…');
            break;
        }
        left -= count;
    }
    kept
}

/// Returns a text of several lines, of `most` characters in all. Each but the first is indented, so that none looks like
/// a line of ours.
pub fn lines(text: &str, most: usize) -> String {
    let mut kept = String::new();
    let mut left = most;
    for part in text.trim_end().split('\n') {
        if !kept.is_empty() {
            kept.push_str("\n  ");
        }
        let shown = line(part.trim_end_matches('\r'), left);
        let count = shown.chars().count();
        kept.push_str(&shown);
        if count > left {
            break;
        }
        // An empty line counts, too.
        left = left.saturating_sub(count + 1);
    }
    kept
}

/// Whether a text is safe as it is, and no longer than `most` characters.
pub fn is_plain(text: &str, most: usize) -> bool {
    text.chars().take(most + 1).count() <= most && !text.chars().any(deceives)
}

/// Adds a character, escaped where it deceives; returns how many were added.
fn push(kept: &mut String, sign: char) -> usize {
    if !deceives(sign) {
        kept.push(sign);
        return 1;
    }
    let escaped = sign.escape_default();
    let count = escaped.len();
    kept.extend(escaped);
    count
}

/// Whether a terminal obeys a character, or shows nothing, or something else than what stands there.
fn deceives(sign: char) -> bool {
    sign.is_control()
        || matches!(sign,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_all_else_stays() {
        let cases = [
            ("1.31.0", "1.31.0"),
            ("Zürich → 東京 🙂", "Zürich → 東京 🙂"),
            (
                "\u{1b}]0;title\u{7}\u{1b}[2J",
                "\\u{1b}]0;title\\u{7}\\u{1b}[2J",
            ),
            ("a\r\nb\tc\u{0}", "a\\r\\nb\\tc\\u{0}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("safe\u{202e}txt.exe", "safe\\u{202e}txt.exe"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ];
        for (text, expected) in cases {
            assert_eq!(line(text, 100), expected);
            assert_eq!(is_plain(text, 100), text == expected, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_bounded_with_its_escapes() {
        assert_eq!(line("abcd", 4), "abcd");
        assert_eq!(line("abcde", 4), "abcd…");
        assert_eq!(line("abc\u{1b}", 4), "abc…");
        assert_eq!(line(&"x".repeat(400_000), 80).chars().count(), 81);
        assert!(!is_plain("abcde", 4) && is_plain("abcd", 4));
        let many = lines(&"a\n".repeat(400_000), 100);
        assert!(many.len() < 400, "{many}");
    }

    #[test]
    fn no_line_but_the_first_begins_as_ours() {
        assert_eq!(
            lines("denied\r\n\nError: done\n", 100),
            "denied\n  \n  Error: done"
        );
        assert_eq!(lines("one", 100), "one");
    }
}
