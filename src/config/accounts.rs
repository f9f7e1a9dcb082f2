//! The Agent Accounts: one by its grant id, or a JSON list of them.

use crate::model::{account::Account, id::GrantId, problem::Problem};
use serde::Deserialize;

/// One entry of `NYLAS_ACCOUNTS`. A misspelt `name` must not go unnoticed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    grant_id: String,
    email: String,
    #[serde(default)]
    name: Option<String>,
}

/// Reads the accounts from `NYLAS_GRANT_ID` or `NYLAS_ACCOUNTS`. `from_name` is the sender's name of accounts that have
/// none of their own.
///
/// # Errors
/// The first thing that is wrong.
pub fn read_accounts(
    grant_id: Option<String>,
    accounts: Option<String>,
    from_name: Option<String>,
) -> Result<Vec<Account>, Problem> {
    let name = match (&grant_id, &accounts) {
        (_, Some(_)) => "NYLAS_ACCOUNTS",
        (_, None) => "NYLAS_GRANT_ID",
    };
    let read = match (grant_id, accounts) {
        (Some(_), Some(_)) => Err("is set beside NYLAS_GRANT_ID: keep one of the two"),
        (None, None) => {
            Err("is missing: set it to the Agent Account's grant id, or set NYLAS_ACCOUNTS")
        }
        (Some(grant_id), None) => read_one(&grant_id, from_name),
        (None, Some(json)) => read_list(&json, from_name.as_deref()),
    };
    read.map_err(|problem| Problem { name, problem })
}

fn read_one(grant_id: &str, from_name: Option<String>) -> Result<Vec<Account>, &'static str> {
    let grant_id = GrantId::parse(grant_id)
        .ok_or("is not a grant id: letters, digits and dashes, not the mailbox's address")?;
    Ok(vec![Account {
        grant_id,
        email: None,
        name: from_name,
    }])
}

fn read_list(json: &str, from_name: Option<&str>) -> Result<Vec<Account>, &'static str> {
    let entries: Vec<Entry> = serde_json::from_str(json).unwrap_or_default();
    if entries.is_empty() {
        return Err(
            "is not a JSON list of {\"grant_id\", \"email\", \"name\"?} with at least one entry",
        );
    }
    let mut accounts: Vec<Account> = Vec::with_capacity(entries.len());
    for entry in entries {
        let grant_id =
            GrantId::parse(&entry.grant_id).ok_or("holds something that is not a grant id")?;
        if accounts.iter().any(|account| account.grant_id == grant_id) {
            return Err("names the same grant twice");
        }
        let has_control = |text: &String| -> bool { text.chars().any(char::is_control) };
        let is_malformed = !entry.email.contains('@')
            || has_control(&entry.email)
            || entry.name.as_ref().is_some_and(has_control);
        if is_malformed {
            return Err("holds a malformed email or name");
        }
        accounts.push(Account {
            grant_id,
            email: Some(entry.email),
            name: entry.name.or_else(|| from_name.map(str::to_owned)),
        });
    }
    Ok(accounts)
}
