//! What mail programs make of a reply, and what is left of it.

use super::*;

mod disguises;
mod edges;
mod kept;
mod properties;
mod size;

const CODE: &str = "482913";
const TICKET: &str =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6Imluc18yIn0.eyJzdWIiOiJ1c2VyXzEyMyJ9.c2lnbmF0dXJl";

/// A mail as Clerk renders it.
fn code_mail() -> String {
    format!(
        "<html><head><style>.x{{color:red}}</style><title>{CODE}</title></head><body><table><tr><td>\
         <h1>Verification code</h1><p style=\"font-size:40px;font-weight:bold\">{CODE}</p>\
         <p>Or <a href=\"{0}\">click here</a>: {0}</p></td></tr></table></body></html>",
        link()
    )
}

fn link() -> String {
    format!("https://accounts.acme.example/v1/verify?__clerk_status=x&amp;token={TICKET}")
}

/// Nothing of the code or the link is left.
fn assert_safe(redacted: &Redacted) {
    for part in [&redacted.text, &redacted.quoted] {
        let digits: String = part.chars().filter(char::is_ascii_digit).collect();
        assert!(!digits.contains(CODE), "{part}");
        for start in 0..TICKET.len() - 8 {
            let piece = &TICKET[start..start + 8];
            assert!(!part.contains(piece), "{piece} is left in {part}");
        }
        assert!(!part.contains("accounts.acme"), "{part}");
    }
}

fn assert_link_removed(link: &str) {
    assert_eq!(
        redact_body(&format!("see {link} there")).text,
        "see [link removed] there",
        "{link}"
    );
}

fn new_part(body: &str) -> String {
    let redacted = redact_body(body);
    assert_safe(&redacted);
    assert!(!redacted.truncated);
    assert!(
        redacted.quoted.contains("Verification code"),
        "{redacted:?}"
    );
    redacted.text
}

#[test]
fn gmail_quotes_in_a_div() {
    let body = format!(
        "<div dir=\"ltr\">That was not me.<div><br></div><div>Jane</div></div><br>\
         <div class=\"gmail_quote gmail_quote_container\"><div dir=\"ltr\" class=\"gmail_attr\">\
         On Mon, 2 Nov 2026 at 10:11, \
         Acme &lt;<a href=\"mailto:auth@acme.example\">auth@acme.example</a>&gt; wrote:<br></div>\
         <blockquote class=\"gmail_quote\" style=\"margin:0\">{}</blockquote></div>",
        code_mail()
    );
    assert_eq!(new_part(&body), "That was not me.\n\nJane");
}

#[test]
fn outlook_puts_the_history_after_a_mark_or_a_header() {
    for mark in [
        "<div id=\"appendonsend\"></div><hr style=\"width:98%\">",
        "<div id=\"x_divRplyFwdMsg\" dir=\"ltr\">",
        "<hr>",
    ] {
        let body = format!(
            "<html><body><div class=\"elementToProof\">Who are you?</div>{mark}\
             <div><b>From:</b> Acme &lt;auth@acme.example&gt;<br><b>Sent:</b> Monday<br><b>To:</b> Jane<br>\
             <b>Subject:</b> {CODE} is your code</div>{}</body></html>",
            code_mail()
        );
        assert_eq!(new_part(&body), "Who are you?", "{mark}");
    }
}

#[test]
fn apple_mail_thunderbird_yahoo_and_proton_quote_in_elements() {
    for (open, close) in [
        (
            "<br><div><blockquote type=\"cite\"><div>On 2 Nov 2026, at 10:11, Acme wrote:</div>",
            "</blockquote></div>",
        ),
        (
            "<div class=\"moz-cite-prefix\">Am 02.11.26 um 10:11 schrieb Acme:<br></div><blockquote type=\"cite\">",
            "</blockquote>",
        ),
        (
            "<div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\"><div>On Monday, Acme wrote:</div>",
            "</div>",
        ),
        (
            "<div class=\"protonmail_quote\">On Monday, Acme wrote:<br>",
            "</div>",
        ),
    ] {
        let body = format!(
            "<p>It does not work</p>{open}{}{close}<p>Sent from here</p>",
            code_mail()
        );
        assert_eq!(
            new_part(&body),
            "It does not work\n\nSent from here",
            "{open}"
        );
    }
}

#[test]
fn plain_text_is_quoted_line_by_line() {
    let body = format!(
        "Wrong code!\r\n\r\nOn Mon, 2 Nov 2026 at 10:11, Acme\r\n<auth@acme.example> wrote:\r\n\r\n\
         > Verification code\r\n> {CODE}\r\n> {}\r\n\r\nJane\r\n",
        link()
    );
    assert_eq!(new_part(&body), "Wrong code!\n\nJane");
}

#[test]
fn answers_between_the_lines_stay_in_order() {
    let body = "> Verification code\nWhat is this?\n> Ignore this mail\nI will not.\n";
    let redacted = redact_body(body);
    assert_eq!(redacted.text, "What is this?\nI will not.");
    assert_eq!(redacted.quoted, "Verification code\nIgnore this mail");
}

#[test]
fn an_attribution_without_marks_begins_the_history_in_many_languages() {
    for attribution in [
        "On 2 Nov 2026, Acme <auth@acme.example> wrote:",
        "Am 02.11.2026 um 10:11 schrieb Acme <auth@acme.example>:",
        "Acme <auth@acme.example> schrieb am Mo., 2. Nov. 2026, 10:11:",
        "Le 2 nov. 2026 à 10:11, Acme <auth@acme.example> a écrit :",
        "El 2 nov 2026, a las 10:11, Acme escribió:",
        "Il giorno 2 nov 2026, Acme ha scritto:",
        "Em 2 de nov. de 2026, Acme escreveu:",
        "Op 2 nov. 2026 schreef Acme <auth@acme.example>:",
        "-----Original Message-----",
        "-----Ursprüngliche Nachricht-----",
        "---------- Forwarded message ---------",
        "Von: Acme\nGesendet: Montag\nAn: Jane\nBetreff: Code",
        "________________________________\nFrom: Acme\nSent: Monday\nTo: Jane\nSubject: Code",
    ] {
        let body = format!("No thanks\n\n{attribution}\n\nVerification code\n{CODE}\n");
        assert_eq!(new_part(&body), "No thanks", "{attribution}");
    }
}

#[test]
fn what_looks_a_little_like_a_header_stays() {
    let body = "From: what I know it is broken\nhe wrote:\nnothing at all\n1 < 2 & 3 > x\n";
    assert_eq!(redact_body(body).text, body.trim());
}

#[test]
fn a_subject_is_one_short_line() {
    assert_eq!(
        subject("Re: 482913 is your\r\n code\u{202e}"),
        "Re: [code removed] is your  code"
    );
    assert_eq!(subject(&"xy ".repeat(500)).chars().count(), 200);
}
