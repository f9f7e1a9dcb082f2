//! The settings, one by one. What is wrong is collected, so that all of it can be named at once.

use super::{
    accounts::read_accounts,
    origin::{ApiBase, is_endpoint},
    smtp::Smtp,
    values::{
        ADMIN_TOKEN_BYTES_MIN, Agent, Bound, CLERK_API_BASE_DEFAULT, CLERK_SECRET_PENDING,
        ClerkAccess, INLINE_SEND_BUDGET_MS_DEFAULT, INLINE_SEND_BUDGET_MS_MAX,
        NYLAS_API_BASE_DEFAULT,
    },
};
use crate::{
    model::{account::Account, mail::is_address, problem::Problem, secret::Secret},
    signature::{NYLAS_MOCK_SECRET, SigningSecret},
};
use std::time::Duration;

const CLERK_SECRET: &str = "CLERK_WEBHOOK_SIGNING_SECRET";

/// What is wrong with a signing secret of [`crate::signature::PUBLIC_SIGNING_SECRETS`].
pub(super) const CLERK_SECRET_IS_PUBLIC: &str = "is a published example, so anybody could have mails sent in your \
                                                 name: copy your own endpoint's signing secret from Clerk and run \
                                                 `wrangler secret put CLERK_WEBHOOK_SIGNING_SECRET`";

const NOT_AN_ENDPOINT: &str = "is not an https address (http is for loopback only)";

/// Reads settings through `get` and collects what is wrong with them.
pub struct Reader<G> {
    get: G,
    /// Wrong settings that mails need.
    problems: Vec<Problem>,
    /// Wrong optional settings.
    degraded: Vec<Problem>,
}

impl<G: Fn(&str) -> Option<String>> Reader<G> {
    pub fn new(get: G) -> Self {
        Self {
            get,
            problems: Vec::new(),
            degraded: Vec::new(),
        }
    }

    /// The wrong optional settings.
    ///
    /// # Errors
    /// All wrong settings, if mails need one of them.
    pub fn finish(mut self) -> Result<Vec<Problem>, Vec<Problem>> {
        if self.problems.is_empty() {
            return Ok(self.degraded);
        }
        self.problems.append(&mut self.degraded);
        Err(self.problems)
    }

    /// The text of a setting. An empty variable is an unset one: `wrangler.toml` has no other way to say it.
    fn setting(&self, name: &str) -> Option<String> {
        (self.get)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    /// Notes a wrong setting that mails need.
    fn wrong(&mut self, name: &'static str, problem: &'static str) {
        self.problems.push(Problem { name, problem });
    }

    /// Notes a wrong optional setting, whose feature is off.
    fn off(&mut self, name: &'static str, problem: &'static str) {
        self.degraded.push(Problem { name, problem });
    }

    /// An optional setting, if it fits.
    fn optional(
        &mut self,
        name: &'static str,
        fits: impl Fn(&str) -> bool,
        problem: &'static str,
    ) -> Option<String> {
        let text = self.setting(name)?;
        if fits(&text) {
            return Some(text);
        }
        self.off(name, problem);
        None
    }
}

/// Clerk.
impl<G: Fn(&str) -> Option<String>> Reader<G> {
    /// Clerk's signing secrets. `is_nylas_local`: no mail leaves this machine, so a published secret will do.
    pub fn clerk_secrets(&mut self, is_nylas_local: bool) -> Vec<SigningSecret> {
        let mut secrets = Vec::new();
        let Some(list) = self
            .setting(CLERK_SECRET)
            .filter(|text| text != CLERK_SECRET_PENDING)
        else {
            self.wrong(
                CLERK_SECRET,
                "is missing: copy the endpoint's signing secret from Clerk and run \
                 `wrangler secret put CLERK_WEBHOOK_SIGNING_SECRET`",
            );
            return secrets;
        };
        for secret in split_list(&list) {
            match SigningSecret::parse(secret) {
                Ok(secret) => secrets.push(secret),
                Err(problem) => self.wrong(CLERK_SECRET, problem),
            }
        }
        if split_list(&list).next().is_none() {
            self.wrong(CLERK_SECRET, "holds no secret");
        }
        if !is_nylas_local && secrets.iter().any(SigningSecret::is_public) {
            self.wrong(CLERK_SECRET, CLERK_SECRET_IS_PUBLIC);
        }
        secrets
    }

    /// What templates are handed back to Clerk with. That goes through the queue, so that it is repeated until it is
    /// done.
    pub fn clerk_api(&mut self, bound: Bound) -> Option<ClerkAccess> {
        const KEY: &str = "CLERK_SECRET_KEY";
        let key = self.optional(
            KEY,
            |key| key.starts_with("sk_") && is_header_value(key),
            "is not a secret key of Clerk's (sk_live_... or sk_test_...): Clerk's dashboard, API keys",
        )?;
        let base = self.setting("CLERK_API_BASE");
        let Some(base) = ApiBase::parse(base.as_deref().unwrap_or(CLERK_API_BASE_DEFAULT)) else {
            self.off("CLERK_API_BASE", NOT_AN_ENDPOINT);
            return None;
        };
        if !bound.outbox {
            self.off(KEY, "needs a queue, and none is bound as OUTBOX");
            return None;
        }
        let key = Secret::new(key);
        Some(ClerkAccess { base, key })
    }
}

/// Nylas.
impl<G: Fn(&str) -> Option<String>> Reader<G> {
    pub fn nylas_api_base_text(&self) -> String {
        self.setting("NYLAS_API_BASE")
            .unwrap_or_else(|| NYLAS_API_BASE_DEFAULT.to_owned())
    }

    pub fn nylas_api_base(&mut self, text: &str) -> Option<ApiBase> {
        let base = ApiBase::parse(text);
        if base.is_none() {
            self.wrong(
                "NYLAS_API_BASE",
                "is not an https address without a path (http is for loopback only): use https://api.us.nylas.com or \
                 https://api.eu.nylas.com",
            );
        }
        base
    }

    pub fn nylas_api_key(&mut self) -> Option<Secret> {
        let key = self
            .setting("NYLAS_API_KEY")
            .filter(|key| is_header_value(key));
        if key.is_none() {
            self.wrong(
                "NYLAS_API_KEY",
                "is missing or not one line of plain characters: create a key in the Nylas dashboard and run \
                 `wrangler secret put NYLAS_API_KEY`",
            );
        }
        key.map(Secret::new)
    }

    pub fn nylas_webhook_secrets(&mut self) -> Vec<Secret> {
        let list = self.setting("NYLAS_WEBHOOK_SECRET").unwrap_or_default();
        let mut secrets = Vec::new();
        for secret in split_list(&list) {
            if secret == NYLAS_MOCK_SECRET {
                self.off(
                    "NYLAS_WEBHOOK_SECRET",
                    "is the secret of Nylas' test events, which everybody knows: use the one of your own webhook",
                );
            } else {
                secrets.push(Secret::new(secret));
            }
        }
        secrets
    }

    pub fn accounts(&mut self) -> Vec<Account> {
        let from_name = self.optional(
            "NYLAS_FROM_NAME",
            |name| !name.chars().any(char::is_control),
            "holds a line break or control character",
        );
        let grant_id = self.setting("NYLAS_GRANT_ID");
        let accounts = self.setting("NYLAS_ACCOUNTS");
        read_accounts(grant_id, accounts, from_name).unwrap_or_else(|problem| {
            self.problems.push(problem);
            Vec::new()
        })
    }
}

/// Which mails are sent, when, and with which bindings.
impl<G: Fn(&str) -> Option<String>> Reader<G> {
    pub fn inline_send_budget(&mut self) -> Option<Duration> {
        let Some(text) = self.setting("INLINE_SEND_BUDGET_MS") else {
            return Some(Duration::from_millis(INLINE_SEND_BUDGET_MS_DEFAULT));
        };
        let budget_ms = text.parse().ok();
        let budget_ms = budget_ms.filter(|budget_ms| *budget_ms <= INLINE_SEND_BUDGET_MS_MAX);
        if budget_ms.is_none() {
            self.wrong(
                "INLINE_SEND_BUDGET_MS",
                "is not a whole number of milliseconds from 0 to 10000",
            );
        }
        budget_ms.map(Duration::from_millis)
    }

    pub fn templates(&mut self) -> Option<Vec<String>> {
        let list = self.setting("TEMPLATES")?;
        let slugs: Vec<String> = list
            .split(',')
            .map(|slug| slug.trim().to_owned())
            .filter(|slug| !slug.is_empty())
            .collect();
        if slugs.is_empty() {
            self.wrong(
                "TEMPLATES",
                "names no template: list slugs with commas between, or leave it out to relay all",
            );
        }
        Some(slugs)
    }

    /// Without a budget every mail goes to the queue, so there must be one.
    pub fn check_queue(&mut self, inline_send_budget: Option<Duration>, bound: Bound) {
        if inline_send_budget == Some(Duration::ZERO) && !bound.outbox {
            self.wrong(
                "INLINE_SEND_BUDGET_MS",
                "is 0, so that every mail goes to the queue, and no queue is bound as OUTBOX: nothing would be sent",
            );
        }
    }

    pub fn check_ledger(&mut self, bound: Bound) {
        if !bound.ledger {
            self.wrong(
                "LEDGER",
                "is not bound: add the KV namespace to wrangler.toml and deploy again",
            );
        }
    }
}

/// Who gets replies.
impl<G: Fn(&str) -> Option<String>> Reader<G> {
    pub fn agent(&mut self) -> Option<Agent> {
        let url = self.setting("REPLY_WEBHOOK_URL");
        let secret = self.setting("REPLY_WEBHOOK_SECRET");
        match (url, secret) {
            (None, None) => None,
            (Some(_), None) => {
                self.off(
                    "REPLY_WEBHOOK_SECRET",
                    "is missing beside REPLY_WEBHOOK_URL: make one (`whsec_` and the base64 of 32 random bytes), \
                     give it to the agent, too, and run `wrangler secret put REPLY_WEBHOOK_SECRET`",
                );
                None
            }
            (None, Some(_)) => {
                self.off(
                    "REPLY_WEBHOOK_URL",
                    "is missing beside REPLY_WEBHOOK_SECRET: set the agent's address, or remove the secret",
                );
                None
            }
            (Some(url), Some(secret)) => self.agent_of(url, &secret),
        }
    }

    fn agent_of(&mut self, url: String, secret: &str) -> Option<Agent> {
        let is_reachable = is_endpoint(&url);
        if !is_reachable {
            self.off("REPLY_WEBHOOK_URL", NOT_AN_ENDPOINT);
        }
        let secret = SigningSecret::parse(secret).ok();
        if secret.is_none() {
            self.off(
                "REPLY_WEBHOOK_SECRET",
                "is not a signing secret: `whsec_` and the base64 of at least 16 bytes",
            );
        }
        secret
            .filter(|_| is_reachable)
            .map(|secret| Agent { url, secret })
    }

    pub fn forward_to(&mut self, accounts: &[Account]) -> Option<String> {
        let address = self.optional(
            "REPLY_FORWARD_TO",
            is_address,
            "is not one plain e-mail address",
        )?;
        if accounts.iter().any(|account| account.has_address(&address)) {
            self.off(
                "REPLY_FORWARD_TO",
                "is the address of an Agent Account: replies would come back for ever",
            );
            return None;
        }
        Some(address)
    }
}

/// The operator.
impl<G: Fn(&str) -> Option<String>> Reader<G> {
    pub fn admin_token(&mut self) -> Option<Secret> {
        let token = self.optional(
            "ADMIN_TOKEN",
            |token| token.len() >= ADMIN_TOKEN_BYTES_MIN,
            "is shorter than 16 characters: `openssl rand -base64 24` makes a good one",
        );
        token.map(Secret::new)
    }

    pub fn alert_url(&mut self) -> Option<String> {
        self.optional("ALERT_WEBHOOK_URL", is_endpoint, NOT_AN_ENDPOINT)
    }

    pub fn cap(&mut self, name: &'static str) -> Option<u64> {
        let cap = |text: &str| text.parse().ok().filter(|cap| *cap > 0_u64);
        let text = self.optional(
            name,
            |text| cap(text).is_some(),
            "is not a whole number from 1",
        )?;
        cap(&text)
    }
}

/// SMTP.
impl<G: Fn(&str) -> Option<String>> Reader<G> {
    /// Where new mails go out, if not through Nylas' API. While one of its settings is wrong, the API sends.
    pub fn smtp(&mut self, accounts: &[Account]) -> Option<Smtp> {
        let host = self.setting("SMTP_HOST")?;
        let (port, password) = (self.setting("SMTP_PORT"), self.setting("SMTP_PASSWORD"));
        match Smtp::read(host, port.as_deref(), password.as_deref(), accounts) {
            Ok(smtp) => Some(smtp),
            Err(problem) => {
                self.off(problem.name, problem.problem);
                None
            }
        }
    }
}

fn split_list(list: &str) -> impl Iterator<Item = &str> {
    list.split(|letter: char| letter == ',' || letter.is_whitespace())
        .filter(|item| !item.is_empty())
}

fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
