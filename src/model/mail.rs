//! A mail: what Clerk asks for, or a reply that is forwarded to a person.

use super::{
    id::{GrantId, SvixId},
    time::{DAY, MINUTE, UnixMillis},
};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// An e-mail that Clerk rendered and left to the relay. Everything in it but the id and the slug is private, so `Debug`
/// shows only those.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    pub svix_id: SvixId,
    /// When Clerk made the event. It is the same on every attempt, and the TTL counts from it.
    pub created_at: UnixMillis,
    #[serde(default)]
    pub slug: Slug,
    /// The recipient's address, exactly as Clerk wrote it.
    pub to: String,
    /// One line, without white space around it.
    pub subject: String,
    /// Clerk gives the local part only; the domain is the sending account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to_local_part: Option<String>,
    /// The local part of the sender that is set in Clerk. The mail is sent from the account's own address instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_local_part: Option<String>,
    /// The whole reply address of a reply that is forwarded to a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Clerk's id of the user, which may be absent before sign-up is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The only account that may send it, of a reply that is forwarded: the one whose mailbox it came into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_account: Option<GrantId>,
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

#[cfg(test)]
impl Email {
    /// A code for Jane, which tests begin from. A test sets the fields that it is about.
    pub fn sample() -> Self {
        Self {
            svix_id: SvixId::parse("msg_1").unwrap(),
            created_at: UnixMillis(0),
            slug: Slug::new(Some("verification_code")),
            to: "jane@example.com".into(),
            subject: "Code".into(),
            reply_to_local_part: None,
            from_local_part: None,
            reply_to: None,
            user_id: None,
            only_account: None,
        }
    }
}

impl Email {
    /// From then on the mail is of no use and must not be sent.
    pub fn expires_at(&self) -> UnixMillis {
        self.created_at.plus(self.slug.ttl())
    }

    /// Whether the mail's TTL is over.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.expires_at()
    }

    /// The address in `Reply-To`, if the mail has one. `sender`: the address it is sent from.
    pub fn reply_address(&self, sender: &str) -> Option<String> {
        // A forward that 0.2.0 queued may have anything there, and Nylas would refuse the whole mail.
        let whole = self.reply_to.clone();
        let whole = whole.filter(|address| is_plain_address(address));
        whole.or_else(|| {
            let (_, domain) = sender.rsplit_once('@')?;
            let local_part = self.reply_to_local_part.as_ref()?;
            Some(format!("{local_part}@{domain}"))
        })
    }

    /// The time since Clerk made the event.
    pub fn age(&self, now: UnixMillis) -> Duration {
        now.since(self.created_at)
    }
}

/// The body of a mail: Clerk's HTML, or its plain text if there is no HTML, or both.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Html(String),
    Text(String),
    /// Both, of a mail that may go out over SMTP. Nylas' API takes one of them.
    Alternatives {
        html: String,
        text: String,
    },
}

/// The slug of a mail that is not Clerk's: a reply that is forwarded to a person.
pub const FORWARDED_REPLY: &str = "forwarded_reply";

/// The name of a Clerk template. Mails made through Clerk's API have none. Unknown names are kept, because Clerk adds
/// templates.
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

    /// Whether it is a code or a magic link: somebody waits for it at a sign-in page, and it is of use for ten minutes.
    pub fn is_code(&self) -> bool {
        let name = self.as_str().unwrap_or_default();
        name.ends_with("_code") || name.starts_with("magic_link")
    }

    /// How long a mail is of use: its TTL.
    ///
    /// Clerk's codes and magic links expire after ten minutes. An invitation is valid for 30 days, but one that comes a
    /// week late has failed. The rest inform about something that happened.
    pub fn ttl(&self) -> Duration {
        let name = self.as_str().unwrap_or_default();
        if self.is_code() {
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

/// Whether a text is one bare address, which cannot be read as two addresses or as a header. Whether it exists only the
/// mail system knows.
pub fn is_address(text: &str) -> bool {
    let plain = !text.chars().any(|letter| {
        letter.is_control() || letter.is_whitespace() || matches!(letter, ',' | ';' | '<' | '>')
    });
    let Some((local_part, domain)) = text.rsplit_once('@') else {
        return false;
    };
    plain && text.len() <= 320 && !local_part.is_empty() && !domain.is_empty()
}

/// Whether a text is what stands before the `@` of an address, unquoted (RFC 5322's dot-atom).
pub fn is_local_part(text: &str) -> bool {
    let is_letter =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    (1..=64).contains(&text.len())
        && text
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(is_letter))
}

/// The words of a refusal, in lower case, without those that the mail's addresses have: a server may repeat an address,
/// and strangers choose theirs. One named "paused" must not make an account look paused.
pub fn words_of_refusal(text: &str, addresses: &[&str]) -> String {
    let words = |text: &str| -> Vec<String> {
        let text = text.to_ascii_lowercase();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let chosen: Vec<String> = addresses.iter().copied().flat_map(words).collect();
    let mut said = words(text);
    said.retain(|word| !chosen.contains(word));
    said.join(" ")
}

/// Whether a text is an address that no mail system refuses: ASCII, unquoted, at a domain name with a dot. It is
/// stricter than [`is_address`], because a stranger may write anything, and Nylas refuses a mail whose `Reply-To` is
/// malformed.
pub fn is_plain_address(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let Some((local_part, domain)) = text.rsplit_once('@') else {
        return false;
    };
    text.len() <= 254
        && is_local_part(local_part)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
