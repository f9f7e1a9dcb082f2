//! What a notification of Nylas' says: <https://developer.nylas.com/docs/reference/notifications/>.
//!
//! Read field by field from the JSON, like everything from outside; a type comes with suffixes
//! (`message.created.truncated`, `.transformed`, `.cleaned`, ...) that change nothing here, because the
//! message itself is fetched anyway.

use super::mailbox::address_of;
use crate::model::{
    id::{GrantId, SvixId, is_plain},
    outcome::{Outcome, Reason},
};
use serde_json::Value;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The same on every delivery of it.
    pub id: String,
    /// The account it is about.
    pub account: GrantId,
    pub kind: NotificationKind,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// A message is in the mailbox: one that came in, or one that we sent.
    Arrived {
        message_id: String,
        /// Ours, by what the notification itself shows of it.
        sent_by_us: Option<Reason>,
        from: Option<String>,
    },
    /// What became of a mail that was sent.
    DeliveryEvent(DeliveryEvent),
    /// The account's grant has changed.
    Grant(GrantChange),
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryEvent {
    pub kind: DeliveryEventKind,
    /// From the metadata it was sent with, where that comes back.
    pub svix_id: Option<SvixId>,
    pub message_id: Option<String>,
    /// Whom it concerns.
    pub recipients: Vec<Recipient>,
}

/// One address a notification names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub address: String,
    /// A bounce that will be one the next time, too: no such mailbox.
    pub is_hard: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEventKind {
    Delivered,
    Bounced,
    /// Called spam by its recipient.
    Complained,
    /// Nylas found a virus in it.
    Rejected,
    /// Queued by Nylas, which could not send it.
    Failed,
}

impl DeliveryEventKind {
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Delivered => Outcome::Delivered,
            Self::Bounced => Outcome::Bounced,
            Self::Complained => Outcome::Complained,
            Self::Rejected => Outcome::Rejected,
            Self::Failed => Outcome::Failed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantChange {
    Expired,
    Deleted,
    Updated,
}

/// Why there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForUs {
    /// Not a notification, or one without what it must have.
    Unusable,
    /// A type nothing is done about.
    OtherType,
}

impl Notification {
    /// Reads a notification.
    ///
    /// # Errors
    /// Why there is none to act on.
    pub fn read(notification: &Value) -> Result<Self, NotForUs> {
        let text = |name: &str| notification.get(name).and_then(Value::as_str);
        let (Some(id), Some(trigger), Some(data)) = (
            text("id").filter(|id| is_plain(id, 128)),
            text("type"),
            notification.get("data"),
        ) else {
            return Err(NotForUs::Unusable);
        };
        // Null in some of `message.send_failed`.
        let object = data.get("object").unwrap_or(&Value::Null);
        let is = |base: &str| {
            trigger
                .strip_prefix(base)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let kind = if is("message.created") {
            NotificationKind::Arrived {
                message_id: owned(object, "id").ok_or(NotForUs::Unusable)?,
                sent_by_us: sent_by_us(object),
                from: address_of(object, "from").map(str::to_owned),
            }
        } else if is("message.delivered") {
            let delivered = object.get("delivered").unwrap_or(object);
            NotificationKind::DeliveryEvent(delivery_event(
                DeliveryEventKind::Delivered,
                object,
                delivered,
                "recipients",
            ))
        } else if is("message.bounced") {
            let bounce = object.get("bounce").unwrap_or(object);
            NotificationKind::DeliveryEvent(delivery_event(
                DeliveryEventKind::Bounced,
                object,
                bounce,
                "recipients",
            ))
        } else if is("message.complaint") {
            let complaint = object.get("complaint").unwrap_or(object);
            let field = "complained_recipients";
            NotificationKind::DeliveryEvent(delivery_event(
                DeliveryEventKind::Complained,
                object,
                complaint,
                field,
            ))
        } else if is("message.rejected") {
            NotificationKind::DeliveryEvent(delivery_event(
                DeliveryEventKind::Rejected,
                object,
                object,
                "none",
            ))
        } else if is("message.send_failed") {
            NotificationKind::DeliveryEvent(delivery_event(
                DeliveryEventKind::Failed,
                object,
                object,
                "none",
            ))
        } else if is("grant.expired") {
            NotificationKind::Grant(GrantChange::Expired)
        } else if is("grant.deleted") {
            NotificationKind::Grant(GrantChange::Deleted)
        } else if is("grant.updated") {
            NotificationKind::Grant(GrantChange::Updated)
        } else {
            return Err(NotForUs::OtherType);
        };
        let grant_id = object.get("grant_id").or_else(|| data.get("grant_id"));
        Ok(Self {
            id: id.to_owned(),
            account: grant_id
                .and_then(Value::as_str)
                .and_then(GrantId::parse)
                .ok_or(NotForUs::Unusable)?,
            kind,
        })
    }
}

/// Takes out what nobody reads here and what is private: the message itself is fetched.
pub fn slim(notification: &mut Value) {
    const PRIVATE: [&str; 5] = ["body", "snippet", "subject", "attachments", "headers"];
    let data = notification.get_mut("data");
    if let Some(Value::Object(object)) = data.and_then(|data| data.get_mut("object")) {
        object.retain(|name, _| !PRIVATE.contains(&name.as_str()));
        if let Some(Value::Object(message)) = object.get_mut("message") {
            message.retain(|name, _| !PRIVATE.contains(&name.as_str()));
        }
    }
}

/// A message of ours shows it: our metadata does not come from outside, nor does a folder.
pub fn sent_by_us(message: &Value) -> Option<Reason> {
    if message.pointer("/metadata/key1").is_some_and(|id| {
        // Somebody else's application may use the name, too.
        id.as_str()
            .is_some_and(|id| ["msg_", "forward_"].iter().any(|kind| id.starts_with(kind)))
    }) {
        return Some(Reason::OurMetadata);
    }
    let folders = message.get("folders").and_then(Value::as_array);
    let is_sent = folders.into_iter().flatten().any(|folder| {
        let name = folder.as_str().unwrap_or_default();
        name.trim_start_matches('\\').eq_ignore_ascii_case("sent")
    });
    is_sent.then_some(Reason::SentFolder)
}

fn delivery_event(
    kind: DeliveryEventKind,
    object: &Value,
    details: &Value,
    recipients: &str,
) -> DeliveryEvent {
    let message = object.get("message").unwrap_or(object);
    let bounce_type = details
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let named = details.get(recipients).and_then(Value::as_array);
    DeliveryEvent {
        kind,
        svix_id: message
            .pointer("/metadata/key1")
            .and_then(Value::as_str)
            .and_then(SvixId::parse),
        message_id: owned(message, "id"),
        recipients: named
            .into_iter()
            .flatten()
            .filter_map(|recipient| {
                // Bare in one type, objects in another.
                let address = recipient.as_str().or_else(|| {
                    let address = recipient.get("email")?;
                    address.as_str()
                })?;
                let diagnostic = recipient.get("diagnostic_code").and_then(Value::as_str);
                Some(Recipient {
                    address: address.to_owned(),
                    is_hard: is_hard(bounce_type, diagnostic),
                })
            })
            .collect(),
    }
}

/// Whether a bounce is for good. The other server's code decides, where there is one: 5xx but "mailbox
/// full"; else Nylas' type, of which it documents no list.
fn is_hard(kind: &str, diagnostic: Option<&str>) -> bool {
    let code = diagnostic
        .into_iter()
        .flat_map(|text| text.split(|letter: char| !letter.is_ascii_digit()))
        .find(|number| number.len() == 3);
    match code {
        Some(code) => code.starts_with('5') && code != "552",
        None => {
            let kind = kind.to_ascii_lowercase();
            ![
                "full",
                "transient",
                "soft",
                "tempor",
                "undetermined",
                "large",
            ]
            .iter()
            .any(|word| kind.contains(word))
        }
    }
}

fn owned(object: &Value, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    (1..=512).contains(&text.len()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
