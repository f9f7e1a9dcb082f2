//! Who wrote a message in an Agent Account's mailbox: a person, a machine, or the relay itself.

use crate::{
    model::{
        account::Folders,
        mail::is_plain_address,
        message_id::read_message_id,
        outcome::{Outcome, Reason},
    },
    nylas::{
        mailbox::{address_of, is_listed},
        notification::sent_by_us,
        sent_folder::basic_header,
    },
};
use serde_json::Value;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Only a person's mail is handed on.
    Person,
    /// An automatic answer, such as an out-of-office reply (RFC 3834).
    Automatic,
    /// A mailing list.
    List,
    /// A mail system reports a mail that could not be delivered.
    Bounce,
    /// Taken for spam by Nylas.
    Junk,
    /// The relay sent it.
    Own,
    /// It was deleted.
    Gone,
}

impl Class {
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Person => Outcome::Person,
            Self::Automatic => Outcome::Automatic,
            Self::List => Outcome::List,
            Self::Bounce => Outcome::Bounce,
            Self::Junk => Outcome::Junk,
            Self::Own => Outcome::Own,
            Self::Gone => Outcome::Gone,
        }
    }
}

/// A message as Nylas returns it, with headers.
pub struct InboundMail<'a>(pub &'a Value);

impl<'a> InboundMail<'a> {
    pub fn text(&self, name: &str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn thread_id(&self) -> Option<&'a str> {
        Some(self.text("thread_id")).filter(|id| !id.is_empty())
    }

    /// What is in `From`. Anybody can write anything there.
    pub fn from(&self) -> &'a str {
        address_of(self.0, "from").unwrap_or_default()
    }

    /// The address in `From`, if it is one. Only this may be written to.
    pub fn from_address(&self) -> Option<&'a str> {
        Some(self.from()).filter(|from| is_plain_address(from))
    }

    pub fn from_name(&self) -> &'a str {
        let first = self.0.get("from").and_then(|from| from.get(0));
        let name = first.and_then(|first| first.get("name")?.as_str());
        name.unwrap_or_default()
    }

    /// When it came in, in Unix seconds.
    pub fn received_at(&self) -> u64 {
        let date = self.0.get("date").and_then(Value::as_u64);
        date.unwrap_or_default()
    }

    pub fn attachments(&self) -> usize {
        let list = self.0.get("attachments").and_then(Value::as_array);
        list.map_or(0, Vec::len)
    }

    /// A header's value, in lower case.
    fn header(&self, name: &str) -> Option<String> {
        let headers = self.0.get("headers")?.as_array()?;
        let of = |header: &'a Value, field: &str| header.get(field).and_then(Value::as_str);
        headers
            .iter()
            .find(|header| of(header, "name").is_some_and(|known| known.eq_ignore_ascii_case(name)))
            .and_then(|header| of(header, "value"))
            .map(|value| value.trim().to_ascii_lowercase())
    }

    fn is_junk(&self, known: &Folders) -> bool {
        let list = self.0.get("folders").and_then(Value::as_array);
        let mut folders = list.into_iter().flatten().filter_map(Value::as_str);
        folders.any(|folder| known.is_junk(folder))
    }

    /// Who wrote it, and what shows it. Our own mails are recognized first, because nobody may ever answer them.
    pub fn classify(&self, own_addresses: &[String], folders: &Folders) -> (Class, Reason) {
        if let Some(sign) = sent_by_us(self.0, folders) {
            return (Class::Own, sign);
        }
        let from = self.from();
        if own_addresses
            .iter()
            .any(|own| own.eq_ignore_ascii_case(from))
        {
            return (Class::Own, Reason::OwnAddress);
        }
        // Sent over SMTP, which has no metadata, with another From.
        let message_id = basic_header(self.0, "Message-ID").and_then(read_message_id);
        let is_own_id = message_id.is_some_and(|(_, domain)| {
            own_addresses.iter().any(|own| {
                let own_domain = own.rsplit_once('@').map(|(_, domain)| domain);
                own_domain.is_some_and(|own| own.eq_ignore_ascii_case(domain))
            })
        });
        if is_own_id {
            return (Class::Own, Reason::OwnMessageId);
        }
        let kind = self.header("content-type").unwrap_or_default();
        if kind.starts_with("multipart/report") {
            return (Class::Bounce, Reason::DeliveryReport);
        }
        let sender = from.split('@').next().unwrap_or_default();
        if is_listed(sender, &["mailer-daemon", "postmaster"]) {
            return (Class::Bounce, Reason::MailSystem);
        }
        if self.header("return-path").is_some_and(|path| path == "<>") {
            return (Class::Bounce, Reason::NullSender);
        }
        if from.is_empty() {
            return (Class::Bounce, Reason::NoSender);
        }
        let header = |name: &str| self.header(name);
        if header("auto-submitted").is_some_and(|how| !how.starts_with("no")) {
            return (Class::Automatic, Reason::AutoSubmitted);
        }
        if header("list-id").is_some() || header("list-unsubscribe").is_some() {
            return (Class::List, Reason::ListHeader);
        }
        match header("precedence").as_deref() {
            Some("list") => return (Class::List, Reason::Precedence),
            Some("bulk" | "junk" | "auto_reply") => return (Class::Automatic, Reason::Precedence),
            _ => {}
        }
        if header("x-auto-response-suppress").is_some_and(|what| what != "none") {
            return (Class::Automatic, Reason::AutoResponseSuppress);
        }
        const VENDORS: [&str; 4] = [
            "x-autoreply",
            "x-autorespond",
            "x-auto-reply",
            "x-autoresponder",
        ];
        if VENDORS.iter().any(|name| header(name).is_some()) {
            return (Class::Automatic, Reason::VendorHeader);
        }
        if self.is_junk(folders) {
            return (Class::Junk, Reason::JunkFolder);
        }
        (Class::Person, Reason::Person)
    }
}

#[cfg(test)]
mod tests;
