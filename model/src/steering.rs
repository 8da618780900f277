//! Characters that are no words: whoever sends one wants to break a line, to turn the reading order or to steer a terminal.

/// Characters of a text that an error repeats, at most.
const REPEATED_CHARS_MAX: usize = 64;

/// Says whether a character breaks a line, turns the reading order or steers a terminal (Unicode's Cc, the line and paragraph
/// separators, and the explicit directional formatting of UAX #9, section 2).
#[must_use]
pub fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the beginning of a text that somebody sent, fit to be repeated in a sentence, a log line or a terminal.
#[must_use]
pub fn repeatable(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !is_steering(*c)).take(chars_max).collect()
}

/// As [`repeatable`], in the length that an error repeats.
pub(crate) fn repeated(text: &str) -> String {
    repeatable(text, REPEATED_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_stays_in_its_place() {
        assert_eq!(repeatable("a\nb\u{1b}[2J\u{9b}c\u{202e}d\u{2069}\u{2028}e", 8), "ab[2Jcde");
        assert_eq!(repeatable("Zoë שרה", 5), "Zoë ש");
    }
}
