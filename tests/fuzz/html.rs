//! HTML to text. An input is a body, in which `{digits}`, `{code}` and `{token}` stand for secrets; or, if it begins
//! with a zero, decisions of which a page is made whose text can be seen.

use crate::{
    choices::Choices,
    redaction::{assert_no_piece, core, longest_run},
};
use clerk_nylas_relay::redact::text::{TEXT_BYTES_MAX, redact_body};

const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6Imluc18yIn0.eyJzdWIiOiJ1c2VyXzEyMyJ9.c2lnbmF0dXJl";

/// After each of these the text of the page can be seen if it gives its own size, and `gone` cannot.
const PIECES: [&str; 40] = [
    "<p>",
    "</p>",
    "<b>",
    "</b>",
    "<div>",
    "</div>",
    "<table>",
    "</table>",
    "<tr>",
    "<td>",
    "</td>",
    "</tr>",
    "<ul>",
    "<li>",
    "</ul>",
    "<blockquote>",
    "</blockquote>",
    "<pre>",
    "</pre>",
    "<a href=\"x\">",
    "</a>",
    "<span>",
    "</span>",
    "<center>",
    "<br>",
    "<h1>",
    "</h1>",
    "text ",
    "\n",
    "&amp;",
    "<html>",
    "<head>",
    "<head><meta charset=utf-8>",
    "<body>",
    "</body>",
    "<p hidden>gone<p>",
    "<ul><li hidden>gone<li>",
    "<span style=\"display:none\">gone</span>",
    "<table><tr><td style=\"font-size:0px;padding:10px\">",
    "<div style=\"font-size:0\">gone",
];

/// What is inserted now and then.
#[rustfmt::skip]
pub const WORDS: &[&str] = &[
    "{digits}", "{code}", "{token}", "<p>", "<p hidden>", "</p>", "<div>", "<blockquote>", "<table>", "<td>", "</td>",
    "<head>", "<svg>", "<style>", "<title>", "<script>", "<!--", "-->", "<![CDATA[", " style=\"", "font-size:0",
    "display:none", "&nbsp;", "&#x", "&NotEqualTilde;", "> ", "\n", "On x wrote:\n", "From: x\n", "Subject: x\n",
    "https://", "a.example/", "@", "-", "<a href=\"", "<li>", "<pre>", "\u{301}", "\u{3001}", "<br>", "gmail_quote",
    " class=\"",
];

pub fn execute(input: &[u8]) {
    let body = body(input);
    let redacted = redact_body(&body);
    let parts = [&redacted.text, &redacted.quoted];
    if input.first() == Some(&0) {
        let is_in = |word| parts.iter().any(|part| part.contains(word));
        assert!(is_in("zebra") && !is_in("gone"), "{body:?} -> {redacted:?}");
    }
    for part in parts {
        assert!(part.len() <= TEXT_BYTES_MAX);
        assert!(longest_run(part) < 4, "{body:?} -> {part:?}");
        if body.contains(TOKEN) {
            assert_no_piece(&body, part, TOKEN);
        }
        // Addresses of people stay.
        if !body.contains(['@', '&']) {
            assert!(!core(part).contains("k7f2q9"), "{body:?} -> {part:?}");
        }
    }
    if redacted.text.is_empty() && !redacted.truncated {
        assert!(redacted.quoted.is_empty() && !holds_text(&body), "{body:?}");
    }
}

pub fn body(input: &[u8]) -> String {
    if let Some((0, choices)) = input.split_first() {
        let mut choices = Choices(choices);
        let count = choices.below(40);
        let pieces: String = (0..count).map(|_| choices.pick(&PIECES)).collect();
        return format!("{pieces}<div style=\"font-size:13px\">zebra");
    }
    String::from_utf8_lossy(input)
        .replace("{digits}", "482913")
        .replace("{code}", "k7f2q9")
        .replace("{token}", TOKEN)
}

/// Whether there are letters outside of tags, where that is easily seen.
fn holds_text(body: &str) -> bool {
    if body.contains(['"', '\'', '&']) {
        return false;
    }
    let mut is_tag = false;
    body.chars().any(|letter| {
        is_tag = letter == '<' || is_tag && letter != '>';
        !is_tag && letter.is_ascii_alphanumeric()
    })
}
