//! Reads the e-mail that Clerk asks for out of a verified webhook, or says why there is none to send.
//!
//! Clerk's event is described at <https://clerk.com/docs/guides/development/webhooks/overview> and in its OpenAPI
//! document. Fields are read one by one: unknown ones are ignored, and a known one that is absent, null or of another
//! type counts as absent.

use crate::{
    model::{
        mail::{Content, Email, Slug, is_address, is_local_part},
        outcome::Reason,
        time::{MINUTE, UnixMillis},
    },
    signature::VerifiedWebhook,
};
use serde_json::Value;
use std::time::Duration;

/// Why a verified event is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForUs {
    /// Another event type.
    Ignored,
    /// Clerk sends this one itself, or does not say that it does not.
    DeliveredByClerk { reason: Reason },
    /// It is malformed. The reason names the field.
    Unusable { reason: Reason },
}

/// The slug, by how much the event's two times differ if that is remarkable, and the e-mail.
type Read = (Slug, Option<Duration>, Result<(Email, Content), NotForUs>);

/// Reads the e-mail out of a verified webhook. For the log, the slug is returned even if the mail is not for us.
/// `keeps_both`: of a mail that has HTML and plain text both are kept, for SMTP.
pub fn read_email(webhook: &VerifiedWebhook<'_>, keeps_both: bool) -> Read {
    let unusable = |reason| (Slug::default(), None, Err(NotForUs::Unusable { reason }));
    let Ok(event) = serde_json::from_slice::<Value>(webhook.body()) else {
        return unusable(Reason::BodyIsNotJson);
    };
    let Some(event_type) = text(&event, "type") else {
        return unusable(Reason::TypeMissing);
    };
    // `emails.created` is a typo of one documentation page that others copied.
    if !matches!(event_type, "email.created" | "emails.created") {
        return (Slug::default(), None, Err(NotForUs::Ignored));
    }
    let data = event.get("data").unwrap_or(&Value::Null);
    let slug = Slug::new(text(data, "slug"));
    let (made_at, differ) = made_at(webhook, &event);
    let read = match data.get("delivered_by_clerk") {
        // Clerk sends the event for its own mails, too. Only an explicit `false` is ours: a second mail would carry a
        // second code.
        Some(Value::Bool(false)) => read_ours(webhook, made_at, data, slug.clone(), keeps_both)
            .map_err(|reason| NotForUs::Unusable { reason }),
        Some(Value::Bool(true)) => Err(NotForUs::DeliveredByClerk {
            reason: Reason::TemplateIsDeliveredByClerk,
        }),
        _ => Err(NotForUs::DeliveredByClerk {
            reason: Reason::DeliveredByClerkIsNotFalse,
        }),
    };
    (slug, differ, read)
}

/// When Clerk made the event, and by how much its two times differ if that is over a minute.
///
/// What `timestamp` is of, no document says, and if it were too early every code would count as expired. Svix makes an
/// id with a time of its own when Clerk hands it the event, so the later of the two counts. An id from after the
/// attempt's own signature has no time that could be believed.
///
/// Without a time of its own the event counts as made when this attempt was signed: a late mail is better than none.
fn made_at(webhook: &VerifiedWebhook<'_>, event: &Value) -> (UnixMillis, Option<Duration>) {
    let signed_at = webhook.signed_at();
    let Some(own) = event.get("timestamp").and_then(event_time) else {
        return (signed_at, None);
    };
    let of_id = webhook.id().made_at().filter(|at| *at <= signed_at);
    let of_id = of_id.unwrap_or(own);
    let differ = own.since(of_id).max(of_id.since(own));
    (own.max(of_id), (differ > MINUTE).then_some(differ))
}

fn read_ours(
    webhook: &VerifiedWebhook<'_>,
    created_at: UnixMillis,
    data: &Value,
    slug: Slug,
    keeps_both: bool,
) -> Result<(Email, Content), Reason> {
    let to = text(data, "to_email_address")
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .ok_or(Reason::RecipientMissing)?;
    if !is_address(to) {
        return Err(Reason::RecipientMalformed);
    }
    let subject = text(data, "subject")
        .map(one_line)
        .filter(|subject| !subject.is_empty())
        .ok_or(Reason::SubjectMissing)?;
    let content = match (filled(data, "body"), filled(data, "body_plain")) {
        (Some(html), Some(plain)) if keeps_both => Content::Alternatives {
            html: html.to_owned(),
            text: plain.to_owned(),
        },
        (Some(html), _) => Content::Html(html.to_owned()),
        (None, Some(plain)) => Content::Text(plain.to_owned()),
        (None, None) => return Err(Reason::BodyMissing),
    };
    let email = Email {
        svix_id: webhook.id().clone(),
        created_at,
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
        only_account: None,
    };
    Ok((email, content))
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn filled<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    text(object, field).filter(|value| !value.trim().is_empty())
}

/// Clerk's documents show seconds in one place and milliseconds in another. Until the year 5138 the size tells which.
fn event_time(timestamp: &Value) -> Option<UnixMillis> {
    const MILLISECONDS_FROM: u64 = 100_000_000_000;
    let number = timestamp.as_u64().filter(|number| *number > 0)?;
    Some(if number >= MILLISECONDS_FROM {
        UnixMillis(number)
    } else {
        UnixMillis::from_seconds(number)
    })
}

/// A subject is one header line, so line breaks and control characters become spaces.
fn one_line(subject: &str) -> String {
    let spaced: String = subject
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    spaced.trim().to_owned()
}

#[cfg(test)]
mod tests;
