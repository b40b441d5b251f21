//! Sanitizes text from a VM, a cluster or a registry for a terminal, a plan and state: it cannot move the cursor, hide
//! or reverse text, or imitate the provider's own lines, and its length is limited.

/// Returns a text on one line, cut to `most` characters. Characters that a terminal interprets are escaped as in Rust.
pub fn line(text: &str, most: usize) -> String {
    let (mut kept, is_whole) = cut(text, most);
    if !is_whole {
        kept.push('…');
    }
    kept
}

/// Returns two texts as [`line`] does. If a cut would leave little of what differs, both begin shortly before the first
/// difference instead, with `…` for what they have in common.
pub fn pair(one: &str, other: &str, most: usize) -> (String, String) {
    let same = one.chars().zip(other.chars());
    let same = same.take_while(|(one, other)| one == other);
    let same: usize = same.map(|(sign, _)| sign.len_utf8()).sum();
    let common = &one[..same];
    let fits = |text: &str, most: usize| cut(text, most).1;
    let are_whole = fits(one, most) && fits(other, most);
    if are_whole || fits(common, most * 3 / 4) {
        return (line(one, most), line(other, most));
    }
    let starts = common.char_indices().rev().map(|(start, _)| start);
    let start = starts.take_while(|start| fits(&common[*start..], most / 4));
    let start = start.last().unwrap_or(same);
    let shown = |text: &str| format!("…{}", line(&text[start..], most - 1));
    (shown(one), shown(other))
}

/// Returns the escaped beginning of a text of at most `most` characters, and whether that is all of it.
fn cut(text: &str, most: usize) -> (String, bool) {
    let mut kept = String::new();
    let mut left = most;
    for sign in text.chars() {
        let before = kept.len();
        let count = push(&mut kept, sign);
        if count > left {
            kept.truncate(before);
            return (kept, false);
        }
        left -= count;
    }
    (kept, true)
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
    fn two_long_texts_are_cut_around_their_first_difference() {
        let same = "x".repeat(500);
        let (one, other) = (format!("{same}a{same}"), format!("{same}b"));
        let (short, longer) = (&same[..20], &same[..21]);
        for (texts, expected) in [
            (("a", "b"), ("a", "b")),
            (
                (one.as_str(), other.as_str()),
                ("…xxxxxaxxxxxxxxxxxxx…", "…xxxxxb"),
            ),
            ((&same, &one), ("…xxxxx", "…xxxxxaxxxxxxxxxxxxx…")),
            ((short, longer), ("…xxxxx", "…xxxxxx")),
            (
                (&same[..15], &one),
                ("xxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxx…"),
            ),
            // Escapes count, too.
            (
                ("\u{1b}\u{1b}\u{1b}\u{1b}a", "\u{1b}\u{1b}\u{1b}\u{1b}b"),
                ("…a", "…b"),
            ),
        ] {
            let (one, other) = pair(texts.0, texts.1, 20);
            assert_eq!((&*one, &*other), expected);
            assert_ne!(one, other);
        }
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
