//! Controls a running stand-in over HTTP. It accepts JSON only, so that no form on a web page can do it.

use crate::api::webhooks;
use crate::events::{self, GrantEvent, MailEvent};
use crate::model::account::{Account, AccountState, Held};
use crate::model::answer::Answer;
use crate::model::call::Call;
use crate::model::plan::Plan;
use crate::model::script::Rule;
use crate::shared::Shared;
use crate::{inbound, notify};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Adds an account, or changes one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    grant_id: String,
    email: Option<String>,
    name: Option<String>,
    state: Option<AccountState>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddWebhook {
    url: String,
    secret: String,
    #[serde(default)]
    trigger_types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportMail {
    mail_id: String,
    event: MailEvent,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportGrant {
    grant_id: String,
    event: GrantEvent,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notify {
    #[serde(rename = "type")]
    kind: String,
    data: Map<String, Value>,
}

pub fn answer(shared: &Arc<Shared>, call: &Call, what: &str) -> Answer {
    if call.method != "POST" {
        return shared.lock().error(405, "method_not_allowed", "only POST");
    }
    let done = match what {
        "rules" => parsed(call).map(|rule: Rule| shared.lock().rules.push(rule)),
        "blocked-recipients" => {
            parsed(call).map(|block: Block| shared.lock().blocked.push(block.address))
        }
        "accounts" => parsed(call).and_then(|change| account(shared, change)),
        "plan" => parsed(call).map(|plan: Plan| shared.lock().plan = plan),
        "clock" => parsed(call).map(|clock: Advance| {
            shared
                .clock
                .advance(Duration::from_millis(clock.advance_ms))
        }),
        "inbound" => match parsed(call) {
            Ok(inbound) => match inbound::receive(shared, &mut shared.lock(), inbound) {
                Some(id) => return Answer::json(200, &json!({ "message_id": id })),
                None => Err("no such account".to_owned()),
            },
            Err(problem) => Err(problem),
        },
        "webhooks" => parsed(call).map(|add: AddWebhook| {
            webhooks::add(&mut shared.lock(), add.url, add.secret, add.trigger_types)
        }),
        "mail-events" => parsed(call).and_then(|report: ReportMail| {
            let state = &mut shared.lock();
            let known = events::mail_with_id(shared, state, &report.mail_id, &report.event);
            known.then_some(()).ok_or_else(|| "no such mail".to_owned())
        }),
        "grant-events" => parsed(call).and_then(|report: ReportGrant| {
            let state = &mut shared.lock();
            let known = state.account(&report.grant_id);
            let account = known.map(|held| held.account.clone());
            let account = account.ok_or_else(|| "no such account".to_owned())?;
            events::grant(shared, state, &account, report.event);
            Ok(())
        }),
        "notifications" => parsed(call).map(|notification: Notify| {
            notify::notify(
                shared,
                &mut shared.lock(),
                &notification.kind,
                Value::Object(notification.data),
            );
        }),
        _ => {
            return shared.lock().error(
                404,
                "not_found_error",
                "no such control: rules, accounts, plan, blocked-recipients, clock, inbound, webhooks, mail-events, \
                 grant-events, notifications",
            );
        }
    };
    match done {
        Ok(()) => Answer::json(200, &json!({ "now_ms": shared.clock.now_ms() })),
        Err(problem) => shared.lock().error(400, "invalid_request_error", &problem),
    }
}

fn parsed<T: DeserializeOwned>(call: &Call) -> Result<T, String> {
    if !call
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/json"))
    {
        return Err("Content-Type must be application/json".to_owned());
    }
    serde_json::from_slice(&call.body).map_err(|error| error.to_string())
}

fn account(shared: &Shared, change: Change) -> Result<(), String> {
    let mut state = shared.lock();
    let created_ms = shared.clock.now_ms();
    if !state
        .accounts
        .iter()
        .any(|held| held.account.grant_id == change.grant_id)
    {
        let email = change
            .email
            .clone()
            .ok_or("no such account; a new one needs an email")?;
        let account = Account {
            grant_id: change.grant_id.clone(),
            email,
            name: None,
        };
        state.accounts.push(Held {
            account,
            state: AccountState::Healthy,
            created_ms,
        });
    }
    if let Some(held) = state
        .accounts
        .iter_mut()
        .find(|held| held.account.grant_id == change.grant_id)
    {
        held.account.email = change.email.unwrap_or_else(|| held.account.email.clone());
        held.account.name = change.name.or_else(|| held.account.name.take());
        held.state = change.state.unwrap_or(held.state);
    }
    Ok(())
}
