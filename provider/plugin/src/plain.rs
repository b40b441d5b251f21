//! Text of others in what people read: a terminal shows it and obeys nothing in it.
//!
//! The domain has the same rules for what it makes of a VM's answers; a test of the provider holds that both agree.

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

/// Returns a text with its line breaks; all else that a terminal would obey is escaped.
pub fn lines(text: String) -> String {
    let obeyed = |sign: char| deceives(sign) && sign != '\n';
    if !text.contains(obeyed) {
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
