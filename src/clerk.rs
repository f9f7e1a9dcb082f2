//! From the bytes Clerk signed to the e-mail they ask for, or why there is none for us to send.
//!
//! Clerk's event is described at <https://clerk.com/docs/guides/development/webhooks/overview> and in
//! its OpenAPI document. Fields are read one by one: unknown ones are ignored, and a known one that
//! is absent, null or of another type counts as absent.

use crate::{
    json::{FromJson, field, optional},
    time::{DAY, MINUTE, UnixMillis},
    webhook::{SvixId, VerifiedWebhook},
};
use serde::Serialize;
use serde_json::Value;
use std::{fmt, time::Duration};

/// An e-mail that Clerk rendered and left to us. Everything in it but the id and the slug is
/// private: `Debug` shows only those.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Email {
    pub svix_id: SvixId,
    /// When Clerk made the event. The same on every attempt; what expiry is counted from.
    pub created_at: UnixMillis,
    pub slug: Slug,
    /// The address as Clerk wrote it, upper case and all.
    pub to: String,
    /// One line, without surrounding white space.
    pub subject: String,
    /// Clerk gives the local part only; the domain is the sending account's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to_local_part: Option<String>,
    /// What Clerk would send it from, at the account's domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_local_part: Option<String>,
    /// A whole address, on a reply that is forwarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Email")
            .field("svix_id", &self.svix_id)
            .field("slug", &self.slug)
            .finish_non_exhaustive()
    }
}

impl FromJson for Email {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            svix_id: field(value, "svix_id")?,
            created_at: field(value, "created_at")?,
            slug: Slug::new(text(value, "slug")),
            to: field(value, "to")?,
            subject: field(value, "subject")?,
            reply_to_local_part: optional(value, "reply_to_local_part")?,
            from_local_part: optional(value, "from_local_part")?,
            reply_to: optional(value, "reply_to")?,
            user_id: optional(value, "user_id")?,
        })
    }
}

impl Email {
    /// From then on the mail is worth nothing, or less.
    pub fn expires_at(&self) -> UnixMillis {
        self.created_at.plus(self.slug.life())
    }

    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.expires_at()
    }

    pub fn age(&self, now: UnixMillis) -> Duration {
        now.since(self.created_at)
    }
}

/// The body of a mail: Clerk's HTML, or its plain text where there is no HTML.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Html(String),
    Text(String),
}

impl FromJson for Content {
    fn from_json(value: &Value) -> Option<Self> {
        match (field(value, "html"), field(value, "text")) {
            (Some(html), None) => Some(Self::Html(html)),
            (None, Some(text)) => Some(Self::Text(text)),
            _ => None,
        }
    }
}

/// Stands where a slug does on a mail that is none of Clerk's: a reply forwarded to a person.
pub const FORWARDED_REPLY: &str = "forwarded_reply";

/// The name of a Clerk template, or of none (mails made through Clerk's API have no template).
/// Unknown names are passed on: Clerk adds templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Slug(Option<String>);

impl Slug {
    /// Keeps the name only if it looks like one, because it goes into logs.
    pub fn new(name: Option<&str>) -> Self {
        Self(
            name.filter(|name| {
                (1..=64).contains(&name.len())
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            })
            .map(str::to_owned),
        )
    }

    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// How long the content is of use. Codes and magic links live ten minutes at Clerk; an
    /// invitation lives thirty days, but one that is a week late has failed; the rest are notices.
    pub fn life(&self) -> Duration {
        let name = self.as_str().unwrap_or_default();
        if name.ends_with("_code") || name.starts_with("magic_link") {
            MINUTE.saturating_mul(10)
        } else if name.ends_with("invitation") || name == FORWARDED_REPLY {
            DAY.saturating_mul(7)
        } else {
            DAY
        }
    }
}

/// Why a believed event is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForUs {
    /// Another event type.
    Ignored,
    /// Clerk sends this one itself, or does not say that it does not.
    DeliveredByClerk { reason: &'static str },
    /// Malformed beyond use; the reason names the field.
    Unusable { reason: &'static str },
}

/// Reads the e-mail out of a believed webhook. The slug is returned beside, for the log, also where
/// the mail is not for us.
pub fn read_email(webhook: &VerifiedWebhook<'_>) -> (Slug, Result<(Email, Content), NotForUs>) {
    let unusable = |reason| (Slug::default(), Err(NotForUs::Unusable { reason }));
    let Ok(event) = serde_json::from_slice::<Value>(webhook.body) else {
        return unusable("body_is_not_json");
    };
    let Some(event_type) = text(&event, "type") else {
        return unusable("type_missing");
    };
    // `emails.created` is a typo of one documentation page that others copied.
    if !matches!(event_type, "email.created" | "emails.created") {
        return (Slug::default(), Err(NotForUs::Ignored));
    }
    let data = event.get("data").unwrap_or(&Value::Null);
    let slug = Slug::new(text(data, "slug"));
    let read = match data.get("delivered_by_clerk") {
        // Clerk fires the event for its own sends, too. Only an explicit `false` is ours: a second
        // mail would carry a second code.
        Some(Value::Bool(false)) => read_ours(webhook, &event, data, slug.clone())
            .map_err(|reason| NotForUs::Unusable { reason }),
        Some(Value::Bool(true)) => Err(NotForUs::DeliveredByClerk {
            reason: "template_is_delivered_by_clerk",
        }),
        _ => Err(NotForUs::DeliveredByClerk {
            reason: "delivered_by_clerk_is_not_false",
        }),
    };
    (slug, read)
}

fn read_ours(
    webhook: &VerifiedWebhook<'_>,
    event: &Value,
    data: &Value,
    slug: Slug,
) -> Result<(Email, Content), &'static str> {
    let to = text(data, "to_email_address")
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .ok_or("recipient_missing")?;
    if !is_address(to) {
        return Err("recipient_malformed");
    }
    let subject = text(data, "subject")
        .map(one_line)
        .filter(|subject| !subject.is_empty())
        .ok_or("subject_missing")?;
    let content = match (filled(data, "body"), filled(data, "body_plain")) {
        (Some(html), _) => Content::Html(html.to_owned()),
        (None, Some(plain)) => Content::Text(plain.to_owned()),
        (None, None) => return Err("body_missing"),
    };
    let email = Email {
        svix_id: webhook.id.clone(),
        // An event without its time is judged from this attempt's: late is better than never.
        created_at: event
            .get("timestamp")
            .and_then(event_time)
            .unwrap_or(webhook.signed_at),
        slug,
        to: to.to_owned(),
        subject,
        reply_to_local_part: text(data, "reply_to_email_name")
            .filter(|name| is_local_part(name))
            .map(str::to_owned),
        from_local_part: text(data, "from_email_name")
            .filter(|name| is_local_part(name))
            .map(str::to_owned),
        reply_to: None,
        user_id: text(data, "user_id").map(str::to_owned),
    };
    Ok((email, content))
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn filled<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    text(object, field).filter(|value| !value.trim().is_empty())
}

/// Clerk's documents show seconds in one place and milliseconds in another; nothing before the year
/// 5138 is ambiguous.
fn event_time(timestamp: &Value) -> Option<UnixMillis> {
    const MILLISECONDS_FROM: u64 = 100_000_000_000;
    let number = timestamp.as_u64().filter(|number| *number > 0)?;
    Some(if number >= MILLISECONDS_FROM {
        UnixMillis(number)
    } else {
        UnixMillis::from_seconds(number)
    })
}

/// Line breaks and control characters become spaces: a subject is one header line.
fn one_line(subject: &str) -> String {
    let spaced: String = subject
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    spaced.trim().to_owned()
}

/// One bare address: nothing that could be read as two, or as a header. Whether it exists is for
/// the mail system to say.
pub(crate) fn is_address(text: &str) -> bool {
    let plain = !text.chars().any(|letter| {
        letter.is_control() || letter.is_whitespace() || matches!(letter, ',' | ';' | '<' | '>')
    });
    let Some((local_part, domain)) = text.rsplit_once('@') else {
        return false;
    };
    plain && text.len() <= 320 && !local_part.is_empty() && !domain.is_empty()
}

fn is_local_part(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte))
}

#[cfg(test)]
mod tests;
