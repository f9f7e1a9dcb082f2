//! What Nylas reports about an accepted mail, and about an account.
//! Shapes: <https://developer.nylas.com/docs/reference/notifications/>.

use crate::model::account::Account;
use crate::model::mail::Mail;
use crate::notify;
use crate::shared::Shared;
use crate::state::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// A delivery event of a mail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MailEvent {
    /// `message.delivered`. Sent automatically for each accepted mail that was not queued.
    Delivered,
    /// `message.bounced`, for all recipients.
    Bounced {
        /// Nylas' `bounce.type`; `MailboxFull` in its example.
        kind: String,
        /// The receiving server's words, for example `smtp; 550 user unknown`.
        #[serde(default)]
        diagnostic_code: Option<String>,
    },
    /// `message.complaint`: a recipient marked it as spam.
    Complaint,
    /// `message.rejected`: a virus was found in it.
    Rejected,
    /// `message.send_failed`: it was queued (202) and could not be sent.
    ///
    /// The mail then does not count towards the daily cap and is not in the mailbox. Nylas documents neither.
    SendFailed {
        /// Why, in words.
        reason: String,
        /// Whether the notification has the mail's metadata. Nylas' schema of it does not.
        #[serde(default)]
        metadata: bool,
    },
}

/// What happened to an account.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantEvent {
    /// `grant.created`.
    Created,
    /// `grant.updated`.
    Updated,
    /// `grant.expired`.
    Expired,
    /// `grant.deleted`.
    Deleted,
}

/// Notifies of an event of a mail. False if there is no mail with this id.
pub fn mail_with_id(shared: &Arc<Shared>, state: &mut State, id: &str, event: &MailEvent) -> bool {
    let Some(found) = state.mails.iter_mut().find(|mail| mail.id == id) else {
        return false;
    };
    found.failed |= matches!(event, MailEvent::SendFailed { .. });
    let found = found.clone();
    if found.failed {
        state.messages.retain(|stored| stored.id != id);
    }
    mail(shared, state, &found, event);
    true
}

pub fn mail(shared: &Arc<Shared>, state: &mut State, mail: &Mail, event: &MailEvent) {
    let now = shared.clock.now_ms() / 1000;
    let recipients = mail.recipients();
    // Unlike in a message, the sender and each recipient are bare addresses, and empty fields are left out.
    let mut message = json!({
        "id": mail.id, "subject": mail.subject, "from": mail.from_email, "to": recipients,
        "sent_at": mail.at_ms / 1000,
    });
    for name in ["cc", "bcc"] {
        let entries = mail.request.get(name).and_then(Value::as_array);
        let emails = entries.into_iter().flatten();
        let emails: Vec<&Value> = emails.filter_map(|entry| entry.get("email")).collect();
        if !emails.is_empty() {
            message[name] = json!(emails);
        }
    }
    if !mail.metadata.is_empty() {
        message["metadata"] = json!(mail.metadata);
    }
    let (kind, object) = match event {
        MailEvent::Delivered => {
            let delivered = json!({ "delivered_at": now, "recipients": recipients });
            (
                "delivered",
                json!({ "message": message, "delivered": delivered }),
            )
        }
        MailEvent::Bounced {
            kind,
            diagnostic_code,
        } => {
            let recipient = |email: &&str| match diagnostic_code {
                Some(code) => json!({ "email": email, "diagnostic_code": code }),
                None => json!({ "email": email }),
            };
            let recipients: Vec<Value> = recipients.iter().map(recipient).collect();
            let bounce = json!({ "bounced_at": now, "type": kind, "recipients": recipients });
            ("bounced", json!({ "message": message, "bounce": bounce }))
        }
        MailEvent::Complaint => {
            let complaint =
                json!({ "reported_at": now, "type": "abuse", "complained_recipients": recipients });
            (
                "complaint",
                json!({ "message": message, "complaint": complaint }),
            )
        }
        MailEvent::Rejected => (
            "rejected",
            json!({ "message": message, "rejected_at": now }),
        ),
        MailEvent::SendFailed { reason, metadata } => {
            return send_failed(shared, state, mail, reason, *metadata);
        }
    };
    let data = json!({ "grant_id": mail.grant_id, "object": object });
    notify::notify(shared, state, &format!("message.{kind}"), data);
}

/// `message.send_failed` differs from the other events: the object is the message, and the reason is beside it.
fn send_failed(
    shared: &Arc<Shared>,
    state: &mut State,
    mail: &Mail,
    reason: &str,
    with_metadata: bool,
) {
    let mut object = json!({
        "object": "message", "grant_id": mail.grant_id, "id": mail.id, "subject": mail.subject, "body": mail.body,
        "use_draft": false,
    });
    for name in ["from", "to", "cc", "bcc", "reply_to"] {
        object[name] = mail.request.get(name).cloned().unwrap_or(json!([]));
    }
    if with_metadata {
        object["metadata"] = json!(mail.metadata);
    }
    let error = json!({ "type": "api.provider_error", "message": reason, "status_code": 503 });
    let data =
        json!({ "grant_id": mail.grant_id, "reason": reason, "error": error, "object": object });
    notify::notify(shared, state, "message.send_failed", data);
}

pub fn grant(shared: &Arc<Shared>, state: &mut State, account: &Account, event: GrantEvent) {
    let mut object = json!({
        "grant_id": account.grant_id, "integration_id": "stand-in", "provider": "nylas", "email": account.email,
    });
    let (kind, code) = match event {
        GrantEvent::Created => {
            object["login_id"] = json!("stand-in");
            object["name"] = json!(account.name);
            object["scope"] = json!([]);
            ("created", 25012)
        }
        GrantEvent::Updated => {
            object["reauthentication_flag"] = json!(false);
            ("updated", 25014)
        }
        GrantEvent::Expired => {
            object["grant_updated_at"] = json!(shared.clock.now_ms() / 1000);
            ("expired", 25009)
        }
        GrantEvent::Deleted => ("deleted", 25013),
    };
    object["code"] = json!(code);
    notify::notify(
        shared,
        state,
        &format!("grant.{kind}"),
        json!({ "object": object }),
    );
}
