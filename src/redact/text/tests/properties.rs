//! What holds for every code and token, in every disguise. `REDACT_CASES=1000000 cargo test --lib redact` looks longer.

use super::*;
use crate::redact::normal::{is_between, is_digit, normalise};
use proptest::prelude::*;

fn cases(by_default: u32) -> ProptestConfig {
    let asked = std::env::var("REDACT_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        // Codes without a letter or a digit are thrown away.
        max_global_rejects: u32::MAX,
        max_local_rejects: u32::MAX,
        ..ProptestConfig::with_cases(asked.unwrap_or(by_default))
    }
}

/// The zeros of the scripts whose digits follow each other.
const ZEROS: [u32; 16] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xe50, 0x17e0, 0x1810, 0xa620, 0xff10, 0x104a0,
    0x1d7ce, 0x1d7ec, 0x1e950, 0x1fbf0,
];

const BETWEEN: [&str; 24] = [
    "", " ", "\n", "-", " - ", ".", "/", "|", "\u{200b}", "\u{ad}", "\u{332}", "\u{5b4}",
    "\u{93f}", "\u{20dd}", "\u{3001}", "\u{30fb}", "\u{30fc}", "·", "…", "\n> ", "*", "_", "😀",
    "\u{a0}",
];

const AROUND: [&str; 22] = [
    "", "*", "**", "\"", "“", "”", "‘", "’", "„", "«", "»", "|", "!", "@", "(", ")", "[", "]", "<",
    "_", "…", "*\"",
];

const PROSE: [&str; 12] = [
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
];

/// In another script, with something between the characters.
fn disguised_digits(code: &str, zero: u32, between: &str) -> String {
    let digits: Vec<String> = code
        .bytes()
        .filter_map(|digit| char::from_u32(u32::from(digit) - 48 + zero))
        .map(String::from)
        .collect();
    digits.join(between)
}

fn full_width(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '!'..='~' => char::from_u32(letter as u32 - 0x21 + 0xff01).unwrap(),
            _ => letter,
        })
        .collect()
}

/// As HTML: each character in an element, a cell or an entity of its own.
fn marked_up(code: &str, way: u8) -> String {
    let spread = |between: &str| {
        let letters: Vec<String> = code.chars().map(String::from).collect();
        letters.join(between)
    };
    match way {
        0 => format!("<b>{}</b>", spread("</b><b>")),
        1 => format!("<table><tr><td>{}</td></tr></table>", spread("</td><td>")),
        2 => format!("<p>{}", spread("<br>")),
        3 => format!("<p>{}", spread("</td></tr><tr><td>")),
        4 => format!("<p>{}", spread("&#8203;")),
        5 => format!("<p>{}", spread("<i hidden>x</i>")),
        6 => format!("<p>{}", spread("<!-- x -->")),
        7 => format!("<p>{}", spread("&nbsp;")),
        _ => {
            let entities: String = code
                .chars()
                .map(|letter| format!("&#{};", letter as u32))
                .collect();
            format!("<p>{entities}")
        }
    }
}

/// Letters and digits alone, in small letters.
fn core(text: &str) -> String {
    normalise(text)
        .replace("[code removed]", "\n")
        .replace("[link removed]", "\n")
        .to_lowercase()
        .chars()
        .filter(|letter| *letter == '\n' || !is_between(*letter))
        .collect()
}

/// The longest run of digits with no letter between, in what is left.
fn longest_run(text: &str) -> usize {
    let (mut run, mut longest) = (0, 0);
    for letter in normalise(text).chars() {
        if is_digit(letter) {
            run += 1;
            longest = longest.max(run);
        } else if !is_between(letter) {
            run = 0;
        }
    }
    longest
}

fn parts(body: &str) -> [String; 2] {
    let redacted = redact_body(body);
    [redacted.text, redacted.quoted]
}

/// Nothing of 16 characters in a row is left of a token.
fn assert_no_piece(body: &str, token: &str) -> Result<(), TestCaseError> {
    let secret = core(token);
    for part in parts(body) {
        let left = core(&part).replace('\n', " ");
        for start in 0..=secret.len() - 16 {
            let piece = &secret[start..start + 16];
            prop_assert!(
                !left.contains(piece),
                "{piece} is left of {body:?}: {part:?}"
            );
        }
    }
    Ok(())
}

fn has_letter_and_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Tickets, as JSON Web Tokens, base64, hexadecimal and UUIDs.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        "eyJ[A-Za-z0-9_-]{20,60}\\.eyJ[A-Za-z0-9_-]{20,80}\\.[A-Za-z0-9_-]{43}",
        "[A-Za-z0-9_-]{22,64}",
        "[0-9a-f]{32,64}",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "[A-Z2-7]{26,40}",
    ]
    .prop_filter("a letter and a digit", |token| has_letter_and_digit(token))
    .prop_filter("long enough without signs", |token| core(token).len() >= 20)
}

fn html_soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "<[a-z/!]{0,5}[ =\"'a-z]{0,8}>?",
        "</?(p|b|td|table|svg|head|body|li|div)( hidden| style=\"font:0/0 a\")?>",
        "&#?[a-z0-9]{0,4};?",
        "[a-z0-9 \n>:]{0,9}",
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn no_run_of_digits_comes_out(
        code in "[0-9]{4,10}",
        zero in proptest::sample::select(&ZEROS[..]),
        between in proptest::sample::select(&BETWEEN[..]),
        open in proptest::sample::select(&AROUND[..]),
        before in proptest::sample::select(&PROSE[..]),
        soup in "[a-z <>/\"='&;\n]{0,40}",
    ) {
        let written = disguised_digits(&code, zero, between);
        for body in [format!("{before}{open}{written}{open}"), format!("{soup} {written} {soup}")] {
            for part in parts(&body) {
                prop_assert!(longest_run(&part) < 4, "{body:?} -> {part:?}");
            }
        }
    }

    #[test]
    fn no_marked_up_run_of_digits_comes_out(
        code in "[0-9]{4,10}",
        way in 0_u8..9,
        before in "[a-z &;\n]{0,40}",
        after in "[a-z <>/&;\n]{0,40}",
    ) {
        let body = format!("<p>{before}</p>{}<p>{after}", marked_up(&code, way));
        for part in parts(&body) {
            prop_assert!(longest_run(&part) < 4, "{body:?} -> {part:?}");
        }
    }

    #[test]
    fn no_code_of_letters_and_digits_comes_out(
        code in "[A-Z0-9]{6,12}|[a-z0-9]{6,12}|[A-Za-z0-9]{6,12}",
        way in 0_u8..6,
        markup in 0_u8..9,
        open in proptest::sample::select(&AROUND[..]),
        before in proptest::sample::select(&PROSE[..]),
    ) {
        prop_assume!(has_letter_and_digit(&code));
        let (first, second) = code.split_at(code.len() / 2);
        let spread: Vec<String> = code.chars().map(String::from).collect();
        let is_capital = !code.bytes().any(|b| b.is_ascii_lowercase());
        let written = match way {
            0 => code.clone(),
            1 => full_width(&code),
            // Halves of one length, or capitals.
            2 if is_capital || code.len() % 2 == 0 => format!("{first}-{second}"),
            3 if is_capital || code.len() % 2 == 0 => format!("{first}/{second}"),
            4 => spread.join(" "),
            _ => spread.join("-"),
        };
        for body in [format!("{before}{open}{written}{open} is it"), format!("<p>x</p>{}", marked_up(&code, markup))] {
            for part in parts(&body) {
                prop_assert!(!core(&part).contains(&code.to_lowercase()), "{body:?} -> {part:?}");
            }
        }
    }

    #[test]
    fn no_code_of_capitals_that_stands_alone_comes_out(
        code in "[A-Z]{6,10}",
        way in 0_u8..5,
        open in proptest::sample::select(&AROUND[..]),
        before in proptest::sample::select(&PROSE[..]),
    ) {
        let (first, second) = code.split_at(code.len() / 2);
        let spread: Vec<String> = code.chars().map(String::from).collect();
        let written = match way {
            0 => code.clone(),
            1 => full_width(&code),
            2 => format!("{first}-{second}"),
            3 => spread.join(" "),
            _ => spread.join("."),
        };
        let body = format!("{before}{open}{written}{open} is it");
        for part in parts(&body) {
            prop_assert!(!core(&part).contains(&code.to_lowercase()), "{body:?} -> {part:?}");
        }
    }

    #[test]
    fn no_token_comes_out(
        token in token(),
        open in proptest::sample::select(&AROUND[..]),
        close in proptest::sample::select(&AROUND[..]),
        before in proptest::sample::select(&PROSE[..]),
        is_wide: bool,
    ) {
        let written = if is_wide { full_width(&token) } else { token.clone() };
        assert_no_piece(&format!("{before}{open}{written}{close} is it"), &token)?;
    }

    /// However a mail program breaks and marks a quoted link.
    #[test]
    fn no_token_comes_out_of_a_wrapped_link(
        token in token(),
        width in 20_usize..100,
        open in proptest::sample::select(&AROUND[..]),
        prefix in "(https?://|)accounts\\.acme\\.example/v1/verify\\?(__clerk_ticket|token|x)=|",
        before in proptest::sample::select(&PROSE[..]),
        mark in proptest::sample::select(&["", "> ", ">", ">> ", "> > ", "  ", "| "][..]),
        is_marked_after: bool,
        is_html: bool,
    ) {
        let prose = before.replace(['\n', '<', '>'], "");
        let written: Vec<char> = format!("{prose}{open}{prefix}{token}{open} and more").chars().collect();
        let lines: Vec<String> = written.chunks(width).map(|line| line.iter().collect()).collect();
        let after = if is_marked_after { mark } else { "" };
        let body = format!("Not me\n\n{mark}Verification code\n{mark}{}\n", lines.join(&format!("\n{after}")));
        if mark != "| " {
            assert_no_piece(&body, &token)?;
        }
        if is_html {
            let lines: Vec<String> = lines.iter().map(|line| line.replace('&', "&amp;").replace('<', "&lt;")).collect();
            assert_no_piece(&format!("<p>x</p><blockquote>{}</blockquote>", lines.join("<br>")), &token)?;
        }
    }

    #[test]
    fn redaction_keeps_the_lines(text in "([a-zA-Z0-9 .,\n/-]{0,12}|https://x.example/y\n|4 8\n2 9|K\n7\n){0,20}") {
        prop_assert_eq!(redact(&text).matches('\n').count(), text.matches('\n').count());
    }

    #[test]
    fn any_text_is_redacted_without_a_panic(
        body in "\\PC{0,300}",
        html in html_soup(),
    ) {
        for body in [body, html] {
            let redacted = redact_body(&body);
            prop_assert!(redacted.text.len() <= TEXT_BYTES_MAX);
            prop_assert!(redacted.quoted.len() <= TEXT_BYTES_MAX);
            subject(&body);
        }
    }
}
