//! What a notification of Nylas' says: <https://developer.nylas.com/docs/reference/notifications/>.
//!
//! Read field by field from the JSON, like everything from outside; a type comes with suffixes
//! (`message.created.truncated`, `.transformed`, `.cleaned`, ...) that change nothing here, because the
//! message itself is fetched anyway.

use crate::{cleaning::has, config::GrantId, json, nylas::address_of, webhook::SvixId};
use serde_json::Value;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The same on every delivery of it.
    pub id: String,
    /// The account it is about.
    pub account: GrantId,
    pub news: News,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A message is in the mailbox: one that came in, or one that we sent.
    Arrived {
        message_id: String,
        /// Ours, by what the notification itself shows of it.
        sent_by_us: Option<&'static str>,
        from: Option<String>,
    },
    /// What became of a mail that was sent.
    Fate(MailFate),
    /// The account's grant has changed.
    Grant(GrantChange),
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFate {
    pub fate: Fate,
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
pub enum Fate {
    Delivered,
    Bounced,
    /// Called spam by its recipient.
    Complained,
    /// Nylas found a virus in it.
    Rejected,
    /// Queued by Nylas, which could not send it.
    Failed,
}

impl Fate {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
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

impl Notice {
    /// Reads a notification.
    ///
    /// # Errors
    /// Why there is none to act on.
    pub fn read(notification: &Value) -> Result<Self, NotForUs> {
        let text = |name: &str| notification.get(name).and_then(Value::as_str);
        let (Some(id), Some(kind), Some(data)) = (
            text("id").filter(|id| is_id(id)),
            text("type"),
            notification.get("data"),
        ) else {
            return Err(NotForUs::Unusable);
        };
        // Null in some of `message.send_failed`.
        let object = data.get("object").unwrap_or(&Value::Null);
        let is = |base: &str| {
            kind.strip_prefix(base)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let news = if is("message.created") {
            News::Arrived {
                message_id: owned(object, "id").ok_or(NotForUs::Unusable)?,
                sent_by_us: sent_by_us(object),
                from: address_of(object, "from").map(str::to_owned),
            }
        } else if is("message.delivered") {
            let delivered = object.get("delivered").unwrap_or(object);
            News::Fate(mail_fate(Fate::Delivered, object, delivered, "recipients"))
        } else if is("message.bounced") {
            let bounce = object.get("bounce").unwrap_or(object);
            News::Fate(mail_fate(Fate::Bounced, object, bounce, "recipients"))
        } else if is("message.complaint") {
            let complaint = object.get("complaint").unwrap_or(object);
            let field = "complained_recipients";
            News::Fate(mail_fate(Fate::Complained, object, complaint, field))
        } else if is("message.rejected") {
            News::Fate(mail_fate(Fate::Rejected, object, object, "none"))
        } else if is("message.send_failed") {
            News::Fate(mail_fate(Fate::Failed, object, object, "none"))
        } else if is("grant.expired") {
            News::Grant(GrantChange::Expired)
        } else if is("grant.deleted") {
            News::Grant(GrantChange::Deleted)
        } else if is("grant.updated") {
            News::Grant(GrantChange::Updated)
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
            news,
        })
    }
}

/// Takes out what nobody reads here and what is private: the message itself is fetched.
pub fn slim(notification: &mut Value) {
    const PRIVATE: [&str; 5] = ["body", "snippet", "subject", "attachments", "headers"];
    let data = notification.get_mut("data");
    if let Some(Value::Object(object)) = data.and_then(|data| data.get_mut("object")) {
        json::remove(object, &PRIVATE);
        if let Some(Value::Object(message)) = object.get_mut("message") {
            json::remove(message, &PRIVATE);
        }
    }
}

/// A message of ours shows it: our metadata does not come from outside, nor does a folder.
pub fn sent_by_us(message: &Value) -> Option<&'static str> {
    if json::at(message, &["metadata", "key1"]).is_some_and(|id| {
        // Somebody else's application may use the name, too.
        id.as_str()
            .is_some_and(|id| ["msg_", "forward_"].iter().any(|kind| id.starts_with(kind)))
    }) {
        return Some("our_metadata");
    }
    let folders = message.get("folders").and_then(Value::as_array);
    let is_sent = folders.into_iter().flatten().any(|folder| {
        let name = folder.as_str().unwrap_or_default();
        name.trim_start_matches('\\').eq_ignore_ascii_case("sent")
    });
    is_sent.then_some("sent_folder")
}

fn mail_fate(fate: Fate, object: &Value, details: &Value, recipients: &str) -> MailFate {
    let message = object.get("message").unwrap_or(object);
    let kind = details
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let named = details.get(recipients).and_then(Value::as_array);
    MailFate {
        fate,
        svix_id: json::at(message, &["metadata", "key1"])
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
                    is_hard: is_hard(kind, diagnostic),
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
            .any(|word| has(&kind, word))
        }
    }
}

fn owned(object: &Value, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    (1..=512).contains(&text.len()).then(|| text.to_owned())
}

/// Fits a key and a log.
fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests;
