//! Creates accounts through the API.

use crate::api::messages::grant_data;
use crate::api::validate::is_email;
use crate::model::account::{Account, AccountState, Held};
use crate::model::answer::Answer;
use crate::model::call::Call;
use crate::shared::Shared;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    provider: String,
    name: Option<String>,
    #[serde(rename = "workspace_id")]
    _workspace_id: Option<String>,
    settings: Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    email: String,
    #[serde(rename = "app_password")]
    _app_password: Option<Value>,
}

/// Creates an account, or finds the one with this address.
pub fn custom(shared: &Shared, call: &Call) -> Answer {
    let mut state = shared.lock();
    let wanted: Wanted = match serde_json::from_slice(&call.body) {
        Ok(wanted) => wanted,
        Err(error) => return state.error(400, "bad_request", &error.to_string()),
    };
    if wanted.provider != "nylas" || !is_email(&wanted.settings.email) {
        return state.error(
            400,
            "bad_request",
            "provider must be nylas and settings.email an address",
        );
    }
    let known = state.accounts.iter().find(|held| {
        held.account
            .email
            .eq_ignore_ascii_case(&wanted.settings.email)
    });
    let account = match known {
        Some(held) => held.account.clone(),
        None => {
            let account = Account {
                grant_id: state.fresh_uuid(),
                email: wanted.settings.email,
                name: wanted.name,
            };
            let created_ms = shared.clock.now_ms();
            state.accounts.push(Held {
                account: account.clone(),
                state: AccountState::Healthy,
                created_ms,
            });
            account
        }
    };
    let answer = json!({ "request_id": state.fresh_uuid(), "data": grant_data(&state, &account) });
    Answer::json(201, &answer)
}
