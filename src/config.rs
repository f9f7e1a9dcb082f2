//! The environment, read once into typed settings; every wrong one is named at once.
//!
//! A setting that a mail needs stops everything when it is wrong: no mail may go out by guesswork. Any other setting
//! only switches off what it is for. A typo in an optional setting must not keep users from signing in.

use crate::{
    model::{account::Account, id::GrantId, mail::is_address, problem::Problem, secret::Secret},
    signature::{NYLAS_MOCK_SECRET, SigningSecret},
};
use serde::Deserialize;
use std::time::Duration;

mod origin;

pub use origin::{ApiBase, is_endpoint};

/// Where Nylas answers for applications in its United States region.
pub const NYLAS_API_BASE_DEFAULT: &str = "https://api.us.nylas.com";
/// How long a webhook may wait for Nylas. Svix gives up after 15 s and people after less.
pub const INLINE_SEND_BUDGET_MS_DEFAULT: u64 = 4_000;
/// With the hand-off to the queue this stays clear of Svix' 15 s.
pub const INLINE_SEND_BUDGET_MS_MAX: u64 = 10_000;

/// What guards the operator's side must not be guessed.
pub const ADMIN_TOKEN_BYTES_MIN: usize = 16;

/// Stands in place of Clerk's signing secret until the real one is known: `relayctl setup` stores it, because a
/// deployment needs a value. It is no secret, so the Worker believes nobody, and `/health` says what is missing.
pub const CLERK_SECRET_PENDING: &str = "not-there-yet";

/// What is wrong with a signing secret of [`crate::signature::PUBLIC_SIGNING_SECRETS`].
const CLERK_SECRET_IS_PUBLIC: &str = "is a published example, so anybody could have mails sent in your name: copy your \
                                      own endpoint's signing secret from Clerk and run \
                                      `wrangler secret put CLERK_WEBHOOK_SIGNING_SECRET`";

/// Whether Nylas is played on this machine, so that no mail leaves it. `base` is an address that `NYLAS_API_BASE`
/// may hold: http is accepted for loopback only.
pub fn is_nylas_local(base: &str) -> bool {
    base.starts_with("http://")
}

/// The agent that replies of users are handed to.
#[derive(Clone, Debug)]
pub struct Agent {
    /// `REPLY_WEBHOOK_URL`.
    pub url: String,
    /// `REPLY_WEBHOOK_SECRET`: signs what is handed on.
    pub secret: SigningSecret,
}

/// Everything the relay is told from outside.
#[derive(Clone, Debug)]
pub struct Config {
    pub clerk_secrets: Vec<SigningSecret>,
    pub nylas_api_base: ApiBase,
    pub nylas_api_key: Secret,
    /// Empty: notifications cannot be believed yet.
    pub nylas_webhook_secrets: Vec<Secret>,
    /// At least one.
    pub accounts: Vec<Account>,
    pub inline_send_budget: Duration,
    /// `None`: every template Clerk hands over.
    pub templates: Option<Vec<String>>,
    /// Gets the replies of users.
    pub agent: Option<Agent>,
    /// Lets an operator in. `None`: nobody.
    pub admin_token: Option<Secret>,
    /// `ALERT_WEBHOOK_URL`: where alerts are posted.
    pub alert_url: Option<String>,
    /// `NYLAS_DAILY_CAP`: mails an account may send a day, if that is to be watched.
    pub daily_cap: Option<u64>,
    /// `REPLY_FORWARD_TO`: the address of a person who gets them, too.
    pub forward_to: Option<String>,
    /// Optional settings that are wrong. What they are for is off.
    pub degraded: Vec<Problem>,
}

/// Which bindings of the Worker are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The KV namespace `LEDGER`: required.
    pub ledger: bool,
    /// The queue `OUTBOX`: without it a failing send goes back to Clerk.
    pub outbox: bool,
}

/// One entry of `NYLAS_ACCOUNTS`. A misspelt `name` must not go unnoticed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountSetting {
    grant_id: String,
    email: String,
    #[serde(default)]
    name: Option<String>,
}

impl Config {
    /// Reads the settings through `get`, which gives a variable's or secret's text by name.
    ///
    /// # Errors
    /// Every problem found, those of optional settings included, when one of them concerns what a mail needs.
    pub fn read(get: impl Fn(&str) -> Option<String>, bound: Bound) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut degraded = Vec::new();
        let mut wrong = |name, problem| problems.push(Problem { name, problem });
        let mut off = |name, problem| degraded.push(Problem { name, problem });
        // An empty variable is an unset one: `wrangler.toml` has no other way to say it.
        let setting = |name: &str| {
            get(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };

        let api_base_text =
            setting("NYLAS_API_BASE").unwrap_or_else(|| NYLAS_API_BASE_DEFAULT.to_owned());

        let mut clerk_secrets: Vec<SigningSecret> = Vec::new();
        match setting("CLERK_WEBHOOK_SIGNING_SECRET").filter(|text| text != CLERK_SECRET_PENDING) {
            None => wrong(
                "CLERK_WEBHOOK_SIGNING_SECRET",
                "is missing: copy the endpoint's signing secret from Clerk and run `wrangler secret put CLERK_WEBHOOK_SIGNING_SECRET`",
            ),
            Some(list) => {
                for secret in split_list(&list) {
                    match SigningSecret::parse(secret) {
                        Ok(secret) => clerk_secrets.push(secret),
                        Err(problem) => wrong("CLERK_WEBHOOK_SIGNING_SECRET", problem),
                    }
                }
                if split_list(&list).next().is_none() {
                    wrong("CLERK_WEBHOOK_SIGNING_SECRET", "holds no secret");
                }
                if !is_nylas_local(&api_base_text)
                    && clerk_secrets.iter().any(SigningSecret::is_public)
                {
                    wrong("CLERK_WEBHOOK_SIGNING_SECRET", CLERK_SECRET_IS_PUBLIC);
                }
            }
        }

        let nylas_api_key = setting("NYLAS_API_KEY").filter(|key| is_header_value(key));
        if nylas_api_key.is_none() {
            wrong(
                "NYLAS_API_KEY",
                "is missing or not one line of plain characters: create a key in the Nylas dashboard and run `wrangler secret put NYLAS_API_KEY`",
            );
        }

        let mut nylas_webhook_secrets = Vec::new();
        for secret in split_list(&setting("NYLAS_WEBHOOK_SECRET").unwrap_or_default()) {
            if secret == NYLAS_MOCK_SECRET {
                off(
                    "NYLAS_WEBHOOK_SECRET",
                    "is the secret of Nylas' test events, which everybody knows: use the one of your own webhook",
                );
            } else {
                nylas_webhook_secrets.push(Secret::new(secret));
            }
        }

        let from_name = setting("NYLAS_FROM_NAME").filter(|name| {
            let is_one_line = !name.chars().any(char::is_control);
            if !is_one_line {
                off("NYLAS_FROM_NAME", "holds a line break or control character");
            }
            is_one_line
        });
        let accounts = match read_accounts(
            setting("NYLAS_GRANT_ID"),
            setting("NYLAS_ACCOUNTS"),
            from_name,
        ) {
            Ok(accounts) => accounts,
            Err(problem) => {
                problems.push(problem);
                Vec::new()
            }
        };
        let mut wrong = |name, problem| problems.push(Problem { name, problem });

        let nylas_api_base = ApiBase::parse(&api_base_text);
        if nylas_api_base.is_none() {
            wrong(
                "NYLAS_API_BASE",
                "is not an https address without a path (http is for loopback only): use https://api.us.nylas.com or https://api.eu.nylas.com",
            );
        }

        let inline_send_budget_ms = match setting("INLINE_SEND_BUDGET_MS") {
            None => Some(INLINE_SEND_BUDGET_MS_DEFAULT),
            Some(text) => text
                .parse::<u64>()
                .ok()
                .filter(|budget_ms| *budget_ms <= INLINE_SEND_BUDGET_MS_MAX),
        };
        if inline_send_budget_ms.is_none() {
            wrong(
                "INLINE_SEND_BUDGET_MS",
                "is not a whole number of milliseconds from 0 to 10000",
            );
        }

        let templates = setting("TEMPLATES").map(|list| {
            list.split(',')
                .map(|slug| slug.trim().to_owned())
                .filter(|slug| !slug.is_empty())
                .collect::<Vec<_>>()
        });
        if templates.as_ref().is_some_and(Vec::is_empty) {
            wrong(
                "TEMPLATES",
                "names no template: list slugs with commas between, or leave it out to relay all",
            );
        }

        if inline_send_budget_ms == Some(0) && !bound.outbox {
            wrong(
                "INLINE_SEND_BUDGET_MS",
                "is 0, so that every mail goes to the queue, and no queue is bound as OUTBOX: nothing would be sent",
            );
        }

        let agent = match (
            setting("REPLY_WEBHOOK_URL"),
            setting("REPLY_WEBHOOK_SECRET"),
        ) {
            (None, None) => None,
            (Some(_), None) => {
                off(
                    "REPLY_WEBHOOK_SECRET",
                    "is missing beside REPLY_WEBHOOK_URL: make one (`whsec_` and the base64 of 32 random bytes), give it to the agent, too, and run `wrangler secret put REPLY_WEBHOOK_SECRET`",
                );
                None
            }
            (None, Some(_)) => {
                off(
                    "REPLY_WEBHOOK_URL",
                    "is missing beside REPLY_WEBHOOK_SECRET: set the agent's address, or remove the secret",
                );
                None
            }
            (Some(url), Some(secret)) => {
                let is_reachable = is_endpoint(&url);
                if !is_reachable {
                    off(
                        "REPLY_WEBHOOK_URL",
                        "is not an https address (http is for loopback only)",
                    );
                }
                let secret = SigningSecret::parse(&secret);
                if secret.is_err() {
                    off(
                        "REPLY_WEBHOOK_SECRET",
                        "is not a signing secret: `whsec_` and the base64 of at least 16 bytes",
                    );
                }
                secret
                    .ok()
                    .filter(|_| is_reachable)
                    .map(|secret| Agent { url, secret })
            }
        };

        let forward_to = setting("REPLY_FORWARD_TO").filter(|address| {
            let problem = if !is_address(address) {
                "is not one plain e-mail address"
            } else if accounts.iter().any(|account| account.has_address(address)) {
                "is the address of an Agent Account: replies would come back for ever"
            } else {
                return true;
            };
            off("REPLY_FORWARD_TO", problem);
            false
        });

        let admin_token = setting("ADMIN_TOKEN").filter(|token| {
            let is_long = token.len() >= ADMIN_TOKEN_BYTES_MIN;
            if !is_long {
                off(
                    "ADMIN_TOKEN",
                    "is shorter than 16 characters: `openssl rand -base64 24` makes a good one",
                );
            }
            is_long
        });
        let alert_url = setting("ALERT_WEBHOOK_URL").filter(|url| {
            let is_reachable = is_endpoint(url);
            if !is_reachable {
                off(
                    "ALERT_WEBHOOK_URL",
                    "is not an https address (http is for loopback only)",
                );
            }
            is_reachable
        });
        let daily_cap = setting("NYLAS_DAILY_CAP").and_then(|text| {
            let cap = text.parse().ok().filter(|cap| *cap > 0_u64);
            if cap.is_none() {
                off("NYLAS_DAILY_CAP", "is not a whole number from 1");
            }
            cap
        });

        if !bound.ledger {
            wrong(
                "LEDGER",
                "is not bound: add the KV namespace to wrangler.toml and deploy again",
            );
        }

        match (nylas_api_key, nylas_api_base, inline_send_budget_ms) {
            (Some(nylas_api_key), Some(nylas_api_base), Some(inline_send_budget_ms))
                if problems.is_empty() =>
            {
                Ok(Self {
                    clerk_secrets,
                    nylas_api_base,
                    nylas_api_key: Secret::new(nylas_api_key),
                    nylas_webhook_secrets,
                    accounts,
                    inline_send_budget: Duration::from_millis(inline_send_budget_ms),
                    templates,
                    agent,
                    forward_to,
                    admin_token: admin_token.map(Secret::new),
                    alert_url,
                    daily_cap,
                    degraded,
                })
            }
            _ => {
                problems.append(&mut degraded);
                Err(problems)
            }
        }
    }

    /// The account of that grant, if it is still configured.
    pub fn account(&self, grant_id: &GrantId) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.grant_id == *grant_id)
    }

    /// Whether Nylas' notifications are believed, and so what they refer to is worth remembering.
    pub fn hears_nylas(&self) -> bool {
        !self.nylas_webhook_secrets.is_empty()
    }
}

fn read_accounts(
    grant_id: Option<String>,
    accounts: Option<String>,
    from_name: Option<String>,
) -> Result<Vec<Account>, Problem> {
    let problem = |name, problem| Err(Problem { name, problem });
    match (grant_id, accounts) {
        (Some(_), Some(_)) => problem(
            "NYLAS_ACCOUNTS",
            "is set beside NYLAS_GRANT_ID: keep one of the two",
        ),
        (None, None) => problem(
            "NYLAS_GRANT_ID",
            "is missing: set it to the Agent Account's grant id, or set NYLAS_ACCOUNTS",
        ),
        (Some(grant_id), None) => match GrantId::parse(&grant_id) {
            Some(grant_id) => Ok(vec![Account {
                grant_id,
                email: None,
                name: from_name,
            }]),
            None => problem(
                "NYLAS_GRANT_ID",
                "is not a grant id: letters, digits and dashes, not the mailbox's address",
            ),
        },
        (None, Some(json)) => {
            const SHAPE: &str = "is not a JSON list of {\"grant_id\", \"email\", \"name\"?} with at least one entry";
            let Some(settings) = serde_json::from_str::<Vec<AccountSetting>>(&json).ok() else {
                return problem("NYLAS_ACCOUNTS", SHAPE);
            };
            if settings.is_empty() {
                return problem("NYLAS_ACCOUNTS", SHAPE);
            }
            let mut accounts: Vec<Account> = Vec::new();
            for setting in settings {
                let Some(grant_id) = GrantId::parse(&setting.grant_id) else {
                    return problem("NYLAS_ACCOUNTS", "holds something that is not a grant id");
                };
                if accounts.iter().any(|account| account.grant_id == grant_id) {
                    return problem("NYLAS_ACCOUNTS", "names the same grant twice");
                }
                let well_formed = setting.email.contains('@')
                    && !setting
                        .email
                        .chars()
                        .chain(setting.name.iter().flat_map(|name| name.chars()))
                        .any(char::is_control);
                if !well_formed {
                    return problem("NYLAS_ACCOUNTS", "holds a malformed email or name");
                }
                accounts.push(Account {
                    grant_id,
                    email: Some(setting.email),
                    name: setting.name.or_else(|| from_name.clone()),
                });
            }
            Ok(accounts)
        }
    }
}

fn split_list(list: &str) -> impl Iterator<Item = &str> {
    list.split(|letter: char| letter == ',' || letter.is_whitespace())
        .filter(|item| !item.is_empty())
}

fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

#[cfg(test)]
mod tests;
