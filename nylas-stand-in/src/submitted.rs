//! Mails that an account sent over SMTP. They are in its Sent folder, like those sent through the API, but without
//! metadata.

use crate::model::mailbox::{Stored, folder_id};
use crate::notify;
use crate::shared::Shared;
use crate::state::State;
use serde_json::json;
use std::sync::Arc;

/// A mail that an account sent over SMTP.
#[derive(Clone, Debug, Default)]
pub struct Submitted {
    /// The account.
    pub grant_id: String,
    /// The recipient's address.
    pub to: String,
    /// Its headers, `Message-ID` among them.
    pub headers: Vec<(String, String)>,
}

/// Stores the mail and notifies of it. Returns its id, or None if there is no such account.
pub fn store(shared: &Arc<Shared>, state: &mut State, submitted: &Submitted) -> Option<String> {
    let account = state.account(&submitted.grant_id)?.account.clone();
    let (id, thread) = (state.fresh_id(), state.fresh_id());
    let mut headers = submitted.headers.iter();
    let subject = headers.find(|(name, _)| name.eq_ignore_ascii_case("Subject"));
    let subject = subject.map_or("", |(_, value)| value.as_str());
    let message = json!({
        "id": id, "object": "message", "thread_id": thread, "grant_id": account.grant_id, "subject": subject,
        "body": "", "snippet": "", "from": [{ "email": account.email }], "to": [{ "email": submitted.to }],
        "cc": [], "bcc": [], "reply_to": [], "date": shared.clock.now_ms() / 1000,
        "folders": [folder_id(&account.grant_id, "sent")],
        "attachments": [], "starred": false, "unread": false,
    });
    let data = json!({ "object": message });
    notify::notify(shared, state, "message.created", data);
    state.messages.push(Stored {
        grant_id: account.grant_id,
        id: id.clone(),
        message,
        headers: submitted.headers.clone(),
    });
    Some(id)
}
