//! A mail that was sent.

use crate::model::mailbox::folder_id;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A mail that was accepted for sending.
#[derive(Clone, Debug, Serialize)]
pub struct Mail {
    /// The message's id.
    pub id: String,
    /// The conversation's id.
    pub thread_id: String,
    /// The account it was sent through.
    pub grant_id: String,
    /// The first recipient; the others are in `request`.
    pub to: String,
    /// The sender's address.
    pub from_email: String,
    /// The sender's name.
    pub from_name: Option<String>,
    /// The subject.
    pub subject: String,
    /// The body: HTML, or text if `is_plaintext`.
    pub body: String,
    /// Whether the body is text.
    pub is_plaintext: bool,
    /// The first Reply-To address.
    pub reply_to: Option<String>,
    /// The metadata that the sender attached.
    pub metadata: BTreeMap<String, String>,
    /// Added mail headers, in order.
    pub custom_headers: Vec<(String, String)>,
    /// The key it was sent with.
    pub idempotency_key: Option<String>,
    /// When it was accepted, on the stand-in's clock.
    pub at_ms: u64,
    /// Whether it was queued and could not be sent ([`MailEvent::SendFailed`](crate::MailEvent::SendFailed)).
    pub failed: bool,
    /// The whole request.
    pub request: Value,
}

impl Mail {
    /// Every address in `to`.
    pub fn recipients(&self) -> Vec<&str> {
        let entries = self.request.get("to").and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.get("email")?.as_str())
            .collect()
    }

    pub(crate) fn is_to(&self, address: &str) -> bool {
        self.recipients()
            .iter()
            .any(|email| email.eq_ignore_ascii_case(address))
    }

    /// The message as Nylas shows it when it is read. The answer to a send has no `metadata`.
    pub fn message(&self, answers_known_message: bool) -> Value {
        let list = |name: &str| self.request.get(name).cloned().unwrap_or_else(|| json!([]));
        let mut message = json!({
            "id": self.id, "object": "message", "thread_id": self.thread_id, "grant_id": self.grant_id,
            "subject": self.subject, "body": self.body, "snippet": self.body.chars().take(100).collect::<String>(),
            "from": list("from"), "to": list("to"), "cc": list("cc"), "bcc": list("bcc"), "reply_to": list("reply_to"),
            "date": self.at_ms / 1000, "folders": [folder_id(&self.grant_id, "sent")], "attachments": [],
            "metadata": self.metadata, "starred": false, "unread": false,
        });
        let answered = self.request.get("reply_to_message_id");
        if let Some(id) = answered.filter(|_| answers_known_message) {
            message["reply_to_message_id"] = id.clone();
        }
        message
    }

    /// Its headers, as Nylas lists them.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![
            (
                "Message-ID".to_owned(),
                format!("<{}@stand-in.invalid>", self.id),
            ),
            ("From".to_owned(), self.from_email.clone()),
            ("To".to_owned(), self.recipients().join(", ")),
            ("Subject".to_owned(), self.subject.clone()),
        ];
        if let Some(reply_to) = &self.reply_to {
            headers.push(("Reply-To".to_owned(), reply_to.clone()));
        }
        headers.extend(self.custom_headers.iter().cloned());
        headers
    }

    /// The mail as it would travel: headers, an empty line, the body. Not encoded, so that a person can read it.
    pub fn source(&self) -> String {
        let kind = if self.is_plaintext { "plain" } else { "html" };
        let from = match &self.from_name {
            Some(name) => format!("{name} <{}>", self.from_email),
            None => self.from_email.clone(),
        };
        let mut source = String::new();
        for (name, value) in self.headers() {
            let value = if name == "From" { &from } else { &value };
            source.push_str(&format!("{name}: {value}\r\n"));
        }
        source.push_str(&format!(
            "MIME-Version: 1.0\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n{}",
            self.body
        ));
        source
    }
}
