//! Mails that come in.

use crate::state::{State, Stored, folder_id};
use crate::{Shared, notify};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// A mail from outside to an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// The account it is for.
    pub grant_id: String,
    /// The sender's address.
    pub from: String,
    /// The subject.
    pub subject: String,
    /// The body, HTML.
    pub body: String,
    /// The message it answers, by the id Nylas gave it; it joins that one's thread.
    #[serde(default)]
    pub in_reply_to_message_id: Option<String>,
}

/// Stores it and tells of it; its id, or None if there is no such account.
pub fn receive(shared: &Arc<Shared>, state: &mut State, inbound: Inbound) -> Option<String> {
    let account = state.account(&inbound.grant_id)?.account.clone();
    let (id, fresh_thread) = (state.fresh_id(), state.fresh_id());
    let answered = inbound.in_reply_to_message_id.as_ref();
    let answered = answered.and_then(|id| state.messages.iter().find(|stored| &stored.id == id));
    let header = |name: &str| {
        let found = answered?.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let thread = answered
        .and_then(|stored| stored.message.get("thread_id"))
        .and_then(Value::as_str);
    let mut headers = vec![
        ("Message-ID".to_owned(), format!("<{id}@elsewhere.invalid>")),
        ("From".to_owned(), inbound.from.clone()),
        ("To".to_owned(), account.email.clone()),
        ("Subject".to_owned(), inbound.subject.clone()),
    ];
    if let Some(message_id) = header("Message-ID") {
        headers.push(("In-Reply-To".to_owned(), message_id.clone()));
        headers.push(("References".to_owned(), message_id));
    }
    let message = json!({
        "id": id, "object": "message", "thread_id": thread.unwrap_or(&fresh_thread), "grant_id": account.grant_id,
        "subject": inbound.subject, "body": inbound.body,
        "snippet": inbound.body.chars().take(100).collect::<String>(),
        "from": [{ "email": inbound.from }], "to": [{ "email": account.email }], "cc": [], "bcc": [], "reply_to": [],
        "date": shared.clock.now_ms() / 1000, "folders": [folder_id(&account.grant_id, "inbox")],
        "attachments": [], "starred": false, "unread": true,
    });
    notify::tell(shared, state, "message.created", message.clone(), None);
    state.messages.push(Stored {
        grant_id: account.grant_id,
        id: id.clone(),
        message,
        headers,
    });
    Some(id)
}
