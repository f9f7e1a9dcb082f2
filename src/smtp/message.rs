//! The mail as text (RFC 5322, MIME). The same mail is the same text each time it is made.

use crate::model::{
    account::Identity,
    mail::{Content, Email, is_plain_address},
    message_id::message_id,
    time::UnixMillis,
};
use mail_builder::{
    MessageBuilder,
    headers::{address::Address, content_type::ContentType, date::Date, text::Text},
    mime::MimePart,
};

/// A mail, ready to be handed in.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender, for `MAIL FROM`.
    pub from: String,
    /// The recipient, for `RCPT TO`.
    pub to: String,
    pub text: Vec<u8>,
}

impl Message {
    /// Makes the mail. `generation`: how many messages of it failed before.
    ///
    /// `None`: the account's own address has no domain.
    pub fn new(
        email: &Email,
        content: &Content,
        identity: &Identity,
        generation: usize,
    ) -> Option<Self> {
        let (from, to) = (ascii_domain(&identity.email), ascii_domain(&email.to));
        let (_, domain) = from.rsplit_once('@')?;
        let id = message_id(&email.svix_id, generation, domain);
        // From Clerk's event, not from the clock, so that the mail stays the same.
        let UnixMillis(created_ms) = email.created_at;
        let date = i64::try_from(created_ms / 1000).unwrap_or_default();
        let mut builder = MessageBuilder::new()
            .message_id(id)
            .date(Date::new(date))
            .from(Address::new_address(
                identity.name.as_deref(),
                from.as_str(),
            ))
            .to(to.as_str())
            .subject(email.subject.as_str())
            // So that no out-of-office message answers a sign-in code (RFC 3834).
            .header("Auto-Submitted", Text::new("auto-generated"));
        if let Some(address) = email.reply_address(&from) {
            builder = builder.reply_to(ascii_domain(&address));
        }
        // None of it is in quoted-printable or base64, and nobody else knows the Svix id.
        let boundary = format!("=_{}", email.svix_id);
        let builder = match content {
            Content::Html(html) => builder.html_body(lines(html)),
            Content::Text(text) => builder.text_body(lines(text)),
            Content::Alternatives { html, text } => builder.body(MimePart::new(
                ContentType::new("multipart/alternative").attribute("boundary", boundary),
                // The last is the best (RFC 2046, 5.1.4).
                vec![
                    MimePart::new("text/plain", lines(text)),
                    MimePart::new("text/html", lines(html)),
                ],
            )),
        };
        // Writing into memory cannot fail.
        let text = builder.write_to_vec().ok()?;
        Some(Self { from, to, text })
    }
}

/// A body whose lines end with LF alone; the mail's end with CRLF. A CR by itself is a line's end to some servers, and
/// a dot between two of them the end of the mail, so that a text could begin a mail of its own (SMTP smuggling).
fn lines(body: &str) -> String {
    body.replace("\r\n", "\n").replace('\r', "\n")
}

/// The address with its domain in ASCII (RFC 5891), if that is possible. A server then needs no SMTPUTF8 for it.
fn ascii_domain(address: &str) -> String {
    let in_ascii = || {
        let (local_part, domain) = address.rsplit_once('@')?;
        // In a URL some letters end the domain: the rest would be lost, and the address another one.
        let is_of_domain = |letter: char| {
            !letter.is_ascii() || letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.')
        };
        if domain.is_ascii() || !domain.chars().all(is_of_domain) {
            return None;
        }
        let address = format!("{local_part}@{}", to_ascii(domain)?);
        let domain_only = address.replacen(local_part, "x", 1);
        is_plain_address(&domain_only).then_some(address)
    };
    in_ascii().unwrap_or_else(|| address.to_owned())
}

/// The runtime's own: the same in the Worker would be a table of 50 kB. It is part of the web and not of Workers, so it
/// needs no port.
#[cfg(target_arch = "wasm32")]
fn to_ascii(domain: &str) -> Option<String> {
    let url = web_sys::Url::new(&format!("http://{domain}/")).ok()?;
    Some(url.hostname())
}

#[cfg(not(target_arch = "wasm32"))]
fn to_ascii(domain: &str) -> Option<String> {
    idna::domain_to_ascii(domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: Option<&str>) -> Identity {
        Identity {
            email: "auth@acme.example".into(),
            name: name.map(str::to_owned),
        }
    }

    fn text_of(email: &Email, content: &Content, name: Option<&str>) -> String {
        let message = Message::new(email, content, &identity(name), 0).unwrap();
        String::from_utf8(message.text).unwrap()
    }

    #[test]
    fn no_carriage_return_of_a_body_stands_alone() {
        let body = "a\r.\rMAIL FROM:<eve@x.example>\n.\nb\r\n.\r\nc\r";
        let both = Content::Alternatives {
            html: body.into(),
            text: body.into(),
        };
        for content in [Content::Html(body.into()), Content::Text(body.into()), both] {
            let text = text_of(&Email::sample(), &content, None);
            assert!(text.contains("\r\n.\r\nMAIL FROM"), "{text}");
            let without_ends = text.replace("\r\n", "");
            assert!(!without_ends.contains(['\r', '\n']), "{text:?}");
        }
    }

    /// The lines of the header, without those that go on with the one before.
    fn names(text: &str) -> Vec<String> {
        let (header, _) = text.split_once("\r\n\r\n").unwrap();
        let is_first = |line: &&str| !line.starts_with([' ', '\t']);
        let lines = header.split("\r\n").filter(is_first);
        lines
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_mail_has_both_of_clerks_bodies_and_says_that_a_machine_wrote_it() {
        let mut email = Email::sample();
        email.created_at = UnixMillis(1_764_000_000_123);
        email.reply_to_local_part = Some("help".into());
        let both = Content::Alternatives {
            html: "<p>123456</p>".into(),
            text: "123456".into(),
        };
        let text = text_of(&email, &both, Some("Acme"));
        assert_eq!(
            text,
            "Message-ID: <msg_1.0@acme.example>\r\nDate: Mon, 24 Nov 2025 16:00:00 +0000\r\n\
             From: \"Acme\" <auth@acme.example>\r\nTo: <jane@example.com>\r\nSubject: Code\r\n\
             Auto-Submitted: auto-generated\r\nReply-To: <help@acme.example>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/alternative; boundary=\"=_msg_1\"\r\n\r\n\
             --=_msg_1\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             123456\r\n\
             --=_msg_1\r\nContent-Type: text/html; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             <p>123456</p>\r\n--=_msg_1--\r\n"
        );
    }

    #[test]
    fn the_same_mail_is_the_same_text_and_another_generation_another_message() {
        let of = |generation| {
            let (email, content) = (Email::sample(), Content::Text("1".into()));
            Message::new(&email, &content, &identity(None), generation)
                .unwrap()
                .text
        };
        assert_eq!(of(0), of(0));
        assert_ne!(of(0), of(1));
    }

    #[test]
    fn no_subject_and_no_name_becomes_a_header() {
        let content = Content::Text("1".into());
        for hostile in [
            "a\r\nBcc: eve@example.com",
            "a\nBcc: eve@example.com",
            "a\rBcc: eve@example.com",
            "a\r\n\r\nbody",
            "ä\r\nBcc: eve@example.com",
            "a\u{b}\r\n\u{0}Bcc: eve@example.com",
            "\" <eve@example.com>, \"",
            "=?utf-8?Q?a=0D=0ABcc:_eve@example.com?=",
            "a\\",
        ] {
            let mut email = Email::sample();
            email.subject = hostile.into();
            let text = text_of(&email, &content, Some(hostile));
            assert_eq!(
                names(&text),
                [
                    "Message-ID",
                    "Date",
                    "From",
                    "To",
                    "Subject",
                    "Auto-Submitted",
                    "MIME-Version",
                    "Content-Type",
                    "Content-Transfer-Encoding"
                ],
                "{text}"
            );
            assert!(
                text.ends_with("\r\n\r\n1") || text.ends_with("\r\n\r\n1\r\n"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn names_subjects_and_bodies_that_need_it_are_encoded() {
        let mut email = Email::sample();
        email.subject = "Dein Code für Äpfel".into();
        let text = text_of(&email, &Content::Text("für\n.\n..x\n".into()), Some("Zoë"));
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("From: =?utf-8?"), "{text}");
        assert!(text.contains("Subject: =?utf-8?"), "{text}");
        let longest = text.split("\r\n").map(str::len).max();
        assert!(longest <= Some(78), "{text}");
    }

    #[test]
    fn a_domain_that_needs_it_is_encoded_and_a_local_part_is_left_to_the_server() {
        for (address, on_the_wire) in [
            ("jane@ACME.example", "jane@ACME.example"),
            ("jane@bücher.example", "jane@xn--bcher-kva.example"),
            ("jäne@bücher.example", "jäne@xn--bcher-kva.example"),
            ("jane@example.com", "jane@example.com"),
            ("o'x+y@example.com", "o'x+y@example.com"),
            ("jane@ü/x", "jane@ü/x"),
        ] {
            let mut email = Email::sample();
            email.to = address.into();
            let message =
                Message::new(&email, &Content::Text("1".into()), &identity(None), 0).unwrap();
            assert_eq!(message.to, on_the_wire);
            let text = String::from_utf8(message.text).unwrap();
            assert!(
                text.contains(&format!("\r\nTo: <{on_the_wire}>\r\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn an_account_without_a_domain_sends_nothing() {
        let nowhere = Identity {
            email: "auth".into(),
            name: None,
        };
        let made = Message::new(&Email::sample(), &Content::Text("1".into()), &nowhere, 0);
        assert!(made.is_none());
    }
}
