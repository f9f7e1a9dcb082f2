//! One send: the exact bytes of the request, and what its answer means.
//!
//! `POST /v3/grants/{grant_id}/messages/send`
//! (<https://developer.nylas.com/docs/reference/api/messages/send-message/>). The status of an answer
//! decides first, then `error.type`, without its `api.` prefix, because Nylas' own documents write it both ways. Words
//! of the message decide only where an error has no type of its own.

use super::client::{Nylas, error_of, parse};
use crate::{
    model::{
        account::{AccountFault, Identity},
        id::{GrantId, SvixId},
        mail::{Content, Email, is_plain_address, words_of_refusal},
        outcome::Reason,
    },
    ports::{Clock, Http, HttpError, HttpMethod, HttpResponse},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The idempotency key of a send. Nylas remembers the outcome of a key for one hour, per grant.
///
/// The key of generation 0 is the Svix id itself. Later generations exist because Nylas remembers errors, too, and a
/// key with an error cannot send any more. `:` cannot occur in a [`SvixId`], so no two mails share a key.
pub fn idempotency_key(id: &SvixId, generation: u32) -> String {
    match generation {
        0 => id.to_string(),
        _ => format!("{id}:{generation}"),
    }
}

/// Nylas' ids of a mail that it accepted. Its schema requires neither id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentMail {
    pub message_id: Option<String>,
    pub thread_id: Option<String>,
    /// Whether Nylas queued it (202), or may have. If it then cannot be sent, Nylas reports `message.send_failed`.
    pub is_queued: bool,
}

/// The outcome of one send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Nylas accepted the mail: 200, 201, or 202 for one that it queued.
    Sent(SentMail),
    /// Another request with this key is in flight.
    InFlight,
    /// The key was used with other bytes.
    KeyConflict,
    /// Too many requests. `retry_after`: the least delay, if Nylas names one.
    Throttled { retry_after: Option<Duration> },
    /// The mail may have been sent or not.
    Ambiguous { reason: Reason },
    /// Nylas refuses this mail for good.
    Rejected { reason: Reason },
    /// The account cannot send. Nothing is wrong with the mail.
    AccountAtFault(AccountFault),
}

impl SendOutcome {
    /// The reason that is logged and recorded for it.
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

/// The outcome of a send, and whether Nylas replayed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendAnswer {
    pub outcome: SendOutcome,
    /// `Idempotent-Response: true`: Nylas repeated an earlier answer and did nothing now. Every request with this key
    /// gets the same answer until the hour is over.
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

/// The body of a send. Its bytes are the same for the same mail, account and generation, because Nylas compares the
/// requests of a key.
///
/// A stranger's address is in `Reply-To` at the first generation only (see [`has_strangers_reply_to`]).
fn send_body(
    email: &Email,
    content: &Content,
    identity: &Identity,
    generation: u32,
) -> Option<String> {
    let reply_to = match &email.reply_to {
        Some(_) if !has_strangers_reply_to(email, generation) => None,
        _ => email.reply_address(&identity.email),
    };
    let (body, is_plaintext) = match content {
        Content::Html(html) | Content::Alternatives { html, .. } => (html, false),
        Content::Text(text) => (text, true),
    };
    let request = SendRequest {
        to: [Address {
            email: &email.to,
            name: None,
        }],
        // The schema says that it is optional, but the API refuses an Agent Account's send without it.
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
        // So that no out-of-office message answers a sign-in code (RFC 3834).
        custom_headers: [CustomHeader {
            name: "Auto-Submitted",
            value: "auto-generated",
        }],
    };
    serde_json::to_string(&request).ok()
}

/// Whether the mail has a stranger's address in its `Reply-To`, at this generation. What Nylas refuses with one it may
/// accept without, so that no reply is lost for what somebody wrote into its From.
pub fn has_strangers_reply_to(email: &Email, generation: u32) -> bool {
    email.reply_to.is_some() && generation == 0
}

impl<P: Http + Clock> Nylas<'_, P> {
    /// Sends the mail from an account, with the idempotency key of the generation.
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
        let Some(body) = send_body(email, content, identity, generation) else {
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
                outcome: classify_send(&response, email, content),
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

/// Nylas' ids of a message. One that is too long to be an id is left out.
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

/// What an answer to a send of this mail means.
fn classify_send(response: &HttpResponse, email: &Email, content: &Content) -> SendOutcome {
    if (200..=202).contains(&response.status) {
        return SendOutcome::Sent(accepted(response));
    }
    let body = parse(&response.body);
    let (error_type, message) = error_of(&body);
    // Some refusals of the account come with a status that usually means a refusal of the mail.
    let addresses = [&email.to, email.reply_to.as_deref().unwrap_or_default()];
    let fault = fault_of(&error_type, &words_of_refusal(&message, &addresses));
    match response.status {
        401 => SendOutcome::AccountAtFault(AccountFault::Unauthorized),
        403 => SendOutcome::AccountAtFault(fault.unwrap_or(AccountFault::Forbidden)),
        // The grant is the only thing in a send's path that can be missing.
        404 => SendOutcome::AccountAtFault(AccountFault::Gone),
        408 => SendOutcome::Ambiguous {
            reason: Reason::NylasTimeout,
        },
        409 if error_type == "invalid_idempotent_request" => SendOutcome::KeyConflict,
        // A 409 without a known type counts as in flight, because a mistake then costs only a few seconds.
        409 => SendOutcome::InFlight,
        423 => SendOutcome::AccountAtFault(AccountFault::Paused),
        429 => match fault {
            Some(fault) => SendOutcome::AccountAtFault(fault),
            None => SendOutcome::Throttled {
                retry_after: response
                    .header("retry-after")
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs),
            },
        },
        status @ 400..=499 => match (fault, mails_own(status, &error_type, &message)) {
            (Some(fault), _) => SendOutcome::AccountAtFault(fault),
            (None, Some(reason)) => SendOutcome::Rejected { reason },
            // To call it the mail's would lose every mail, if it is in truth about the account or what every mail has.
            (None, None) if is_unremarkable(email, content) => {
                SendOutcome::AccountAtFault(AccountFault::Unexplained)
            }
            (None, None) => SendOutcome::Rejected {
                reason: match status {
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

/// The account's fault that an error is about, by its type and its words. No document has the words of a used-up quota,
/// so they are taken broadly: what is about a quota must not be called the mail's, which would lose it.
fn fault_of(error_type: &str, message: &str) -> Option<AccountFault> {
    let mentions = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let has_word = |wanted: &str| {
        let mut words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.any(|word| word == wanted)
    };
    let is_of_quota = mentions(&["limit", "quota", "plan", "allowance", "exceeded"]);
    if error_type.starts_with("token.") || error_type == "authentication_error" {
        Some(AccountFault::Unauthorized)
    } else if mentions(&["domain is not verified", "domain not verified"]) {
        Some(AccountFault::DomainNotVerified)
    } else if mentions(&["paused", "suspended"]) {
        Some(AccountFault::Paused)
    } else if is_of_quota && (mentions(&["monthly"]) || has_word("month")) {
        Some(AccountFault::MonthlyQuota)
    } else if is_of_quota && (mentions(&["daily"]) || has_word("day")) {
        Some(AccountFault::DailyQuota)
    } else if mentions(&["rate limit", "per second", "too many requests"]) {
        None
    } else if mentions(&["quota", "send limit", "sending limit"]) || has_word("plan") {
        Some(AccountFault::PlanLimit)
    } else {
        None
    }
}

/// Why a refusal is about this one mail, if it says so.
fn mails_own(status: u16, error_type: &str, message: &str) -> Option<Reason> {
    let mentions = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match status {
        402 => Some(Reason::NylasRefusedRecipient),
        413 => Some(Reason::NylasTooLarge),
        _ if error_type == "invalid_idempotency_key" => Some(Reason::NylasRefusedMail),
        _ if mentions(&["recipient", "invalid email", "to: "]) => {
            Some(Reason::NylasRefusedRecipient)
        }
        _ if mentions(&["too large", "too long"]) => Some(Reason::NylasTooLarge),
        _ => None,
    }
}

/// Whether there is nothing about the mail that Nylas could object to: a plain address, a subject of usual length and a
/// content far below its limit of 3 MB. All else that a send has is the relay's or the account's. What strangers wrote,
/// as in a forwarded reply, may be objected to, and must not make an account look faulty.
fn is_unremarkable(email: &Email, content: &Content) -> bool {
    const SUBJECT_BYTES: usize = 500;
    const CONTENT_BYTES: usize = 512 * 1024;
    let (Content::Html(text) | Content::Text(text) | Content::Alternatives { html: text, .. }) =
        content;
    email.only_account.is_none()
        && is_plain_address(&email.to)
        && email.subject.len() <= SUBJECT_BYTES
        && text.len() <= CONTENT_BYTES
}

#[cfg(test)]
mod tests;
