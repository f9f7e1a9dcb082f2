//! The page's forms: what each does, and the sentence for one that failed.

use super::api::{AdminRequest, api};
use crate::{config::Config, ports::Ports};
use serde_json::{Value, json};

/// What the page says about a form that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The status code of the page.
    pub code: u16,
    pub text: &'static str,
}

/// Does what a form of the page asks for.
///
/// # Errors
/// What the operator is shown when it failed.
pub async fn act<P: Ports>(
    ports: &P,
    config: &Config,
    action: &str,
    subject: &str,
) -> Result<(), Said> {
    let body = json!({"address": subject}).to_string();
    let (method, path) = match action {
        "redrive" => ("POST", format!("dead/{subject}/redrive")),
        "suppress" => ("POST", "suppressions".to_owned()),
        "lift" => ("DELETE", "suppressions".to_owned()),
        "lift-guard" => ("DELETE", format!("guards/{subject}")),
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
        body: body.as_bytes(),
    };
    let (code, body) = api(ports, config, &request).await;
    if code == 200 {
        return Ok(());
    }
    let text = match (action, body.get("status").and_then(Value::as_str)) {
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
    };
    Err(Said { code, text })
}
