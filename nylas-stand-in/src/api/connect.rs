//! Creates accounts through the API.

use crate::api::messages::grant_data;
use crate::api::validate::is_email;
use crate::model::account::{Account, AccountState, Held};
use crate::model::answer::Answer;
use crate::model::call::Call;
use crate::shared::Shared;
use serde::Deserialize;
use serde_json::json;

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
    app_password: Option<String>,
}

/// What an update has: the whole record again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Updated {
    name: Option<String>,
    settings: Settings,
}

/// Whether it is what Nylas takes: 18 to 40 printable ASCII characters, with an upper-case and a lower-case letter and
/// a digit.
fn is_app_password(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    (18..=40).contains(&text.len())
        && text.bytes().all(|byte| (33..=126).contains(&byte))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

/// Updates an account: its name and its app password.
pub fn update(shared: &Shared, call: &Call, account: &Account) -> Answer {
    let mut state = shared.lock();
    let updated: Updated = match serde_json::from_slice(&call.body) {
        Ok(updated) => updated,
        Err(error) => return state.error(400, "bad_request", &error.to_string()),
    };
    let Settings {
        email,
        app_password,
    } = updated.settings;
    if !email.eq_ignore_ascii_case(&account.email) {
        return state.error(400, "bad_request", "settings.email is the account's own");
    }
    if let Some(password) = app_password {
        if !is_app_password(&password) {
            return state.error(400, "bad_request", "settings.app_password is too weak");
        }
        let of_account = |(grant_id, _): &(String, String)| *grant_id == account.grant_id;
        state.app_passwords.retain(|entry| !of_account(entry));
        let entry = (account.grant_id.clone(), password);
        state.app_passwords.push(entry);
    }
    let mut updated_account = account.clone();
    updated_account.name = updated.name;
    let grant_id = account.grant_id.clone();
    let held = state.accounts.iter_mut();
    for held in held.filter(|held| held.account.grant_id == grant_id) {
        held.account = updated_account.clone();
    }
    let data = grant_data(&state, &updated_account);
    state.ok(data)
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
