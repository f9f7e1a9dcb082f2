//! Words: what stands between white space.

use std::ops::Range;

/// A word and the white space after it. The first word of a text that begins with white space is empty.
pub struct Word<'a> {
    pub text: &'a str,
    pub gap: &'a str,
}

impl Word<'_> {
    pub fn ends_line(&self) -> bool {
        self.gap.contains('\n')
    }
}

pub fn split_words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = cut(rest, char::is_whitespace);
        let (gap, next) = cut(after, |letter| !letter.is_whitespace());
        words.push(Word { text: word, gap });
        rest = next;
    }
    words
}

/// A text up to the first character that ends it, and the rest.
fn cut(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(is_end).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// At most that many bytes of a text, whole characters.
pub fn start_of(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or_default()
}

/// At most that many bytes of a text, without a word that is cut in two: what is left of a token may look like a word.
pub fn whole_words(text: &str, bytes_max: usize) -> &str {
    let start = start_of(text, bytes_max);
    if start.len() == text.len() {
        return text;
    }
    // Scripts without spaces have no other place to cut, and tokens are ASCII.
    start.trim_end_matches(|letter: char| letter.is_ascii_graphic())
}

/// Puts `marker` in place of each range of a word.
pub fn replace_ranges(out: &mut String, word: &str, ranges: &[Range<usize>], marker: &str) {
    let mut end = 0;
    for range in ranges {
        out.push_str(word.get(end..range.start).unwrap_or_default());
        out.push_str(marker);
        end = range.end;
    }
    out.push_str(word.get(end..).unwrap_or_default());
}

/// Whether a word, without the punctuation around it, is a mail address and no token.
pub fn is_address(word: &str) -> bool {
    let core = word.trim_matches(|letter: char| !letter.is_alphanumeric());
    let Some((local, domain)) = core.split_once('@') else {
        return false;
    };
    let is_short = |part: &str| part.len() < 20 || !part.bytes().any(|byte| byte.is_ascii_digit());
    let is_label = |label: &str| {
        !label.is_empty()
            && is_short(label)
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let is_local_part = local.len() <= 64
        && !local.is_empty()
        && is_short(local)
        && local
            .chars()
            .all(|c| c.is_alphanumeric() || "._%+-".contains(c));
    is_local_part
        && domain.split('.').all(is_label)
        && domain
            .rsplit_once('.')
            .is_some_and(|(_, top)| top.len() >= 2 && top.chars().any(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token may hold an `@`, so a part of twenty letters with a digit among them is none of an address.
    #[test]
    fn a_part_of_an_address_with_digits_is_short() {
        let letters = "abcdefghijklmnopqrs";
        for address in [
            &format!("{}1@acme.example", &letters[..18]),
            &format!("{letters}t@acme.example"),
            &format!("ada@{}1.example", &letters[..18]),
            &"ada.b+c@my-acme.example".to_owned(),
            &format!("{}@acme.example", "a".repeat(64)),
        ] {
            assert!(is_address(address), "{address}");
        }
        for token in [
            &format!("{letters}1@acme.example"),
            &format!("ada@{letters}1.example"),
            &format!("{}@acme.example", "a".repeat(65)),
        ] {
            assert!(!is_address(token), "{token}");
        }
    }

    #[test]
    fn an_address_ends_in_a_top_level_domain() {
        for none in ["ada@acme.e", "ada@acme.20", "ada@192.0.2.10", "ada@acme"] {
            assert!(!is_address(none), "{none}");
        }
        assert!(is_address("ada@acme.ee"));
    }
}
