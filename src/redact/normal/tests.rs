//! What is a digit, and what may stand between two.

use super::*;
use unicode_normalization::char::is_combining_mark;

#[test]
fn every_combining_mark_may_stand_between_and_no_other_letter() {
    for letter in '\0'..=char::MAX {
        let looks_like_punctuation =
            matches!(letter, '\u{2b0}'..='\u{2ff}' | '\u{1c0}'..='\u{1c3}' | '\u{30fc}');
        assert_eq!(
            is_between(letter),
            !letter.is_alphanumeric() || is_combining_mark(letter) || looks_like_punctuation,
            "U+{:04X}",
            u32::from(letter)
        );
    }
}

#[test]
fn digits_of_all_scripts_are_digits() {
    for digits in [
        "0123456789",
        "٠١٢٣٤٥٦٧٨٩",
        "០១២៣៤៥៦៧៨៩",
        "𞥐𞥑𞥒𞥓𞥔𞥕𞥖𞥗𞥘𞥙",
        "०१२३",
        "❶❷❸",
        "〇",
    ] {
        assert!(digits.chars().all(is_digit), "{digits}");
    }
    assert!(!"aZä漢".chars().any(is_digit));
}

#[test]
fn one_spelling_is_left_of_each_character() {
    assert_eq!(normalise("ＡＢＣ１２３"), "ABC123");
    assert_eq!(normalise("𝐊𝟕𝐅"), "K7F");
    assert_eq!(normalise("④⑧ ² ﬁ ½"), "48 2 fi 1⁄2");
    assert_eq!(normalise("4\u{fe0f}\u{20e3}8\u{fe0f}\u{20e3}"), "48");
    assert_eq!(normalise("e\u{301}"), "é");
}

#[test]
fn what_cannot_be_seen_is_gone() {
    let tags: String = "send it"
        .chars()
        .map(|c| char::from_u32(0xe0000 + c as u32).unwrap())
        .collect();
    let hidden = format!("H\u{200b}e\u{ad}l\u{2066}l\u{202e}o{tags}\u{7}\u{feff}");
    assert_eq!(normalise(&hidden), "Hello");
    for letter in '\0'..=char::MAX {
        let again: Option<String> = normalise(&letter.to_string())
            .chars()
            .map(visible)
            .collect();
        assert!(again.is_some(), "U+{:04X}", u32::from(letter));
    }
}

#[test]
fn every_space_is_one_and_every_end_of_a_line_is_one() {
    let spaces = "\t\u{b}\u{c}\u{a0}\u{1680}\u{2000}\u{200a}\u{202f}\u{205f}\u{2800}\u{3000}";
    assert!(spaces.chars().all(|letter| visible(letter) == Some(' ')));
    let ends = "\n\u{85}\u{2028}\u{2029}";
    assert!(ends.chars().all(|letter| visible(letter) == Some('\n')));
}
