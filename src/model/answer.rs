//! The answer to a webhook.

use super::{
    id::SvixId,
    outcome::{Outcome, Reason},
};
use serde::Serialize;

/// The answer to a webhook. Its body is one short JSON object, which Clerk's dashboard shows under Message Attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerBody {
    pub status: Outcome,
    /// The id of a webhook whose signature was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SvixId>,
    pub reason: Reason,
}

impl Answer {
    /// An answer to a request that was not, or not yet, verified.
    pub fn new(code: u16, status: Outcome, reason: Reason) -> Self {
        Self {
            code,
            body: AnswerBody {
                status,
                id: None,
                reason,
            },
        }
    }

    /// The answer to a verified webhook of Clerk's.
    ///
    /// 503 asks Clerk to send it again. Everything else is 200, even if no mail was sent: a retry cannot help there,
    /// and after five days of failures Svix disables the endpoint, which stops every mail.
    pub fn to_clerk(id: SvixId, status: Outcome, reason: Reason) -> Self {
        let code = if status == Outcome::Retry { 503 } else { 200 };
        Self {
            code,
            body: AnswerBody {
                status,
                id: Some(id),
                reason,
            },
        }
    }

    /// 400, always with the same body, so that a forger learns nothing from it. The log has the reason.
    pub fn bad_signature() -> Self {
        Self::new(400, Outcome::BadSignature, Reason::SayClerkSignature)
    }

    /// 413: the body is larger than the relay reads.
    pub fn too_large() -> Self {
        Self::new(413, Outcome::TooLarge, Reason::SayOverOneMebibyte)
    }

    /// 503: a setting that mails need is wrong.
    pub fn misconfigured() -> Self {
        Self::new(503, Outcome::Misconfigured, Reason::SaySettings)
    }
}
