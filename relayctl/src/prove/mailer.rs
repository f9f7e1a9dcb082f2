//! The only place of `prove` that sends. It writes to the account's own address, and no more often than was said.

use crate::{
    clock,
    failure::Failure,
    http::{Ask, Reply},
    nylas::Nylas,
    smtp,
};
use clerk_nylas_relay::{
    config::Smtp,
    model::{
        account::Identity,
        id::SvixId,
        mail::{Content, Email, Slug},
        secret::Secret,
    },
    smtp::{meaning::Submitted, message::Message},
};
use serde_json::{Value, json};
use std::{cell::Cell, time::Duration};

/// No run sends more mails.
pub const MAILS_MAX: u32 = 20;
/// How long each step at the mail server may take.
const SMTP_TIMEOUT: Duration = Duration::from_secs(30);

/// A request to send. Only a [`Mailer`] makes one, and only to its own account.
pub struct Letter(Vec<u8>);

/// Sends mails from one account to itself.
pub struct Mailer<'a> {
    nylas: &'a Nylas<'a>,
    grant_id: &'a str,
    address: &'a str,
    at_most: u32,
    sent: Cell<u32>,
}

impl<'a> Mailer<'a> {
    /// `at_most`: what the operator was told.
    pub fn new(nylas: &'a Nylas<'a>, grant_id: &'a str, address: &'a str, at_most: u32) -> Self {
        Self {
            nylas,
            grant_id,
            address,
            at_most: at_most.min(MAILS_MAX),
            sent: Cell::new(0),
        }
    }

    /// A mail of that name.
    pub fn letter(&self, name: &str, body: &str) -> Letter {
        Letter(self.mail(name, body, &json!([{"email": self.address}])))
    }

    /// A request without a recipient, which Nylas refuses.
    pub fn malformed(&self, name: &str) -> Letter {
        Letter(self.mail(name, "<p>Nobody gets this.</p>", &json!([])))
    }

    fn mail(&self, name: &str, body: &str, to: &Value) -> Vec<u8> {
        json!({
            "from": [{"email": self.address}], "to": to, "subject": subject(name), "body": body,
            "metadata": {"key1": name},
            "custom_headers": [{"name": "Auto-Submitted", "value": "auto-generated"}],
        })
        .to_string()
        .into_bytes()
    }

    /// The account's address.
    pub fn address(&self) -> &str {
        self.address
    }

    /// Hands a mail in over SMTP, under a `Message-ID` of the relay's that has this id.
    pub fn over_smtp(
        &self,
        smtp: &Smtp,
        password: &Secret,
        id: &SvixId,
        name: &str,
    ) -> Result<Submitted, Failure> {
        let email = Email {
            svix_id: id.clone(),
            created_at: clock::now(),
            slug: Slug::new(None),
            to: self.address.to_owned(),
            subject: subject(name),
            reply_to_local_part: None,
            from_local_part: None,
            reply_to: None,
            user_id: None,
            only_account: None,
        };
        let content = Content::Text("A mail of relayctl prove.".to_owned());
        let sender = Identity {
            email: self.address.to_owned(),
            name: None,
        };
        let message = Message::new(&email, &content, &sender, 0).ok_or_else(|| {
            Failure::new(
                "the account's address has no domain",
                "`relayctl doctor --only nylas` says more",
            )
        })?;
        self.count()?;
        Ok(smtp::hand_in(smtp, password, &message, SMTP_TIMEOUT))
    }

    /// Sends under a key. Whatever Nylas answers, it counts as a mail.
    pub fn send(&self, key: &str, letter: &Letter) -> Result<Reply, Failure> {
        self.send_within(key, letter, None)
    }

    /// The same, and hangs up after that time.
    pub fn send_within(
        &self,
        key: &str,
        letter: &Letter,
        limit: Option<Duration>,
    ) -> Result<Reply, Failure> {
        self.count()?;
        let path = format!(
            "{}/v3/grants/{}/messages/send",
            self.nylas.base, self.grant_id
        );
        let mut ask = Ask::get(path)
            .bearer(self.nylas.key.reveal())
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        (ask.method, ask.body, ask.limit) = ("POST", Some(letter.0.clone()), limit);
        self.nylas.http.call(&ask)
    }

    /// Counts a send before it is made. None is made beyond what the operator was told.
    fn count(&self) -> Result<(), Failure> {
        let number = self.sent.get().saturating_add(1);
        if number > self.at_most {
            return Err(Failure::new(
                format!("the {} mails that were allowed are sent", self.at_most),
                "this is a mistake of relayctl: report it",
            ));
        }
        self.sent.set(number);
        Ok(())
    }

    /// How many sends were asked for so far.
    pub fn sent(&self) -> u32 {
        self.sent.get()
    }
}

/// The subject of the mail of that name.
pub fn subject(name: &str) -> String {
    format!("relayctl prove, {name}: it can be deleted")
}

#[cfg(test)]
mod tests {
    // A test may stop at its first mistake.
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::http::Http;
    use clerk_nylas_relay::model::secret::Secret;

    /// How many sends are asked of a Nylas that nobody reaches before one is refused, and what the refusal says.
    fn refused_after(at_most: u32) -> (u32, String) {
        let http = Http::new(Duration::from_millis(50));
        let nylas = Nylas {
            http: &http,
            base: "http://127.0.0.1:1".to_owned(),
            key: Secret::new("marker"),
            key_from: "the environment".to_owned(),
        };
        let mailer = Mailer::new(&nylas, "g1", "auth@acme.example", at_most);
        let letter = mailer.letter("1", "<p>A mail.</p>");
        loop {
            let before = mailer.sent();
            let failure = mailer.send("key", &letter).unwrap_err();
            if mailer.sent() == before {
                return (before, failure.message);
            }
        }
    }

    #[test]
    fn no_more_is_sent_than_was_said_and_never_more_than_twenty() {
        for (at_most, sends) in [(3, 3), (20, 20), (50, MAILS_MAX)] {
            let says = format!("the {sends} mails that were allowed are sent");
            assert_eq!(refused_after(at_most), (sends, says));
        }
        assert_eq!(MAILS_MAX, 20);
    }
}
