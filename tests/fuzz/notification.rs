//! Nylas' notifications. An input is the body of a signed one.

use crate::webhook::{NYLAS, is_plain, nylas_signature};
use clerk_nylas_relay::{
    nylas::notification::{Notification, NotificationKind, VerifiedJson},
    signature::verify_nylas,
};
use serde_json::Value;

/// What is inserted now and then.
#[rustfmt::skip]
pub const WORDS: &[&str] = &[
    "\"", "{", "}", "[", "]", "null", "\"object\":", "\"message\":", "\"metadata\":", "\"key1\":", "\"msg_1\"",
    "message.created", "message.bounced", "message.complaint", "message.delivered", "message.send_failed",
    "message.rejected", "grant.expired", ".truncated", "\"recipients\":", "\"email\":", "\\u0000", "1e999", "\"id\":",
];

pub fn execute(body: &[u8]) {
    let signature = nylas_signature(body);
    let verified = verify_nylas(Some(&signature), body, &NYLAS[..]).unwrap();
    let json = VerifiedJson::new(&verified, None);
    let read = Notification::read(&json);
    let queued = json.into_queue();
    // What is queued says the same, and nothing private.
    let again = VerifiedJson::from_queue(&queued);
    assert_eq!(Notification::read(&again), read);
    let queued: Value = serde_json::from_str(&queued).unwrap();
    for place in ["/data/object", "/data/object/message"] {
        for private in ["body", "snippet", "subject", "attachments", "headers"] {
            assert_eq!(queued.pointer(&format!("{place}/{private}")), None);
        }
    }
    let Ok(read) = read else {
        return;
    };
    assert!(is_plain(&read.id) && is_plain(read.account.as_str()));
    let message_id = match read.kind {
        NotificationKind::Arrived { message_id, .. } => Some(message_id),
        NotificationKind::DeliveryEvent(event) => {
            assert!(event.svix_id.is_none_or(|id| is_plain(id.as_str())));
            event.message_id
        }
        NotificationKind::Grant(_) => None,
    };
    assert!(message_id.is_none_or(|id| (1..=512).contains(&id.len())));
}
