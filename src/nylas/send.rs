//! One send: the request, byte for byte, and what its answer means.
//!
//! `POST /v3/grants/{grant_id}/messages/send`
//! (<https://developer.nylas.com/docs/reference/api/messages/send-message/>). What an answer means is decided by the
//! status first, then by `error.type` with any `api.` prefix stripped, because Nylas' own documents write it both ways;
//! and by words of the message only for what has no type of its own.

use super::client::{Nylas, error_of, parse};
use crate::{
    model::{
        account::{AccountFault, Identity},
        id::{GrantId, SvixId},
        mail::{Content, Email},
        outcome::Reason,
    },
    ports::{Clock, Http, HttpError, HttpMethod, HttpResponse},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The key under which Nylas keeps the outcome of a send for one hour, per grant.
///
/// Generation 0 is the Svix id itself. Later generations exist because Nylas keeps errors, too: a
/// kept error makes its key useless. `:` cannot occur in a [`SvixId`], so no two mails share a key.
pub fn idempotency_key(id: &SvixId, generation: u32) -> String {
    match generation {
        0 => id.to_string(),
        _ => format!("{id}:{generation}"),
    }
}

/// What Nylas called the mail it took. Its schema requires neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentMail {
    pub message_id: Option<String>,
    pub thread_id: Option<String>,
    /// 202: Nylas queued it itself, or may have. Should it fail after all, `message.send_failed` says so.
    pub is_queued: bool,
}

/// What one send came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Nylas has it: 200, 201, or 202 for one it queued itself.
    Sent(SentMail),
    /// The same key is being worked on.
    InFlight,
    /// The key was used with other bytes.
    KeyConflict,
    /// Not now.
    Throttled { retry_after: Option<Duration> },
    /// It may have been sent, or not.
    Ambiguous { reason: Reason },
    /// This mail will not be sent, now or later.
    Rejected { reason: Reason },
    /// Nothing is wrong with the mail.
    AccountAtFault(AccountFault),
}

impl SendOutcome {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Sent(_) => Reason::AcceptedByNylas,
            Self::InFlight => Reason::NylasInFlight,
            Self::KeyConflict => Reason::NylasKeyConflict,
            Self::Throttled { .. } => Reason::NylasThrottled,
            Self::Ambiguous { reason } | Self::Rejected { reason } => *reason,
            Self::AccountAtFault(fault) => fault.reason(),
        }
    }
}

/// An outcome, and whether it is news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendAnswer {
    pub outcome: SendOutcome,
    /// `Idempotent-Response: true`: Nylas repeated what it answered before and did nothing now.
    /// Whoever asks with the same key within the hour gets the same.
    pub replayed: bool,
}

#[derive(Serialize)]
struct SendRequest<'a> {
    to: [Address<'a>; 1],
    from: [Address<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<[Address<'a>; 1]>,
    subject: &'a str,
    body: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_plaintext: bool,
    metadata: Metadata<'a>,
    custom_headers: [CustomHeader; 1],
}

#[derive(Serialize)]
struct Address<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// `key1` is one of the five names Nylas indexes for `metadata_pair`.
#[derive(Serialize)]
struct Metadata<'a> {
    key1: &'a str,
}

#[derive(Serialize)]
struct CustomHeader {
    name: &'static str,
    value: &'static str,
}

/// The body of a send, byte for byte the same for the same mail and mailbox, because Nylas compares.
fn send_body(email: &Email, content: &Content, identity: &Identity) -> Option<String> {
    let reply_to = email.reply_to.clone().or_else(|| {
        let (_, domain) = identity.email.rsplit_once('@')?;
        let local_part = email.reply_to_local_part.as_ref()?;
        Some(format!("{local_part}@{domain}"))
    });
    let (body, is_plaintext) = match content {
        Content::Html(html) => (html, false),
        Content::Text(text) => (text, true),
    };
    let request = SendRequest {
        to: [Address {
            email: &email.to,
            name: None,
        }],
        // Always: the API refuses an Agent Account's send without it, whatever its schema says.
        from: [Address {
            email: &identity.email,
            name: identity.name.as_deref(),
        }],
        reply_to: reply_to
            .as_deref()
            .map(|email| [Address { email, name: None }]),
        subject: &email.subject,
        body,
        is_plaintext,
        metadata: Metadata {
            key1: email.svix_id.as_str(),
        },
        // RFC 3834: no out-of-office notice in answer to a sign-in code.
        custom_headers: [CustomHeader {
            name: "Auto-Submitted",
            value: "auto-generated",
        }],
    };
    serde_json::to_string(&request).ok()
}

impl<P: Http + Clock> Nylas<'_, P> {
    /// Asks the mailbox to send the mail, under the key of that generation.
    pub async fn send(
        &self,
        grant_id: &GrantId,
        identity: &Identity,
        email: &Email,
        content: &Content,
        generation: u32,
    ) -> SendAnswer {
        let fresh = |outcome| SendAnswer {
            outcome,
            replayed: false,
        };
        let Some(body) = send_body(email, content, identity) else {
            return fresh(SendOutcome::Rejected {
                reason: Reason::MailNotSerializable,
            });
        };
        let response = self
            .request(
                HttpMethod::Post,
                format!("/v3/grants/{}/messages/send", grant_id.as_str()),
                Some(idempotency_key(&email.svix_id, generation)),
                Some(body),
            )
            .await;
        match response {
            Ok(response) => SendAnswer {
                replayed: response
                    .header("idempotent-response")
                    .is_some_and(|value| value.trim().eq_ignore_ascii_case("true")),
                outcome: classify_send(&response),
            },
            Err(HttpError::Timeout) => fresh(SendOutcome::Ambiguous {
                reason: Reason::NylasTimeout,
            }),
            Err(HttpError::ConnectionLost | HttpError::Unreachable) => {
                fresh(SendOutcome::Ambiguous {
                    reason: Reason::NylasUnreachable,
                })
            }
        }
    }
}

pub(super) fn sent_mail(message: &Value) -> SentMail {
    let id = |field: &str| {
        message
            .get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .filter(|id| id.len() <= 512)
    };
    SentMail {
        message_id: id("id"),
        thread_id: id("thread_id"),
        is_queued: false,
    }
}

/// What is wanted of an accepted send's answer. The rest, which is the whole mail, is passed over.
#[derive(Default, Deserialize)]
struct Accepted {
    #[serde(default)]
    data: AcceptedMessage,
}

#[derive(Default, Deserialize)]
struct AcceptedMessage {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    thread_id: Option<String>,
}

fn accepted(response: &HttpResponse) -> SentMail {
    let Accepted { data } = serde_json::from_str(&response.body).unwrap_or_default();
    let short = |id: &String| id.len() <= 512;
    SentMail {
        message_id: data.id.filter(short),
        thread_id: data.thread_id.filter(short),
        is_queued: response.status == 202,
    }
}

fn classify_send(response: &HttpResponse) -> SendOutcome {
    if (200..=202).contains(&response.status) {
        return SendOutcome::Sent(accepted(response));
    }
    let body = parse(&response.body);
    let (error_type, message) = error_of(&body);
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    // Refusals of the account that come with a status of the mail's.
    let fault = || {
        if error_type.starts_with("token.") || error_type == "authentication_error" {
            Some(AccountFault::Unauthorized)
        } else if says(&["domain is not verified", "domain not verified"]) {
            Some(AccountFault::DomainNotVerified)
        } else if says(&["paused", "suspended"]) {
            Some(AccountFault::Paused)
        } else if says(&["daily"]) && says(&["limit", "quota"]) {
            Some(AccountFault::DailyQuota)
        } else {
            None
        }
    };
    match response.status {
        401 => SendOutcome::AccountAtFault(AccountFault::Unauthorized),
        403 => SendOutcome::AccountAtFault(fault().unwrap_or(AccountFault::Forbidden)),
        // Nothing in a send can be missing but the grant.
        404 => SendOutcome::AccountAtFault(AccountFault::Gone),
        408 => SendOutcome::Ambiguous {
            reason: Reason::NylasTimeout,
        },
        409 if error_type == "invalid_idempotent_request" => SendOutcome::KeyConflict,
        // Of the two kinds of 409 the one that costs nothing but a few seconds is assumed.
        409 => SendOutcome::InFlight,
        423 => SendOutcome::AccountAtFault(AccountFault::Paused),
        429 => match fault() {
            Some(fault) => SendOutcome::AccountAtFault(fault),
            None => SendOutcome::Throttled {
                retry_after: response
                    .header("retry-after")
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs),
            },
        },
        400..=499 => match fault() {
            Some(fault) => SendOutcome::AccountAtFault(fault),
            None => SendOutcome::Rejected {
                reason: match response.status {
                    402 => Reason::NylasRefusedRecipient,
                    413 => Reason::NylasTooLarge,
                    422 => Reason::NylasProviderRefused,
                    _ => Reason::NylasRefusedMail,
                },
            },
        },
        _ => SendOutcome::Ambiguous {
            reason: Reason::NylasError,
        },
    }
}

#[cfg(test)]
mod tests;
