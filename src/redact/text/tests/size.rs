//! Large and hostile bodies.

use super::*;

#[test]
fn long_texts_are_cut_at_a_character() {
    let redacted = redact_body(&"ä ".repeat(40_000));
    assert!(redacted.truncated);
    assert!(redacted.text.len() <= TEXT_BYTES_MAX && redacted.text.len() > TEXT_BYTES_MAX - 8);
}

#[test]
fn a_long_history_leaves_the_new_part_whole() {
    for body in [
        format!("new\n{}", "> old history\n".repeat(5_000)),
        format!("{}\nnew", "> old history\n".repeat(5_000)),
    ] {
        let redacted = redact_body(&body);
        assert!(redacted.truncated);
        assert_eq!(redacted.text, "new");
    }
}

#[test]
fn what_stands_behind_long_links_is_handed_on() {
    let link = format!("https://a.example/{}", "x".repeat(1_500));
    assert_eq!(subject(&format!("{link} Hello")), "[link removed] Hello");
    let redacted = redact_body(&format!("{}Hello", format!("{link} ").repeat(30)));
    assert!(redacted.text.ends_with(" Hello"), "{redacted:?}");
    assert!(!redacted.truncated);
}

#[test]
fn whatever_is_cut_off_is_said_even_if_what_is_left_is_short() {
    let link = format!("https://a.example/{}\n", "x".repeat(1_005));
    let full = link.repeat(PART_BYTES_MAX / link.len());
    assert_eq!(full.len(), PART_BYTES_MAX);
    let grows = format!("https://a.example/{}\n", "\u{337f}".repeat(300));
    for (body, truncated) in [
        (full.clone(), false),
        (format!("{full}\n\n"), false),
        (format!("{full}Hello"), true),
        // The body, what of it is visible, and what that grows to.
        (format!("<p>Hello</p>{}", "<b></b>".repeat(40_000)), true),
        (format!("Hello{}", "\n".repeat(200_000)), true),
        (grows.repeat(50), true),
        (grows.repeat(10), false),
    ] {
        let redacted = redact_body(&body);
        assert!(redacted.text.len() < 1_000, "{redacted:?}");
        assert_eq!(redacted.truncated, truncated, "{redacted:?}");
    }
}

#[test]
fn no_part_of_a_token_is_left_where_a_body_is_cut() {
    for padding in PART_BYTES_MAX - 40..PART_BYTES_MAX {
        // All but the end is removed, so that the end is handed on.
        let body = format!("{} {TICKET}", "1".repeat(padding));
        let redacted = redact_body(&body);
        assert!(redacted.truncated);
        assert_eq!(redacted.text, "[code removed]");
    }
}

#[test]
fn a_text_that_is_empty_although_the_body_is_not_is_called_truncated() {
    for body in [
        "<p><img src=\"cid:1\"></p>",
        "<p hidden>Hello</p>",
        "<title>Hello",
        "<!-- Hello --><p></p>",
        "\u{200b}\u{200b}",
        "<p>\u{ad}</p>",
        "<p></p><p title=\"Hello</p>",
    ] {
        let redacted = redact_body(body);
        assert_eq!(
            (redacted.text.as_str(), redacted.quoted.as_str()),
            ("", ""),
            "{body}"
        );
        assert!(redacted.truncated, "{body}");
    }
    // Only a quote, perhaps because something new was taken for one.
    for body in [
        "> Hello",
        "<p><img src=\"cid:1\"></p><blockquote>Hello</blockquote>",
        "On 2 Nov 2026, Acme <auth@acme.example> wrote:\nHello",
    ] {
        let redacted = redact_body(body);
        assert_eq!(redacted.text, "", "{body}");
        assert!(
            redacted.quoted.contains("Hello") && redacted.truncated,
            "{body}"
        );
    }
    for body in [
        "",
        " \r\n",
        "<p></p>",
        "<html><head></head><body><br></body></html>",
    ] {
        assert!(!redact_body(body).truncated, "{body}");
    }
}

/// Pieces that are repeated.
#[rustfmt::skip]
const SHAPES: &[&str] = &[
    "<", ">", "&", "<a ", "<!--", "<div>", "</", "\n", "> ", "-", "_\n", "<a x=\"", "1 ", "From:\n", "wrote:\n",
    "<title>", "&#", "x=", "<p>", "<b><p>", "</x>", "<i></p>", "<table><tr><td>", "<li><ul>", "<svg>", "<p hidden>",
    "&NotEqualTilde", "a.", "a@", "/", "[.]", "4\u{301}", "\u{301}", "\u{fdfa}", "A ", "a1 ", "AB1-", "ABCDEF ",
    "a1b2c3d4\n", "https://\n", "https://中", "中/", "x\n> y\n", "K7F ", "=\n",
];

/// If the work grew with the square of the size these would take hours.
#[test]
fn hostile_bodies_take_no_longer_than_others() {
    for shape in SHAPES {
        let body = format!("<p>{}", shape.repeat(BODY_BYTES_MAX / shape.len()));
        for body in [body.as_str(), body.get(3..).unwrap_or_default()] {
            let redacted = redact_body(body);
            assert!(
                redacted.text.len() <= TEXT_BYTES_MAX && redacted.quoted.len() <= TEXT_BYTES_MAX
            );
        }
    }
    // Each `<x>` or `</x>` asks for elements that are far away.
    for (deep, shape) in [
        ("<x>", "</x>"),
        ("<x>", "<p>"),
        ("<b>", "</i>"),
        ("<p hidden><b id=1>", "<li>"),
    ] {
        let half = BODY_BYTES_MAX / 2;
        let body = format!(
            "{}{}",
            deep.repeat(half / deep.len()),
            shape.repeat(half / shape.len())
        );
        redact_body(&body);
    }
}
