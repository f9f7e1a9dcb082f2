//! Clerk's events. An input is the body of a signed webhook.

use crate::webhook::{NOW, SECRET};
use clerk_nylas_relay::{
    clerk::event::{NotForUs, read_email},
    model::mail::{Content, is_address},
    signature::{SignatureHeaders, verify_clerk},
};
use serde_json::Value;

/// What is inserted now and then.
#[rustfmt::skip]
pub const WORDS: &[&str] = &[
    "\"", "{", "}", "[", "]", "null", "false", "true", "-1", "1e999", "18446744073709551615", "\\u0000", "\\ud83d",
    "\\r\\n", "@", "\u{202e}", "\"data\":", "\"body\":",
];

pub fn execute(body: &[u8]) {
    let headers = SignatureHeaders::pick(|name| match name {
        "svix-id" => Some("msg_1".to_owned()),
        "svix-timestamp" => Some(NOW.seconds().to_string()),
        "svix-signature" => Some(SECRET.sign("msg_1", NOW, body)),
        _ => None,
    });
    let webhook = verify_clerk(&headers, body, std::slice::from_ref(&*SECRET), NOW).unwrap();
    let (slug, _, read) = read_email(&webhook, true);
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    assert!(
        slug.as_str()
            .is_none_or(|slug| slug.len() <= 64 && slug.chars().all(is_name))
    );
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_ours = event.pointer("/data/delivered_by_clerk") == Some(&Value::Bool(false));
    let (email, content) = match read {
        Ok(read) => read,
        Err(NotForUs::DeliveredByClerk { .. }) => {
            assert!(!is_ours);
            return;
        }
        Err(_) => return,
    };
    // A mail that Clerk sends itself is never sent.
    assert!(is_ours);
    assert!(is_address(&email.to) && !email.to.contains(['\r', '\n', ',', '<']));
    assert!(!email.subject.is_empty() && !email.subject.contains(char::is_control));
    for local_part in [&email.reply_to_local_part, &email.from_local_part]
        .into_iter()
        .flatten()
    {
        assert!((1..=64).contains(&local_part.len()) && !local_part.contains([' ', '@', '<', ',']));
    }
    assert_eq!(email.slug, slug);
    // What is sent is what Clerk wrote.
    let of = |field: &str| event["data"][field].as_str();
    match content {
        Content::Html(html) => assert_eq!(Some(html.as_str()), of("body")),
        Content::Text(text) => assert_eq!(Some(text.as_str()), of("body_plain")),
        Content::Alternatives { html, text } => {
            assert_eq!(Some(html.as_str()), of("body"));
            assert_eq!(Some(text.as_str()), of("body_plain"));
        }
    }
    assert_eq!(
        Some(email.to.as_str()),
        of("to_email_address").map(str::trim)
    );
    // No time makes the rest fail.
    let _ = (email.is_expired(NOW), email.age(NOW), email.expires_at());
}
