//! A mail: what Clerk asks for, or a reply that is forwarded to a person.

use super::{
    id::SvixId,
    time::{DAY, MINUTE, UnixMillis},
};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// An e-mail that Clerk rendered and left to us. Everything in it but the id and the slug is
/// private: `Debug` shows only those.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    pub svix_id: SvixId,
    /// When Clerk made the event. The same on every attempt; what expiry is counted from.
    pub created_at: UnixMillis,
    #[serde(default)]
    pub slug: Slug,
    /// The address as Clerk wrote it, upper case and all.
    pub to: String,
    /// One line, without surrounding white space.
    pub subject: String,
    /// Clerk gives the local part only; the domain is the sending account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to_local_part: Option<String>,
    /// What Clerk would send it from, at the account's domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_local_part: Option<String>,
    /// A whole address, on a reply that is forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

impl Email {
    /// From then on the mail is worth nothing, or less.
    pub fn expires_at(&self) -> UnixMillis {
        self.created_at.plus(self.slug.ttl())
    }

    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.expires_at()
    }

    pub fn age(&self, now: UnixMillis) -> Duration {
        now.since(self.created_at)
    }
}

/// The body of a mail: Clerk's HTML, or its plain text where there is no HTML.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Html(String),
    Text(String),
}

/// Stands where a slug does on a mail that is none of Clerk's: a reply forwarded to a person.
pub const FORWARDED_REPLY: &str = "forwarded_reply";

/// The name of a Clerk template, or of none (mails made through Clerk's API have no template).
/// Unknown names are passed on: Clerk adds templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
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
    pub fn ttl(&self) -> Duration {
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

impl From<Option<String>> for Slug {
    fn from(name: Option<String>) -> Self {
        Self::new(name.as_deref())
    }
}

impl From<Slug> for Option<String> {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

/// One bare address: nothing that could be read as two, or as a header. Whether it exists is for
/// the mail system to say.
pub fn is_address(text: &str) -> bool {
    let plain = !text.chars().any(|letter| {
        letter.is_control() || letter.is_whitespace() || matches!(letter, ',' | ';' | '<' | '>')
    });
    let Some((local_part, domain)) = text.rsplit_once('@') else {
        return false;
    };
    plain && text.len() <= 320 && !local_part.is_empty() && !domain.is_empty()
}
