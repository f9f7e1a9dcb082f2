//! One spelling of each character, and what counts as a digit.

use super::marks::MARKS;

/// A text without what cannot be seen, and with one spelling of each character (Unicode's NFKC): full-width,
/// mathematical, circled and raised letters and digits become ordinary ones.
///
/// What is searched is also what is handed on, so that nothing is read there that was not seen here.
pub fn normalise(text: &str) -> String {
    nfkc(&text.chars().filter_map(visible).collect::<String>())
}

/// The runtime's own NFKC: a table of the same in the Worker takes 32 kB compressed (`icu_normalizer`) or 68
/// (`unicode-normalization`). It is part of JavaScript and not of Workers, so it needs no port.
#[cfg(target_arch = "wasm32")]
fn nfkc(text: &str) -> String {
    js_sys::JsString::from(text).normalize("NFKC").into()
}

#[cfg(not(target_arch = "wasm32"))]
fn nfkc(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    text.nfkc().collect()
}

/// A digit of any script: Unicode's decimal digits, and the other numbers (circled, Roman) that NFKC leaves as they
/// are.
pub fn is_digit(letter: char) -> bool {
    letter.is_numeric()
}

/// What may stand between the digits or the letters of one code: everything but letters and digits.
pub fn is_between(letter: char) -> bool {
    !letter.is_alphanumeric() || is_mark(letter)
}

/// Unicode calls some combining marks, and some letters that look like punctuation, alphabetic.
pub fn is_mark(letter: char) -> bool {
    MARKS
        .binary_search_by(|(first, last)| {
            if *last < letter {
                std::cmp::Ordering::Less
            } else if *first > letter {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

/// A character as it may be handed on. `None`: it cannot be seen.
pub fn visible(letter: char) -> Option<char> {
    match letter {
        '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        '\t'
        | '\u{b}'
        | '\u{c}'
        | '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{202f}'
        | '\u{205f}'
        | '\u{2800}'
        | '\u{3000}' => Some(' '),
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{20e3}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        _ => Some(letter),
    }
}

#[cfg(test)]
mod tests;
