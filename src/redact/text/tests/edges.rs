//! The exact edges of the rules, which `make mutants` showed that no other test would notice.

use super::*;

fn text_of(body: &str) -> String {
    redact_body(body).text
}

/// As a table of one letter a cell becomes when it is pasted.
#[test]
fn a_code_of_letters_alone_with_each_in_a_line_of_its_own_is_removed() {
    assert_eq!(text_of("k\nq\nx\nz\nw\np"), "[code removed]");
}

#[test]
fn four_consonants_in_a_row_are_not_shouted() {
    assert_eq!(
        text_of("PLEASE HELP WITH ABCDFE NOW"),
        "PLEASE HELP WITH [code removed] NOW"
    );
    let shouted = "NOBODY RETURNED MY CALLS";
    assert_eq!(text_of(shouted), shouted);
}

#[test]
fn a_spaced_code_of_capitals_may_have_a_group_without_digits() {
    assert_eq!(text_of("It is K7F QXZ 2Q9"), "It is [code removed]");
}

/// An attribution has an address or a date; it need not have both.
#[test]
fn either_an_address_or_a_date_makes_an_attribution() {
    for attribution in [
        "Acme <auth@acme.example> wrote:",
        "On 2 November, Acme wrote:",
    ] {
        let redacted = redact_body(&format!("Not me.\n\n{attribution}\n> Hello"));
        assert_eq!(redacted.text, "Not me.", "{attribution}");
        assert!(redacted.quoted.contains("Hello"), "{attribution}");
    }
    let own = redact_body("My boss wrote:\nhello there");
    assert_eq!(own.text, "My boss wrote:\nhello there");
}

#[test]
fn a_price_for_a_time_is_no_host_with_a_path() {
    let price = "It costs 9.99/month, or 2.50/week";
    assert_eq!(text_of(price), price);
}

#[test]
fn a_text_of_twenty_kilobytes_is_handed_on_whole() {
    let body = "A word. ".repeat(2_500);
    let redacted = redact_body(&body);
    assert_eq!(redacted.text, body.trim_end());
    assert!(!redacted.truncated);
}

#[test]
fn a_text_of_thirty_kilobytes_says_that_it_was_cut() {
    let redacted = redact_body(&"A word. ".repeat(3_750));
    assert!(redacted.text.len() > 24_000, "{}", redacted.text.len());
    assert!(redacted.truncated);
}

#[test]
fn a_body_over_half_a_mebibyte_says_that_it_was_cut() {
    let redacted = redact_body(&format!("Not me.{}", "\n".repeat(600 * 1024)));
    assert_eq!(redacted.text, "Not me.");
    assert!(redacted.truncated);
}

/// No mail program writes an attribution of which one line is quoted.
#[test]
fn a_line_above_a_quoted_attribution_stays_new() {
    let redacted = redact_body("See page 1\n> he wrote:\n> hello");
    assert_eq!(redacted.text, "See page 1");
}

#[test]
fn a_host_goes_on_as_hosts_do() {
    for link in [
        "(acme.example/verify)",
        "\"acme.example/verify\"",
        "acme.example?x=1",
        "acme.example:8443",
    ] {
        let left = text_of(&format!("See {link}"));
        assert!(
            left.contains("[link removed]") && !left.contains("acme"),
            "{link}: {left}"
        );
    }
    for kept in ["Is it acme.example?Yes", "On acme.example:nothing"] {
        assert_eq!(text_of(kept), kept);
    }
}

/// Its pieces are short and have no digit: only their capitals show what they are.
#[test]
fn a_token_of_letters_is_one_in_one_line_and_in_two() {
    let token = "aBcdefgHijklmnopqRstuvWxyz";
    for text in [
        token.to_owned(),
        format!("{}\n{}", &token[..13], &token[13..]),
    ] {
        let left = text_of(&text);
        for piece in ["aBcd", "Hijk", "Wxyz"] {
            assert!(!left.contains(piece), "{left}");
        }
    }
}

#[test]
fn a_room_in_a_shouted_sentence_is_no_spaced_code() {
    let shouted = "ROOM B12 IS COLD";
    assert_eq!(text_of(shouted), shouted);
}

#[test]
fn half_a_token_may_have_nothing_but_a_sign() {
    let left = text_of("abcd_efghijk\nlmnop12qrst");
    assert!(!left.contains("efgh"), "{left}");
}

/// A word of two groups is no group of a spaced code: its first group would stay.
#[test]
fn a_word_of_two_groups_is_no_group_of_a_spaced_code() {
    let sentence = "Bus A4-B12, C13, thanks";
    assert_eq!(text_of(sentence), sentence);
}

#[test]
fn groups_of_one_length_and_groups_that_mix_are_codes_together() {
    assert_eq!(text_of("It is abc-12d"), "It is [code removed]");
    assert_eq!(text_of("It is k7f-2q9x"), "It is [code removed]");
}

/// Shouted words stand beside it, in the same line, in capitals alone, and do not announce it.
#[test]
fn a_code_that_can_be_pronounced_stays_only_among_shouted_words() {
    for shouted in ["HELP TOKARI", "TOKARI HELP"] {
        assert_eq!(text_of(shouted), shouted);
    }
    for word in ["HELP\n", "HELP: ", "please ", "A ", "PayPal ", "B2B "] {
        assert_eq!(
            text_of(&format!("{word}TOKARI")),
            format!("{word}[code removed]")
        );
    }
    assert_eq!(text_of("TOKARI\nHELP"), "[code removed]\nHELP");
}

/// Outlook's mark alone, without the header that mostly follows it.
#[test]
fn a_mark_of_outlook_alone_begins_the_history() {
    let redacted = redact_body("<p>Not me.</p><div id=\"appendonsend\"></div><p>Hello</p>");
    assert_eq!(
        (redacted.text.as_str(), redacted.quoted.as_str()),
        ("Not me.", "Hello")
    );
}

#[test]
fn a_cell_that_ends_a_quoted_one_begins_a_line() {
    let redacted = redact_body("<table><tr><td class=\"gmail_quote\">old<td>new");
    assert_eq!(
        (redacted.text.as_str(), redacted.quoted.as_str()),
        ("new", "old")
    );
}

/// The full stop of Japanese is a dot if ASCII stands on either side of it.
#[test]
fn a_full_stop_of_japanese_is_a_dot_beside_ascii() {
    for link in ["acme\u{3002}中国/verify", "例\u{3002}example/verify"] {
        assert_link_removed(link);
    }
    let sentence = "はい\u{3002}いいえ/たぶん";
    assert_eq!(text_of(sentence), sentence);
}

#[test]
fn brackets_and_bold_type_inside_a_link_do_not_hide_it() {
    for link in [
        "https:{//}acme",
        "h**ttps://**acme",
        "acme.(ex)ample/verify",
    ] {
        assert_link_removed(link);
    }
}

#[test]
fn dots_before_two_words_make_no_link() {
    let sentence = "Well ...yes/no, perhaps";
    assert_eq!(text_of(sentence), sentence);
}

/// Letters of other scripts end what may be a token.
#[test]
fn a_long_word_with_a_year_is_no_token() {
    assert_eq!(
        text_of("Die Größenänderungen2030 sind da"),
        "Die Größenä[code removed] sind da"
    );
}
