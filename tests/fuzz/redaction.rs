//! Codes, tokens and links in every disguise: none comes out. The bytes of an input decide what is hidden, and how.

use crate::choices::Choices;
use clerk_nylas_relay::redact::text::{Redacted, TEXT_BYTES_MAX, redact_body, subject};
use std::collections::HashSet;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The zeros of scripts whose digits follow each other.
const ZEROS: [u32; 16] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xe50, 0x17e0, 0x1810, 0xa620, 0xff10, 0x104a0,
    0x1d7ce, 0x1d7ec, 0x1e950, 0x1fbf0,
];

const BETWEEN: [&str; 26] = [
    "", " ", "\n", "-", " - ", ".", "/", "|", "\u{200b}", "\u{ad}", "\u{332}", "\u{5b4}",
    "\u{93f}", "\u{20dd}", "\u{3001}", "\u{30fb}", "\u{30fc}", "·", "…", "\n> ", "*", "_", "😀",
    "\u{a0}", "→", "\u{2bc}",
];

const AROUND: [&str; 26] = [
    "", "*", "**", "\"", "“", "”", "‘", "’", "„", "«", "»", "|", "!", "@", "(", ")", "[", "]", "<",
    "_", "…", "*\"", "「", "\\", "^", "~",
];

const PROSE: [&str; 14] = [
    "",
    "hello ",
    "my code is ",
    "see: ",
    "no, ",
    "it says\n",
    "> quoted\n",
    "wrong (",
    "<p>",
    "<br>",
    "&nbsp;",
    "— ",
    "код: ",
    "代码",
];

/// How a mail program marks the lines of what it quotes.
const MARKS: [&str; 8] = ["", "> ", ">", ">> ", "> > ", "  ", "\t", "| "];

/// As link detectors are misled.
const DISGUISED_LINKS: [(&str, &str); 12] = [
    ("", ""),
    ("https", "hxxps"),
    ("://", "[:]//"),
    (".", "[.]"),
    (".", "(dot)"),
    ("/", "\u{2215}"),
    ("/", "\u{29f8}"),
    ("/", "\u{ff0f}"),
    (".", "\u{3002}"),
    (".", "\u{ff0e}"),
    ("https://", ""),
    ("https://", "//"),
];

const SMALL: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const CAPITAL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const ANY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &str = "0123456789abcdef";

/// What must not come out.
enum Hidden {
    /// Four digits without a letter between.
    Digits,
    /// All of it, in small letters.
    Code(String),
    /// Sixteen of its characters.
    Token(String),
    /// The name of the host.
    Link,
}

/// Its inputs are no text.
pub const WORDS: &[&str] = &[];

pub fn execute(input: &[u8]) {
    let (body, hidden) = make(input);
    let redacted = redact_body(&body);
    assert_nothing_left(&body, &redacted, &hidden);
    // The same redaction, of one line.
    if input.len().is_multiple_of(4) {
        let subject = subject(&body);
        assert!(longest_run(&subject) < 4, "{body:?} -> {subject:?}");
    }
}

/// The body alone.
pub fn body(input: &[u8]) -> String {
    make(input).0
}

fn make(input: &[u8]) -> (String, Hidden) {
    let mut choices = Choices(input);
    let choices = &mut choices;
    match choices.below(7) {
        0 => digits(choices),
        1 => marked_up_digits(choices),
        2 => letters_and_digits(choices),
        3 => capitals(choices),
        4 => alone(choices),
        5 => wrapped(choices),
        _ => link(choices),
    }
}

fn assert_nothing_left(body: &str, redacted: &Redacted, hidden: &Hidden) {
    for part in [&redacted.text, &redacted.quoted] {
        assert!(part.len() <= TEXT_BYTES_MAX);
        assert!(longest_run(part) < 4, "{body:?} -> {part:?}");
        match hidden {
            Hidden::Digits => {}
            Hidden::Code(code) => assert!(!core(part).contains(code), "{body:?} -> {part:?}"),
            Hidden::Token(token) => assert_no_piece(body, part, token),
            Hidden::Link => assert!(!part.contains("acme"), "{body:?} -> {part:?}"),
        }
    }
}

/// The longest run of digits with no letter between, in what is left.
pub fn longest_run(text: &str) -> usize {
    let (mut run, mut longest) = (0, 0);
    for letter in text.nfkc() {
        if letter.is_numeric() {
            run += 1;
            longest = longest.max(run);
        } else if letter.is_alphabetic() && !is_combining_mark(letter) {
            run = 0;
        }
    }
    longest
}

/// Nothing of a token is left: no 16 characters in a line, and no 24 in lines that follow each other.
pub fn assert_no_piece(body: &str, part: &str, token: &str) {
    let secret = core(token);
    // The words before it may end as a piece of it begins; those after it are of another script.
    let left = PROSE
        .iter()
        .filter(|prose| !prose.is_empty())
        .fold(part.to_owned(), |left, prose| {
            left.replace(prose.trim(), "\0")
        });
    let has_piece = |left: &str, length: usize| {
        let left = core(left);
        let left = left.as_bytes();
        left.len() >= length && {
            let pieces: HashSet<&[u8]> = secret.as_bytes().windows(length).collect();
            left.windows(length).any(|piece| pieces.contains(piece))
        }
    };
    let is_left = left.lines().any(|line| has_piece(line, 16)) || has_piece(&left, 24);
    assert!(!is_left, "{body:?} -> {part:?}");
}

/// Letters and digits alone, in small letters, whatever line they are in; what was removed parts them.
pub fn core(text: &str) -> String {
    text.replace("[code removed]", "\0")
        .replace("[link removed]", "\0")
        .nfkc()
        .filter(|letter| *letter == '\0' || letter.is_ascii_alphanumeric())
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

fn spread(code: &str, between: &str) -> String {
    let letters: Vec<String> = code.chars().map(String::from).collect();
    letters.join(between)
}

fn full_width(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '!'..='~' => char::from_u32(letter as u32 - 0x21 + 0xff01).unwrap(),
            _ => letter,
        })
        .collect()
}

/// Of letters and digits, with one of each.
fn mixed(choices: &mut Choices<'_>, alphabet: &str, at_least: usize, at_most: usize) -> String {
    let mut code = choices.letters(alphabet, at_least, at_most);
    let has = |is_it: fn(&u8) -> bool| code.bytes().any(|byte| is_it(&byte));
    let (has_letter, has_digit) = (has(u8::is_ascii_alphabetic), has(u8::is_ascii_digit));
    if !has_letter {
        code.replace_range(0..1, if alphabet == CAPITAL { "K" } else { "k" });
    }
    if !has_digit {
        code.replace_range(1..2, "7");
    }
    code
}

/// In HTML: each character in an element, a cell or an entity of its own.
fn marked_up(choices: &mut Choices<'_>, code: &str) -> String {
    match choices.below(10) {
        0 => format!("<b>{}</b>", spread(code, "</b><b>")),
        1 => format!(
            "<table><tr><td>{}</td></tr></table>",
            spread(code, "</td><td>")
        ),
        2 => format!("<p>{}", spread(code, "<br>")),
        3 => format!("<p>{}", spread(code, "</td></tr><tr><td>")),
        4 => format!("<p>{}", spread(code, "&#8203;")),
        5 => format!("<p>{}", spread(code, "<i hidden>x</i>")),
        6 => format!("<p>{}", spread(code, "<!-- x -->")),
        7 => format!("<p>{}", spread(code, "&nbsp;")),
        8 => format!(
            "<p>{}",
            spread(code, "<span style=\"font-size:0\">x</span>")
        ),
        _ => {
            let entities: String = code
                .chars()
                .map(|letter| format!("&#{};", letter as u32))
                .collect();
            format!("<p>{entities}")
        }
    }
}

fn digits(choices: &mut Choices<'_>) -> (String, Hidden) {
    let code = choices.letters("0123456789", 4, 10);
    let zero = choices.pick(&ZEROS);
    let code: String = code
        .bytes()
        .filter_map(|digit| char::from_u32(u32::from(digit) - 48 + zero))
        .collect();
    let written = spread(&code, choices.pick(&BETWEEN));
    let (before, open) = (choices.pick(&PROSE), choices.pick(&AROUND));
    let soup = choices.letters("abcdefz <>/\"='&;\n", 0, 40);
    let body = if choices.below(2) == 0 {
        format!("{before}{open}{written}{open}")
    } else {
        format!("{soup} {written} {soup}")
    };
    (body, Hidden::Digits)
}

fn marked_up_digits(choices: &mut Choices<'_>) -> (String, Hidden) {
    let code = choices.letters("0123456789", 4, 10);
    let written = marked_up(choices, &code);
    let before = choices.letters("abz &;\n", 0, 40);
    let after = choices.letters("abz <>/&;\n", 0, 40);
    (
        format!("<p>{before}</p>{written}<p>{after}"),
        Hidden::Digits,
    )
}

fn letters_and_digits(choices: &mut Choices<'_>) -> (String, Hidden) {
    let alphabet = choices.pick(&[SMALL, CAPITAL, ANY]);
    let code = mixed(choices, alphabet, 6, 12);
    let (before, open) = (choices.pick(&PROSE), choices.pick(&AROUND));
    let (first, second) = code.split_at(code.len() / 2);
    let is_capital = !code.bytes().any(|byte| byte.is_ascii_lowercase());
    // Halves of one length, or capitals.
    let may_part = is_capital || code.len().is_multiple_of(2);
    let written = match choices.below(8) {
        0 => code.clone(),
        1 => full_width(&code),
        2 if may_part => format!("{first}-{second}"),
        3 if may_part => format!("{first}/{second}"),
        4 => spread(&code, " "),
        5 => spread(&code, "-"),
        6 => spread(&code, "\u{332}"),
        _ => {
            let written = marked_up(choices, &code);
            return (
                format!("<p>x</p>{written}"),
                Hidden::Code(code.to_lowercase()),
            );
        }
    };
    (
        format!("{before}{open}{written}{open} is it"),
        Hidden::Code(code.to_lowercase()),
    )
}

fn capitals(choices: &mut Choices<'_>) -> (String, Hidden) {
    // No word that people shout begins with one of these.
    let first = choices.letters("FGHJKMOQXZ", 1, 1);
    let code = first + &choices.letters(&CAPITAL[..26], 5, 9);
    let (before, open) = (choices.pick(&PROSE), choices.pick(&AROUND));
    let (first, second) = code.split_at(code.len() / 2);
    let written = match choices.below(6) {
        0 => code.clone(),
        1 => full_width(&code),
        2 => format!("{first}-{second}"),
        3 => spread(&code, " "),
        4 => spread(&code, "\u{332}"),
        _ => spread(&code, "."),
    };
    (
        format!("{before}{open}{written}{open} is it"),
        Hidden::Code(code.to_lowercase()),
    )
}

/// A ticket: a JSON Web Token, base64, hexadecimal, a UUID, base32.
fn token(choices: &mut Choices<'_>) -> String {
    let token = match choices.below(5) {
        0 => {
            let (head, claims) = (
                choices.letters(BASE64, 20, 60),
                choices.letters(BASE64, 20, 80),
            );
            format!("eyJ{head}.eyJ{claims}.{}", choices.letters(BASE64, 43, 43))
        }
        1 => mixed(choices, BASE64, 22, 64),
        2 => mixed(choices, HEX, 32, 64),
        3 => {
            let mut part = |length| choices.letters(HEX, length, length);
            format!(
                "{}-{}-4{}-a{}-{}",
                part(8),
                part(4),
                part(3),
                part(3),
                part(12)
            )
        }
        _ => mixed(choices, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 26, 40),
    };
    // Without signs it must still be long, and like one of chance it has a digit now and then.
    let signs = token.bytes().filter(|byte| b"-_".contains(byte)).count();
    let token = if signs < 3 || token.len() > 80 {
        token
    } else {
        token.replace(['-', '_'], "x")
    };
    let like_chance = |(at, letter): (usize, char)| match at % 12 {
        1 if letter.is_ascii_alphanumeric() => '7',
        _ => letter,
    };
    format!("k{token}")
        .chars()
        .enumerate()
        .map(like_chance)
        .collect()
}

fn alone(choices: &mut Choices<'_>) -> (String, Hidden) {
    let token = token(choices);
    let (before, open, close) = (
        choices.pick(&PROSE),
        choices.pick(&AROUND),
        choices.pick(&AROUND),
    );
    let written = if choices.below(2) == 0 {
        token.clone()
    } else {
        full_width(&token)
    };
    (
        format!("{before}{open}{written}{close} и ещё"),
        Hidden::Token(token),
    )
}

/// However a mail program breaks and marks a quoted link.
fn wrapped(choices: &mut Choices<'_>) -> (String, Hidden) {
    let token = token(choices);
    let width = 16 + choices.below(84);
    let open = choices.pick(&AROUND);
    let scheme = choices.pick(&["https://", "http://", ""]);
    let query = choices.pick(&["__clerk_ticket=", "token=", "x="]);
    let prefix = match choices.below(4) {
        0 => String::new(),
        _ => format!("{scheme}accounts.acme.example/v1/verify?{query}"),
    };
    let prose = choices.pick(&PROSE).replace(['\n', '<', '>'], "");
    let written: Vec<char> = format!("{prose}{open}{prefix}{token}{open} и ещё")
        .chars()
        .collect();
    let lines: Vec<String> = written
        .chunks(width)
        .map(|line| line.iter().collect())
        .collect();
    let mark = choices.pick(&MARKS);
    let body = match choices.below(3) {
        0 => {
            let lines: Vec<String> = lines
                .iter()
                .map(|line| line.replace('&', "&amp;").replace('<', "&lt;"))
                .collect();
            format!("<p>x</p><blockquote>{}</blockquote>", lines.join("<br>"))
        }
        is_marked_after => {
            let after = if is_marked_after == 1 { mark } else { "" };
            let lines = lines.join(&format!("\n{after}"));
            format!("Not me\n\n{mark}Verification code\n{mark}{lines}\n")
        }
    };
    (body, Hidden::Token(token))
}

fn link(choices: &mut Choices<'_>) -> (String, Hidden) {
    let (from, to) = choices.pick(&DISGUISED_LINKS);
    let plain = choices.pick(&[
        "https://acme.example/verify",
        "https://accounts.acme.example/v1/verify?x=y",
        "https://acme.example?code=abc",
        "https://acme.рф/путь",
    ]);
    let link = if from.is_empty() {
        plain.to_owned()
    } else {
        plain.replace(from, to)
    };
    let (before, open, close) = (
        choices.pick(&PROSE),
        choices.pick(&AROUND),
        choices.pick(&AROUND),
    );
    (format!("{before}{open}{link}{close} is it"), Hidden::Link)
}
