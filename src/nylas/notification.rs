//! Notifications from Nylas: <https://developer.nylas.com/docs/reference/notifications/>.
//!
//! A notification is read field by field. So a field of another type than expected counts as absent, and the rest can
//! still be used. A type may have suffixes (`message.created.truncated`, `.transformed`, `.cleaned`, ...). They make no
//! difference here, because the relay fetches the message itself.

use super::{bounce::BounceKind, client::is_bulky, mailbox::address_of};
use crate::{
    model::{
        account::Folders,
        id::{GrantId, SvixId, is_plain},
        outcome::{Outcome, Reason},
    },
    signature::VerifiedNotification,
};
use serde_json::{Value, json};

/// The JSON of a verified notification. Nothing else can be read as a notification.
#[derive(Clone, Debug)]
pub struct VerifiedJson(Value);

impl VerifiedJson {
    /// `unpacked`: the content of a compressed body. What is no JSON becomes null, which is no notification.
    pub fn new(verified: &VerifiedNotification<'_>, unpacked: Option<&[u8]>) -> Self {
        let bytes = unpacked.unwrap_or(verified.body());
        let text = str::from_utf8(bytes).unwrap_or_default();
        // The sweep finds the message all the same, without what makes it long.
        let text = if is_bulky(text) { "" } else { text };
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// A notification out of the queue. Only verified ones are put there, and those of the relay's own sweep.
    pub fn from_queue(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// The name in the metadata of the mail it is about, if that is one of a probe (`prove_...`), and how it came.
    pub fn about_a_probe(&self) -> Option<(&str, Value)> {
        let object = self.0.pointer("/data/object")?;
        let message = object.get("message").unwrap_or(object);
        let name = message.pointer("/metadata/key1")?.as_str()?;
        let of = |field: &str| self.0.get(field).cloned().unwrap_or_default();
        let seen = json!({
            "notification": of("id"), "type": of("type"), "time": of("time"),
            "delivery_attempt": of("webhook_delivery_attempt"),
        });
        name.starts_with("prove_").then_some((name, seen))
    }

    /// Its text for the queue, without what is private.
    pub fn into_queue(mut self) -> String {
        slim(&mut self.0);
        self.0.to_string()
    }
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Nylas' id of the notification. It is the same each time Nylas repeats it.
    pub id: String,
    /// The account it is about.
    pub account: GrantId,
    pub kind: NotificationKind,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// There is a new message in the mailbox: somebody wrote it, or the relay sent it.
    Arrived {
        message_id: String,
        /// What shows that the relay sent it, if the notification does.
        sent_by_us: Option<Reason>,
        /// The sender's address.
        from: Option<String>,
    },
    /// What became of a mail that Nylas accepted.
    DeliveryEvent(DeliveryEvent),
    /// The account's grant has changed.
    Grant(GrantChange),
}

/// What became of a mail that Nylas accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryEvent {
    pub kind: DeliveryEventKind,
    /// The mail's Svix id, from its metadata, if the notification has that.
    pub svix_id: Option<SvixId>,
    pub message_id: Option<String>,
    /// The recipients that it names.
    pub recipients: Vec<Recipient>,
}

/// One address a notification names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub address: String,
    /// What a bounce means. Of another event it means nothing.
    pub bounce: BounceKind,
}

/// What happened to the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEventKind {
    /// The recipient's server accepted it.
    Delivered,
    /// The recipient's server refused it.
    Bounced,
    /// Its recipient called it spam.
    Complained,
    /// Nylas found a virus in it.
    Rejected,
    /// Nylas queued it (202) and could not send it.
    Failed,
}

impl DeliveryEventKind {
    /// The outcome that is logged and recorded for it.
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

/// What happened to an account's grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantChange {
    Expired,
    Deleted,
    Updated,
}

/// Why the relay does nothing with a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForUs {
    /// It is no notification, or lacks a field that it must have.
    Unusable,
    /// Its type does not concern the relay.
    OtherType,
}

impl Notification {
    /// Reads a notification.
    ///
    /// # Errors
    /// Why there is none to act on.
    pub fn read(VerifiedJson(notification): &VerifiedJson) -> Result<Self, NotForUs> {
        let text = |name: &str| notification.get(name).and_then(Value::as_str);
        let id = text("id").filter(|id| is_plain(id, 128));
        let (Some(id), Some(trigger), Some(data)) = (id, text("type"), notification.get("data"))
        else {
            return Err(NotForUs::Unusable);
        };
        // Some of `message.send_failed` have none.
        let object = data.get("object").unwrap_or(&Value::Null);
        let kind = NotificationKind::read(trigger, object)?;
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

impl NotificationKind {
    fn read(trigger: &str, object: &Value) -> Result<Self, NotForUs> {
        let event = |kind| Ok(Self::DeliveryEvent(DeliveryEvent::read(kind, object)));
        let mut words = trigger.split('.');
        match (words.next(), words.next()) {
            (Some("message"), Some("created")) => Ok(Self::Arrived {
                message_id: owned(object, "id").ok_or(NotForUs::Unusable)?,
                // The folders' ids are not looked up here: most notifications end here, by another sign.
                sent_by_us: sent_by_us(object, &Folders::default()),
                from: address_of(object, "from").map(str::to_owned),
            }),
            (Some("message"), Some("delivered")) => event(DeliveryEventKind::Delivered),
            (Some("message"), Some("bounced")) => event(DeliveryEventKind::Bounced),
            (Some("message"), Some("complaint")) => event(DeliveryEventKind::Complained),
            (Some("message"), Some("rejected")) => event(DeliveryEventKind::Rejected),
            (Some("message"), Some("send_failed")) => event(DeliveryEventKind::Failed),
            (Some("grant"), Some("expired")) => Ok(Self::Grant(GrantChange::Expired)),
            (Some("grant"), Some("deleted")) => Ok(Self::Grant(GrantChange::Deleted)),
            (Some("grant"), Some("updated")) => Ok(Self::Grant(GrantChange::Updated)),
            _ => Err(NotForUs::OtherType),
        }
    }
}

/// Removes what is private, before the notification is queued. The relay fetches the message itself, so it needs none
/// of that.
fn slim(notification: &mut Value) {
    const PRIVATE: [&str; 5] = ["body", "snippet", "subject", "attachments", "headers"];
    let data = notification.get_mut("data");
    if let Some(Value::Object(object)) = data.and_then(|data| data.get_mut("object")) {
        object.retain(|name, _| !PRIVATE.contains(&name.as_str()));
        if let Some(Value::Object(message)) = object.get_mut("message") {
            message.retain(|name, _| !PRIVATE.contains(&name.as_str()));
        }
    }
}

/// What shows that the relay sent a message, if anything does. A message from outside has neither the relay's metadata
/// nor the Sent folder.
pub fn sent_by_us(message: &Value, known: &Folders) -> Option<Reason> {
    if message.pointer("/metadata/key1").is_some_and(|id| {
        // Another application may use the same name.
        id.as_str()
            .is_some_and(|id| ["msg_", "forward_"].iter().any(|kind| id.starts_with(kind)))
    }) {
        return Some(Reason::OurMetadata);
    }
    let folders = message.get("folders").and_then(Value::as_array);
    let mut folders = folders.into_iter().flatten().filter_map(Value::as_str);
    let is_sent = folders.any(|folder| known.is_sent(folder));
    is_sent.then_some(Reason::SentFolder)
}

impl DeliveryEvent {
    fn read(kind: DeliveryEventKind, object: &Value) -> Self {
        let message = object.get("message").unwrap_or(object);
        Self {
            kind,
            svix_id: message
                .pointer("/metadata/key1")
                .and_then(Value::as_str)
                .and_then(SvixId::parse),
            message_id: owned(message, "id"),
            recipients: recipients(kind, object),
        }
    }
}

/// The addresses that a delivery event names.
fn recipients(kind: DeliveryEventKind, object: &Value) -> Vec<Recipient> {
    let (details, list) = match kind {
        DeliveryEventKind::Delivered => ("delivered", "recipients"),
        DeliveryEventKind::Bounced => ("bounce", "recipients"),
        DeliveryEventKind::Complained => ("complaint", "complained_recipients"),
        DeliveryEventKind::Rejected | DeliveryEventKind::Failed => return Vec::new(),
    };
    let details = object.get(details).unwrap_or(object);
    let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let bounce_type = text(details, "type").unwrap_or_default();
    let named = details.get(list).and_then(Value::as_array);
    named
        .into_iter()
        .flatten()
        .filter_map(|recipient| {
            // Some notification types list bare addresses, others list objects.
            let address = match recipient.as_str() {
                Some(address) => address.to_owned(),
                None => text(recipient, "email")?,
            };
            let diagnostic = text(recipient, "diagnostic_code");
            Some(Recipient {
                address,
                bounce: BounceKind::read(&bounce_type, diagnostic.as_deref()),
            })
        })
        .collect()
}

/// A field's text, unless it is empty or too long to be an id.
fn owned(object: &Value, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    (1..=512).contains(&text.len()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
