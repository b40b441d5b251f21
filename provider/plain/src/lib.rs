//! Sanitizes text from a VM, a cluster or a registry for a terminal, a plan and state: it cannot move the cursor, hide
//! or reverse text, or imitate the provider's own lines, and its length is limited.

/// Returns a text on one line, cut to `most` characters. Characters that a terminal interprets are escaped as in Rust.
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

/// Returns a text of several lines, cut to `most` characters in total. All lines but the first are indented, so that
/// none looks like a line of the provider.
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
        // An empty line counts as well.
        left = left.saturating_sub(count + 1);
    }
    kept
}

/// Returns a text with its line breaks. Every other character that a terminal interprets is escaped.
pub fn with_line_breaks(text: String) -> String {
    let is_escaped = |sign: char| is_deceptive(sign) && sign != '\n';
    if !text.contains(is_escaped) {
        return text;
    }
    let mut kept = String::new();
    for sign in text.chars() {
        if sign == '\n' {
            kept.push(sign);
        } else {
            push(&mut kept, sign);
        }
    }
    kept
}

/// Returns true if a text is safe without escapes and has at most `most` characters.
pub fn is_plain(text: &str, most: usize) -> bool {
    text.chars().take(most + 1).count() <= most && !text.chars().any(is_deceptive)
}

/// Appends a character, escaped if it is deceptive. Returns the number of characters appended.
fn push(kept: &mut String, sign: char) -> usize {
    if !is_deceptive(sign) {
        kept.push(sign);
        return 1;
    }
    let escaped = sign.escape_default();
    let count = escaped.len();
    kept.extend(escaped);
    count
}

/// Returns true if a terminal interprets a character, or does not show it as what it is.
fn is_deceptive(sign: char) -> bool {
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
    fn characters_that_a_terminal_interprets_are_escaped_and_all_others_are_kept() {
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
    fn line_breaks_stay_where_they_are_wanted() {
        assert_eq!(with_line_breaks("a\nb".into()), "a\nb");
        assert_eq!(with_line_breaks("a\nb\u{1b}".into()), "a\nb\\u{1b}");
    }

    /// What is escaped once is not escaped again.
    #[test]
    fn an_escaped_text_is_plain() {
        let all: String = ('\0'..=char::MAX).collect();
        assert!(is_plain(&line(&all, usize::MAX), usize::MAX - 1));
    }

    #[test]
    fn escapes_count_towards_the_limit() {
        assert_eq!(line("abcd", 4), "abcd");
        assert_eq!(line("abcde", 4), "abcd…");
        assert_eq!(line("abc\u{1b}", 4), "abc…");
        assert_eq!(line(&"x".repeat(400_000), 80).chars().count(), 81);
        assert!(!is_plain("abcde", 4) && is_plain("abcd", 4));
        let many = lines(&"a\n".repeat(400_000), 100);
        assert!(many.len() < 400, "{many}");
    }

    #[test]
    fn all_lines_but_the_first_are_indented() {
        assert_eq!(
            lines("denied\r\n\nError: done\n", 100),
            "denied\n  \n  Error: done"
        );
        assert_eq!(lines("one", 100), "one");
    }
}
