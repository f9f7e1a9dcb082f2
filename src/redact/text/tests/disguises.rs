//! Codes, tokens and links, however they are written.

use super::*;
use crate::redact::normal::is_digit;

fn assert_code_removed(code: &str) {
    for body in [
        format!("my code {code} fails"),
        code.to_owned(),
        format!("Code: {code}."),
    ] {
        let redacted = redact_body(&body);
        assert!(
            redacted.text.contains("[code removed]"),
            "{code}: {redacted:?}"
        );
        let left = redacted.text.replace("[code removed]", "");
        for word in ["my", "code", "fails", "Code"] {
            assert!(
                left.contains(word) || !body.contains(word),
                "{code}: {redacted:?}"
            );
        }
        let left = left
            .replace("my code", "")
            .replace("fails", "")
            .replace("Code:", "");
        assert!(
            !left.chars().any(|c| is_digit(c) || c.is_alphabetic()),
            "{code}: {redacted:?}"
        );
    }
}

#[test]
fn digits_are_removed_however_they_are_written() {
    for code in [
        "482913",
        "482 913",
        "482-913",
        "4 8 2 9 1 3",
        "4\n8\n2\n9\n1\n3",
        "*482*913*",
        "482.913",
        "(482) 913",
        "4,8,2,9,1,3",
        "4…8…2…9…1…3",
        "４８２９１３",
        "٤٨٢٩١٣",
        "𝟒𝟖𝟐𝟗𝟏𝟑",
        "④⑧②⑨①③",
        "❹❽❷❾❶❸",
        "4️⃣8️⃣2️⃣9️⃣1️⃣3️⃣",
        "4\u{200b}82\u{ad}913",
        "4821",
        "48291356789012",
    ] {
        assert_code_removed(code);
    }
}

#[test]
fn digits_of_khmer_and_adlam_are_removed() {
    assert_code_removed("៤៨២៩១៣");
    assert_code_removed("𞥔𞥘𞥒𞥙𞥑𞥓");
}

#[test]
fn digits_with_combining_marks_between_are_removed() {
    // Underlined, struck through, with a Hebrew point, with an Arabic one, with a vowel sign of Devanagari.
    for mark in [
        '\u{332}', '\u{336}', '\u{5b4}', '\u{64e}', '\u{93f}', '\u{20dd}',
    ] {
        let code: String = "482913".chars().flat_map(|digit| [digit, mark]).collect();
        assert_code_removed(&code);
    }
}

#[test]
fn digits_that_come_together_when_new_and_quoted_lines_are_parted_are_removed() {
    let redacted = redact_body("it says 482\n> Hello\n913 to me");
    assert_eq!(redacted.text, "it says [code removed]\n to me");
    assert_eq!(redacted.quoted, "Hello");
}

#[test]
fn digits_with_punctuation_of_any_script_between_are_removed() {
    for between in [
        "\u{3001}", "\u{3002}", "\u{30fb}", "\u{30fc}", "·", "•", "–", "—", "−", "|", "¦", "ǀ",
        "ʼ", "ː", "😀", "→", " / ", "、 ",
    ] {
        let code = ["4", "8", "2", "9", "1", "3"].join(between);
        assert_code_removed(&code);
    }
}

#[test]
fn codes_of_letters_and_digits_are_removed_in_any_case() {
    for code in [
        "K7F-2Q9",
        "K7F/2Q9",
        "K7F.2Q9",
        "K7F_2Q9",
        "K7F·2Q9",
        "K7F–2Q9",
        "K7F 2Q9",
        "k7f2q9",
        "k7f-2q9",
        "k7f 2q9",
        "K 7 F 2 Q 9",
        "K-7-F-2-Q-9",
        "*K7F2Q9*",
        "AB12CD",
        "ABC-123",
        "abcd-12ef",
        "k7f2q9x4p1",
        "XkZ4pQ",
        "Ｋ７Ｆ２Ｑ９",
        "ｋ７ｆ２ｑ９",
        "𝐊𝟕𝐅𝟐𝐐𝟗",
        "Ⓚ⑦Ⓕ②Ⓠ⑨",
        "K\u{332}7\u{332}F\u{332}2\u{332}Q\u{332}9",
        "“K7F2Q9”",
        "「K7F2Q9」",
    ] {
        assert_code_removed(code);
    }
}

#[test]
fn codes_of_capitals_alone_are_removed() {
    for code in [
        "XKQZWP",
        "XKQ-ZWP",
        "@X.K.Q.Z.W.P",
        "X K Q Z W P",
        "XKQZWPRTLM",
        "ＸＫＱＺＷＰ",
        "*XKQZWP*",
        "BADACE",
        "“XKQZWP”",
    ] {
        assert_code_removed(code);
    }
    for text in [
        "YOUR CODE IS XKQZWP NOW",
        "YOUR CODE: BADACE",
        "ENTER CODE BADACE HERE",
        "MEIN PASSWORT IST BADACE",
    ] {
        let redacted = redact_body(text).text;
        assert!(redacted.contains("[code removed]"), "{redacted}");
        assert!(
            !redacted.contains("XKQZWP") && !redacted.contains("BADACE"),
            "{redacted}"
        );
    }
}

#[test]
fn tokens_are_removed_in_any_punctuation() {
    for (open, close) in [
        ("*", "*"),
        ("“", "”"),
        ("‘", "’"),
        ("„", "“"),
        ("|", "|"),
        ("!", "!"),
        ("@", "@"),
        ("_", "_"),
        ("«", "»"),
        ("「", "」"),
        ("(", ")"),
        ("<", ">"),
        ("{", "}"),
        ("\\", "\\"),
        ("^", "^"),
        ("…", "…"),
        ("token:", "."),
        ("*\"", "\"*"),
    ] {
        let redacted = redact_body(&format!("see {open}{TICKET}{close} there"));
        assert!(
            redacted.text.starts_with("see ") && redacted.text.ends_with(" there"),
            "{open}: {redacted:?}"
        );
        assert_safe(&redacted);
    }
    let wide: String = TICKET
        .chars()
        .map(|letter| match letter {
            '!'..='~' => char::from_u32(letter as u32 - 0x21 + 0xff01).unwrap(),
            _ => letter,
        })
        .collect();
    assert_eq!(redact_body(&wide).text, "[link removed]");
}

#[test]
fn a_token_whose_parts_stand_apart_is_removed() {
    let parts = [
        "Zx", "8", "kQ", "2", "mPa", "7", "Lw", "3", "RtYbN", "5", "v",
    ];
    for between in [
        "\u{332}", "\u{5b4}", "·", "–", "—", "“", "|", "^", "→", "😀", "`",
    ] {
        let token = parts.join(between);
        assert_link_removed(&token);
    }
}

#[test]
fn links_are_removed_however_they_are_written() {
    for link in [
        "https://accounts.acme.example/v1/verify?token=abc",
        "HTTP://X.example",
        "<https://x.example/y>",
        "[here](https://x.example/y)",
        "www.x.example",
        "accounts.acme.example/verify",
        "accounts.acme.example:8443",
        "accounts.acme.example?ticket",
        "accounts.acme.example?x=1",
        "//accounts.acme.example",
        "192.0.2.1/verify",
        "mailto:a@b.example",
        "x?__clerk_ticket=abc",
        "link:acme.example/verify",
        "here,acme.example/verify",
        "…//acme.example/verify",
        "(link=acme.example?x=1)",
        TICKET,
    ] {
        let link = link.replace("?ticket", "?ticket=1");
        assert_link_removed(&link);
    }
}

#[test]
fn defanged_links_are_removed() {
    for link in [
        "hxxps://x.example",
        "hxxp[:]//x[.]example",
        "https[:]//x[.]example/y",
        "x[.]example",
        "x(.)example/y",
        "x[dot]example",
        "x{dot}example[/]y",
        "https:\\\\x.example\\y",
    ] {
        assert_link_removed(link);
    }
}

#[test]
fn links_with_characters_that_look_alike_are_removed() {
    for slash in ['/', '／', '⁄', '∕', '⧸', '╱', '〳', '⟋', '⁁', '𝈺'] {
        for link in [
            format!("https:{slash}{slash}x.example{slash}y"),
            format!("x.example{slash}verify"),
        ] {
            assert_link_removed(&link);
        }
    }
    for link in [
        "https：//x.example",
        "https∶//x.example",
        "ｈｔｔｐｓ://x.example",
        "ⓗⓣⓣⓟⓢ://x.example",
        "acme。example/verify",
        "https://accounts。acme。example/verify",
        "acme．example/verify",
        "acme․example/verify",
    ] {
        assert_link_removed(link);
    }
}

#[test]
fn links_with_names_of_other_scripts_are_removed() {
    for link in [
        "https://пример.рф/путь",
        "пример.рф/путь?код=1",
        "https://例子.中国/路径",
        "https://例子。中国/路径",
        "xn--e1afmkfd.xn--p1ai/y",
        "münchen.example/prüfen",
    ] {
        assert_link_removed(link);
    }
}

#[test]
fn a_bold_quoted_link_is_removed_wherever_it_is_wrapped() {
    let link = link().replace("&amp;", "&");
    for width in [63, 76, 96] {
        for (open, close) in [("*\"", "\"*"), ("<", ">"), ("*", "*"), ("", "")] {
            for mark in ["> ", ">> ", ">", "| ", ""] {
                let written = format!("Click {open}{link}{close} to go on.");
                let lines: Vec<&str> = written
                    .as_bytes()
                    .chunks(width)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                let body = format!(
                    "Not me\n\n{mark}Hello\n{mark}{}\n",
                    lines.join(&format!("\n{mark}"))
                );
                assert_safe(&redact_body(&body));
                // A program that wraps what is quoted leaves the second half without a mark.
                let body = format!("Not me\n\n{mark}Hello\n{mark}{}\n", lines.join("\n"));
                assert_safe(&redact_body(&body));
            }
        }
    }
}

#[test]
fn a_wrapped_token_without_a_link_is_removed() {
    for at in 4..18 {
        let token = "Zx8kQ2mPa7Lw3RtYbN5v";
        let (first, second) = token.split_at(at);
        let redacted = redact_body(&format!("my ticket is {first}\n{second} is that so?"));
        assert!(
            !redacted.text.contains(first) || first.len() < 6,
            "{redacted:?}"
        );
        assert!(
            !redacted.text.contains(second) || second.len() < 6,
            "{redacted:?}"
        );
    }
}

#[test]
fn halves_of_a_token_that_are_no_tokens_themselves_are_removed() {
    let body = "my ticket is qWeRtYuI-pAsDfGh\nJkLzXc-4v is that so?";
    assert_eq!(
        redact_body(body).text,
        "my ticket is [link removed]\n[link removed] is that so?"
    );
}

#[test]
fn a_line_of_one_word_directly_below_a_link_is_removed() {
    let body = "https://x.example/verify?t=abcde\nfghij\nIs that so?";
    assert_eq!(
        redact_body(body).text,
        "[link removed]\n[link removed]\nIs that so?"
    );
}

#[test]
fn what_nobody_can_pronounce_is_not_shouted() {
    assert_eq!(
        redact_body("AND THEN XKQZWP CAME").text,
        "AND THEN [code removed] CAME"
    );
}
