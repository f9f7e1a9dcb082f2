//! The page's forms: what each does, and the sentence for one that failed.

use super::api::{AdminRequest, api};
use crate::{
    config::Config,
    ledger::recipient::RecipientHash,
    model::{id::SvixId, mail::is_address},
    ports::Ports,
};
use serde_json::{Value, json};

/// What the page says about a form that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The status code of the page.
    pub code: u16,
    pub text: &'static str,
}

/// A form that was done, in the words of the next page's query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Redriven,
    Suppressed,
    Lifted,
    GuardLifted,
}

impl Done {
    const ALL: [Self; 4] = [
        Self::Redriven,
        Self::Suppressed,
        Self::Lifted,
        Self::GuardLifted,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Redriven => "redriven",
            Self::Suppressed => "suppressed",
            Self::Lifted => "lifted",
            Self::GuardLifted => "guard-lifted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|done| done.as_str() == text)
    }

    /// What the page says.
    pub fn says(self) -> &'static str {
        match self {
            Self::Redriven => {
                "The letter is in the queue again. It leaves this list within a minute, when KV shows it."
            }
            Self::Suppressed => "The address gets no more mails, until it is lifted.",
            Self::Lifted => "The address gets mails again, within a minute.",
            Self::GuardLifted => "The guard is down: bounces are counted anew from now on.",
        }
    }
}

/// Does what a form of the page asks for. Returns the page to go to.
///
/// # Errors
/// What the operator is shown when it failed.
pub async fn act<P: Ports>(
    ports: &P,
    config: &Config,
    action: &str,
    subject: &str,
) -> Result<String, Said> {
    let subject = subject.trim();
    let named = match RecipientHash::parse(subject) {
        Some(_) => "key",
        None => "address",
    };
    let body = json!({ named: subject }).to_string();
    let (method, path, done) = match action {
        "find" => return find(config, subject),
        "redrive" => ("POST", format!("dead/{subject}/redrive"), Done::Redriven),
        "suppress" => ("POST", "suppressions".to_owned(), Done::Suppressed),
        "lift" => ("DELETE", "suppressions".to_owned(), Done::Lifted),
        "lift-guard" => ("DELETE", format!("guards/{subject}"), Done::GuardLifted),
        _ => {
            return Err(Said {
                code: 404,
                text: "The page has no such button. Load it again.",
            });
        }
    };
    let request = AdminRequest {
        method,
        path: &path,
        limit: None,
        with_events: false,
        body: body.as_bytes(),
    };
    let (code, body) = api(ports, config, &request).await;
    match code {
        200 => Ok(format!("/admin?done={}", done.as_str())),
        _ => Err(Said {
            code,
            text: why_not(action, body.get("status").and_then(Value::as_str)),
        }),
    }
}

/// Where a mail, or the mails to an address, are shown. The address itself stays out of the link.
fn find(config: &Config, subject: &str) -> Result<String, Said> {
    if let Some(id) = SvixId::parse(subject) {
        return Ok(format!("/admin?id={id}"));
    }
    if !is_address(subject) {
        return Err(Said {
            code: 400,
            text: "That is neither a message's id, as Clerk's Message Attempts shows it, nor an address.",
        });
    }
    let recipient = RecipientHash::new(subject, &config.nylas_api_key);
    Ok(format!("/admin?show=mails&to={}", recipient.as_str()))
}

fn why_not(action: &str, status: Option<&str>) -> &'static str {
    match (action, status) {
        ("redrive", Some("expired")) => {
            "The letter was not sent again: its mail is older than its content is of use. \
             The user can ask for a new one."
        }
        ("redrive", Some("unreadable")) => {
            "The letter was not sent again: this version cannot read it. It is in KV, under dead: and its id."
        }
        ("redrive", Some("not_found")) => {
            "The letter is not there any more: it was sent again before, or its seven days are over."
        }
        (_, Some("could_not_be_queued")) => {
            "The letter was not sent again: the queue did not take it. Try again."
        }
        (_, Some("address_malformed")) => {
            "Nothing was changed: that is not one plain e-mail address."
        }
        ("lift-guard", Some("not_found")) => "Nothing was changed: there is no such account.",
        ("lift", Some("not_found")) => "Nothing was changed: that address is not suppressed.",
        _ => "Nothing was changed: the ledger did not answer. Try again.",
    }
}
