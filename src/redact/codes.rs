//! Links and codes.
//!
//! One rule holds for the new part, the quoted part and the subject alike: every link goes, and so does every run of
//! four or more digits with nothing but spaces and punctuation between them, and every word of capitals and digits
//! ("K7F-2Q9").

use super::scan::cut;

const CODE_REMOVED: &str = "[code removed]";
const LINK_REMOVED: &str = "[link removed]";

/// Replaces links and codes; see the head of this file.
pub fn redact(text: &str) -> String {
    redact_digits(&redact_words(text))
}

/// Words that are links, or parts of one, or codes of letters and digits.
fn redact_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    // The line before ended in the middle of a link.
    let mut goes_on = false;
    while !rest.is_empty() {
        let (word, after) = cut(rest, |letter| matches!(letter, ' ' | '\n'));
        let (gap, next) = cut(after, |letter| !matches!(letter, ' ' | '\n'));
        let ends_line = gap.starts_with('\n') || next.is_empty();
        let is_link = is_link(word) || goes_on && ends_line && is_part_of_link(word);
        out.push_str(if is_link {
            LINK_REMOVED
        } else if is_letter_code(word) {
            CODE_REMOVED
        } else {
            word
        });
        out.push_str(gap);
        goes_on = is_link && ends_line || word.is_empty() && goes_on;
        rest = next;
    }
    out
}

fn is_link(word: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "://", "www.", "mailto:", "__clerk", "token=", "ticket=", "code=",
    ];
    let word = word.to_ascii_lowercase();
    let has_path = word.split_once('/').is_some_and(|(host, path)| {
        let host = host.trim_start_matches(['<', '(', '[', '"', '\'']);
        !path.is_empty() && host.contains('.') && host.bytes().any(|b| b.is_ascii_lowercase())
    });
    // A ticket, or what a mail client left of a link: long, and like nothing a person writes.
    let is_token = word.len() >= 20
        && is_url_text(&word)
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_lowercase());
    has_path || is_token || SIGNS.iter().any(|sign| word.contains(sign))
}

/// A line of its own below a link, of one word like no other: long, or with signs or capitals inside.
fn is_part_of_link(word: &str) -> bool {
    let mut small_before = false;
    let has_capital_inside = word.bytes().any(|byte| {
        let is_inside = small_before && byte.is_ascii_uppercase();
        small_before = byte.is_ascii_lowercase();
        is_inside
    });
    let has_sign = word
        .bytes()
        .any(|byte| byte.is_ascii_digit() || b"=&%_/?".contains(&byte));
    is_url_text(word) && (word.len() >= 16 || has_sign || has_capital_inside)
}

fn is_url_text(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%=&?+/#:;,<>()[]\"'".contains(&byte))
}

/// As "K7F-2Q9": capitals and digits.
fn is_letter_code(word: &str) -> bool {
    let code = word.trim_matches(|letter: char| letter.is_ascii_punctuation());
    (6..=12).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
        && code.bytes().any(|byte| byte.is_ascii_digit())
        && code.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Runs of four or more digits, of any script, with nothing but spaces and punctuation between them.
fn redact_digits(text: &str) -> String {
    const DIGITS_MIN: u32 = 4;
    let mut out = String::new();
    // The run so far, what follows its last digit, and how many digits it has.
    let (mut run, mut gap, mut digits) = (String::new(), String::new(), 0_u32);
    let end_run = |out: &mut String, run: &mut String, digits: &mut u32| {
        out.push_str(if *digits >= DIGITS_MIN {
            CODE_REMOVED
        } else {
            run
        });
        run.clear();
        *digits = 0;
    };
    for letter in text.chars() {
        if is_digit(letter) {
            run.push_str(&gap);
            gap.clear();
            run.push(letter);
            digits = digits.saturating_add(1);
        } else if digits > 0 && is_between(letter) {
            gap.push(letter);
        } else {
            end_run(&mut out, &mut run, &mut digits);
            out.push_str(&gap);
            gap.clear();
            out.push(letter);
        }
    }
    end_run(&mut out, &mut run, &mut digits);
    out.push_str(&gap);
    out
}

fn is_between(letter: char) -> bool {
    letter.is_ascii_whitespace()
        || letter.is_ascii_punctuation()
        || matches!(letter, '\u{b7}' | '\u{2010}'..='\u{2027}' | '\u{2212}')
}

/// Digits people read as such: of other scripts, full-width, mathematical, circled, raised, lowered.
pub fn is_digit(letter: char) -> bool {
    matches!(letter,
        '0'..='9' | '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}'
        | '\u{7c0}'..='\u{7c9}' | '\u{966}'..='\u{96f}' | '\u{9e6}'..='\u{9ef}'
        | '\u{e50}'..='\u{e59}' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}'
        | '\u{2460}'..='\u{249b}' | '\u{24ea}'..='\u{24ff}' | '\u{2776}'..='\u{2793}'
        | '\u{ff10}'..='\u{ff19}' | '\u{1d7ce}'..='\u{1d7ff}' | '\u{1fbf0}'..='\u{1fbf9}')
}
