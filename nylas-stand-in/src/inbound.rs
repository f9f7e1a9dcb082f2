//! Incoming mails.

use crate::model::mailbox::{Stored, folder_id};
use crate::notify;
use crate::shared::Shared;
use crate::state::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// A mail to an account. `..Default::default()` fills in what a test does not set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// The account that gets it.
    pub grant_id: String,
    /// The sender's address.
    pub from: String,
    /// The sender's name.
    #[serde(default)]
    pub from_name: Option<String>,
    /// The subject.
    pub subject: String,
    /// The body, HTML.
    pub body: String,
    /// The id of the message that it answers. The mail joins that message's thread, and has `In-Reply-To` and
    /// `References`.
    #[serde(default)]
    pub in_reply_to_message_id: Option<String>,
    /// More headers, for example `Auto-Submitted`. They replace the standard ones, for example `Message-ID`.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The name of the system folder that gets it: `inbox` by default, `junk` for spam.
    #[serde(default)]
    pub folder: Option<String>,
}

/// Stores the mail and notifies of it. Returns its id, or None if there is no such account.
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
    for (name, value) in &inbound.headers {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    let mut from = json!({ "email": inbound.from });
    if let Some(name) = &inbound.from_name {
        from["name"] = json!(name);
    }
    let folder = inbound.folder.as_deref().unwrap_or("inbox");
    let message = json!({
        "id": id, "object": "message", "thread_id": thread.unwrap_or(&fresh_thread), "grant_id": account.grant_id,
        "subject": inbound.subject, "body": inbound.body,
        "snippet": inbound.body.chars().take(100).collect::<String>(),
        "from": [from], "to": [{ "email": account.email }], "cc": [], "bcc": [], "reply_to": [],
        "date": shared.clock.now_ms() / 1000, "folders": [folder_id(&account.grant_id, folder)],
        "attachments": [], "starred": false, "unread": true,
    });
    let data = json!({ "object": message });
    notify::notify(shared, state, "message.created", data);
    state.messages.push(Stored {
        grant_id: account.grant_id,
        id: id.clone(),
        message,
        headers,
    });
    Some(id)
}
