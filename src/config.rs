//! The environment, read once into typed settings. All wrong settings are named at once.
//!
//! A wrong setting that mails need stops all mails: none may go out by guesswork. Any other wrong setting only switches
//! its own feature off: a typo in an optional setting must not keep users from signing in.

use crate::{
    model::{
        account::Account,
        id::{GrantId, is_sample},
        problem::Problem,
        secret::Secret,
    },
    signature::SigningSecret,
};
use reader::Reader;
use std::time::Duration;

mod accounts;
mod origin;
mod reader;
mod smtp;
mod values;

pub use origin::{ApiBase, is_endpoint};
pub use smtp::Smtp;
pub use values::{
    ADMIN_TOKEN_BYTES_MIN, Agent, Bound, CLERK_API_BASE_DEFAULT, CLERK_SECRET_PENDING, ClerkAccess,
    INLINE_SEND_BUDGET_MS_DEFAULT, INLINE_SEND_BUDGET_MS_MAX, NYLAS_API_BASE_DEFAULT,
    is_nylas_local,
};

/// All settings, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub clerk_secrets: Vec<SigningSecret>,
    pub nylas_api_base: ApiBase,
    pub nylas_api_key: Secret,
    /// Empty: no notification can be verified.
    pub nylas_webhook_secrets: Vec<Secret>,
    /// At least one.
    pub accounts: Vec<Account>,
    pub inline_send_budget: Duration,
    /// Slugs of the templates to relay. `None`: all of them.
    pub templates: Option<Vec<String>>,
    /// Gets users' replies.
    pub agent: Option<Agent>,
    /// `ADMIN_TOKEN`: whoever shows it is an operator. `None`: nobody is.
    pub admin_token: Option<Secret>,
    /// `ALERT_WEBHOOK_URL`: where alerts are posted.
    pub alert_url: Option<String>,
    /// `NYLAS_DAILY_CAP`: how many mails an account may send a day. `None`: that is not watched.
    pub daily_cap: Option<u64>,
    /// `NYLAS_MONTHLY_CAP`: how many mails all accounts of the organization may send a month. `None`: the same.
    pub monthly_cap: Option<u64>,
    /// `REPLY_FORWARD_TO`: the address of a person who gets users' replies, too.
    pub forward_to: Option<String>,
    /// Clerk's API, to hand templates back to Clerk while no account sends. `None`: nothing is handed back.
    pub clerk_api: Option<ClerkAccess>,
    /// `SMTP_HOST` and what belongs to it: new mails go out there. `None`: through Nylas' API.
    pub smtp: Option<Smtp>,
    /// Optional settings that are wrong. Their features are off.
    pub degraded: Vec<Problem>,
}

impl Config {
    /// Whether a message of this id counts as a user's. A sample does only where Nylas is pretend, too: there are no
    /// others.
    pub fn counts(&self, svix_id: &str) -> bool {
        !is_sample(svix_id) || is_nylas_local(self.nylas_api_base.as_str())
    }

    /// Reads the settings. `get` returns the text of a variable or secret by its name.
    ///
    /// # Errors
    /// Some setting that mails need is wrong. These are all wrong settings, optional ones included.
    pub fn read(get: impl Fn(&str) -> Option<String>, bound: Bound) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(get);
        let api_base_text = reader.nylas_api_base_text();
        let clerk_secrets = reader.clerk_secrets(is_nylas_local(&api_base_text));
        let nylas_api_key = reader.nylas_api_key();
        let nylas_webhook_secrets = reader.nylas_webhook_secrets();
        let accounts = reader.accounts();
        let nylas_api_base = reader.nylas_api_base(&api_base_text);
        let inline_send_budget = reader.inline_send_budget();
        let templates = reader.templates();
        reader.check_queue(inline_send_budget, bound);
        let agent = reader.agent();
        let forward_to = reader.forward_to(&accounts);
        let admin_token = reader.admin_token();
        let alert_url = reader.alert_url();
        let daily_cap = reader.cap("NYLAS_DAILY_CAP");
        let monthly_cap = reader.cap("NYLAS_MONTHLY_CAP");
        let clerk_api = reader.clerk_api(bound);
        let smtp = reader.smtp(&accounts);
        reader.check_ledger(bound);
        let needed = (nylas_api_key, nylas_api_base, inline_send_budget);
        match (reader.finish(), needed) {
            (
                Ok(degraded),
                (Some(nylas_api_key), Some(nylas_api_base), Some(inline_send_budget)),
            ) => Ok(Self {
                clerk_secrets,
                nylas_api_base,
                nylas_api_key,
                nylas_webhook_secrets,
                accounts,
                inline_send_budget,
                templates,
                agent,
                admin_token,
                alert_url,
                daily_cap,
                monthly_cap,
                forward_to,
                clerk_api,
                smtp,
                degraded,
            }),
            (Ok(problems) | Err(problems), _) => Err(problems),
        }
    }

    /// The account of that grant, if it is still configured.
    pub fn account(&self, grant_id: &GrantId) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.grant_id == *grant_id)
    }

    /// Whether Nylas' notifications can be verified. If not, nothing is remembered for their sake.
    pub fn hears_nylas(&self) -> bool {
        !self.nylas_webhook_secrets.is_empty()
    }
}

#[cfg(test)]
mod tests;
