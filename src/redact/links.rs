//! Links and tokens.

use super::{
    LINK_REMOVED,
    normal::{is_between, is_digit},
    words::{Word, is_address, replace_ranges, split_words},
};
use std::{iter, ops::Range};

/// So long a run of URL characters with a letter and a digit is no word that a person writes.
const TOKEN_LENGTH_MIN: usize = 20;

/// Removes links and tokens. The text keeps its number of lines.
pub fn redact_links(text: &str) -> String {
    let words = split_words(text);
    let mut found: Vec<Vec<Range<usize>>> = words.iter().map(|word| find(word.text)).collect();
    // The word before, and whether a line begins here. Marks of a quote, such as "|", are passed over.
    let mut before: Option<(usize, &Word<'_>)> = None;
    let mut begins_line = false;
    for (at, next) in words.iter().enumerate() {
        let is_mark = !next.ends_line() && !next.text.contains(char::is_alphanumeric);
        if begins_line && is_mark {
            continue;
        }
        if begins_line
            && let Some((at_before, word)) = before
            && let Some([found_here, .., found_next]) = found.get_mut(at_before..=at)
        {
            let is_link = found_here
                .last()
                .is_some_and(|range| range.end == word.text.len());
            if is_link && is_rest_of_link(word, next) {
                *found_next = whole(next.text);
            } else if is_token_in_two_lines(word.text, next.text) {
                *found_here = whole(word.text);
                *found_next = whole(next.text);
            }
        }
        begins_line = next.ends_line();
        before = Some((at, next));
    }
    let mut out = String::with_capacity(text.len());
    for (word, found) in words.iter().zip(&found) {
        replace_ranges(&mut out, word.text, found, LINK_REMOVED);
        out.push_str(word.gap);
    }
    out
}

/// Which parts of a word are links: the whole word, but for scripts that write without spaces.
fn find(word: &str) -> Vec<Range<usize>> {
    let is_unsafe = |text: &str| is_link(text) || has_token(text);
    if !word.contains(is_written_without_spaces) {
        return if is_unsafe(word) {
            whole(word)
        } else {
            Vec::new()
        };
    }
    let mut found = Vec::new();
    let mut start = 0;
    for piece in word.split_inclusive(is_written_without_spaces) {
        let end = piece.len().saturating_add(start);
        let piece = piece.trim_end_matches(is_written_without_spaces);
        if is_unsafe(piece) {
            // The host itself is in that script.
            let goes_on = fold(piece).ends_with(['/', ':']);
            found.push(
                start..if goes_on {
                    word.len()
                } else {
                    piece.len().saturating_add(start)
                },
            );
            if goes_on {
                break;
            }
        }
        start = end;
    }
    if found.is_empty() && is_link(word) {
        found.push(0..word.len());
    }
    found
}

fn whole(word: &str) -> Vec<Range<usize>> {
    iter::once(0..word.len()).collect()
}

/// Thai, Lao, Burmese, Khmer, Chinese, Japanese; Korean, which adds its endings to a link. Their dots may be those of a
/// host name.
fn is_written_without_spaces(letter: char) -> bool {
    !matches!(letter, '\u{3002}' | '\u{30fb}')
        && matches!(letter,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_link(word: &str) -> bool {
    const SIGNS: [&str; 13] = [
        "://",
        "http:",
        "https:",
        "hxxp",
        "http//",
        "www.",
        "mailto:",
        "javascript:",
        "__clerk",
        "token=",
        "ticket=",
        "code=",
        "data:text",
    ];
    const DEFANGED: [&str; 8] = ["[.]", "(.)", "{.}", "[dot]", "(dot)", "{dot}", "[:]", "[/]"];
    // Most words are only letters, and no link.
    if word.chars().all(char::is_alphanumeric) {
        return false;
    }
    let lower = word.to_ascii_lowercase();
    let folded = fold(word);
    DEFANGED.iter().any(|sign| lower.contains(sign))
        || SIGNS.iter().any(|sign| folded.contains(sign))
        || folded.starts_with("//") && folded.contains('.')
        || has_host_and_path(&folded)
}

/// A word in small letters, without brackets and bold type, and with the slashes, colons and dots that look alike as
/// one.
fn fold(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let mut folded = String::with_capacity(lower.len());
    let mut rest = lower.chars().peekable();
    let mut is_after_ascii = false;
    while let Some(letter) = rest.next() {
        let is_in_ascii = is_after_ascii || rest.peek().is_some_and(char::is_ascii_alphanumeric);
        is_after_ascii = letter.is_ascii_alphanumeric();
        match letter {
            '\\' | '\u{1735}' | '\u{2041}' | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{2571}'
            | '\u{2572}' | '\u{27cb}' | '\u{27cd}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}'
            | '\u{3033}' | '\u{1d23a}' => {
                folded.push('/');
            }
            '\u{2d0}' | '\u{5c3}' | '\u{2236}' | '\u{a789}' => folded.push(':'),
            // The full stop of Chinese and Japanese is a dot in host names, and ends a sentence elsewhere.
            '\u{3002}' | '\u{b7}' | '\u{2027}' | '\u{30fb}' | '\u{6d4}' | '\u{a4f8}'
                if is_in_ascii =>
            {
                folded.push('.');
            }
            '[' | ']' | '(' | ')' | '{' | '}' | '<' | '>' | '*' | '`' => {}
            _ => folded.push(letter),
        }
    }
    folded
}

/// As "acme.example/verify", "acme.example:8443" or "acme.example?x=1", whatever stands before it in the word.
fn has_host_and_path(folded: &str) -> bool {
    let last_letter = folded.rfind(char::is_alphanumeric);
    let last_equals = folded.rfind('=');
    let mut start = 0;
    for (at, sign) in folded.char_indices() {
        if sign.is_alphanumeric() || "-._@+%".contains(sign) {
            continue;
        }
        let host = folded.get(start..at).unwrap_or_default();
        start = at.saturating_add(sign.len_utf8());
        let rest = folded.get(start..).unwrap_or_default();
        let goes_on = match sign {
            '/' | '#' => last_letter > Some(at),
            '?' => last_equals > Some(at),
            ':' => rest.starts_with(|letter: char| letter.is_ascii_digit()),
            _ => false,
        };
        if goes_on && is_host(host) {
            return true;
        }
    }
    false
}

fn is_host(name: &str) -> bool {
    let name = name.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let Some((before, top)) = name.rsplit_once('.') else {
        return false;
    };
    let is_ip_address =
        name.chars().all(|c| c.is_ascii_digit() || c == '.') && before.matches('.').count() == 2;
    is_ip_address || top.chars().count() >= 2 && top.chars().any(char::is_alphabetic)
}

/// A ticket, or what a mail program left of a link. What no URL has stands between its parts as a hyphen would; beside
/// an address it may end that: `Jane<jane@example.com>`.
fn has_token(word: &str) -> bool {
    let may_part = !word.contains('@');
    let as_in_url = |letter| match letter {
        _ if is_url_char(letter) => letter,
        _ if may_part && is_between(letter) => '-',
        _ => ' ',
    };
    word.len() >= TOKEN_LENGTH_MIN
        && word
            .chars()
            .map(as_in_url)
            .collect::<String>()
            .split(' ')
            .any(is_token)
        && !is_address(word)
}

fn is_token(run: &str) -> bool {
    run.len() >= TOKEN_LENGTH_MIN
        && run.bytes().any(|byte| byte.is_ascii_alphabetic())
        && (run.bytes().any(|byte| byte.is_ascii_digit()) || capitals_inside(run) >= 2)
        && !is_joined_words(run)
}

/// As "24-hour-authentication": at most three digits, apart from the letters of ordinary words.
fn is_joined_words(run: &str) -> bool {
    let is_number = |group: &str| group.chars().all(is_digit);
    let is_word = |group: &str| {
        group.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && group.bytes().skip(1).all(|byte| byte.is_ascii_lowercase())
    };
    let digits = run.chars().filter(|letter| is_digit(*letter)).count();
    digits <= 3
        && run
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .all(|group| is_word(group) || is_number(group))
}

/// RFC 3986's characters.
fn is_url_char(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(letter)
}

/// Capitals that follow a small letter.
fn capitals_inside(text: &str) -> usize {
    text.as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [b'a'..=b'z', b'A'..=b'Z']))
        .count()
}

/// Whether the first word of a line belongs to the link that ends the line above.
fn is_rest_of_link(link: &Word<'_>, next: &Word<'_>) -> bool {
    let is_directly_below = link.gap.matches('\n').count() == 1;
    let is_alone = next.ends_line() || next.gap.is_empty();
    let start = first_run(next.text);
    !start.is_empty() && (is_directly_below && is_alone || is_piece_of_token(start))
}

/// Whether a line ends in the first half of a token and the next one begins with its second half.
fn is_token_in_two_lines(first: &str, second: &str) -> bool {
    let is_inner = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || "-_.=%&/+~".contains(letter))
    };
    let start = first
        .rsplit(|letter| !is_url_char(letter))
        .next()
        .map_or("", trim_punctuation);
    let end = first_run(second);
    start.len().saturating_add(end.len()) >= TOKEN_LENGTH_MIN
        && is_inner(first.chars().next_back())
        && is_inner(second.chars().next())
        && is_piece_of_token(start)
        && is_piece_of_token(end)
        && !is_address(first)
        && is_token(&format!("{start}{end}"))
}

/// The first run of URL characters in a word, after what opens it.
fn first_run(word: &str) -> &str {
    let opened = word.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let run = opened.split(|letter| !is_url_char(letter)).next();
    run.map_or("", trim_punctuation)
}

/// Long, or with digits, capitals or signs where words have none.
fn is_piece_of_token(core: &str) -> bool {
    core.len() >= 4
        && (core.len() >= 16
            || capitals_inside(core) > 0
            || core
                .bytes()
                .any(|byte| byte.is_ascii_digit() || b"=&%_/?#+~".contains(&byte)))
}

fn trim_punctuation(word: &str) -> &str {
    word.trim_matches(|letter: char| !letter.is_alphanumeric())
}
