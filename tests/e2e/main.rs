//! End to end: the built Worker in workerd, real HTTP, the sender's own signing library, and a stand-in for Nylas.
//! Every row of the table of answers in `docs/operations.md` is a test here.
//!
//! These tests do not use libtest's harness, so that the Workers they start are stopped at the end.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod agent;
mod clerk;
mod compatibility;
mod handback;
mod operator;
mod relay;
mod relayctl;
mod replies;
mod setup;
mod smtp;
mod tests;

use agent::Agent;
use libtest_mimic::{Arguments, Trial};
use nylas_stand_in::{Account, Options, StandIn};
use relay::{API_KEY, OTHER_SECRET, REPLY_SECRET, Relay, SECRET, Settings};
use std::{process::ExitCode, sync::Arc, time::Duration};

pub const GRANT: &str = "11111111-0000-4000-8000-000000000001";
pub const FIRST: &str = "22222222-0000-4000-8000-000000000001";
pub const SECOND: &str = "22222222-0000-4000-8000-000000000002";
pub const THIRD: &str = "33333333-0000-4000-8000-000000000003";
pub const FOURTH: &str = "33333333-0000-4000-8000-000000000004";
pub const FIFTH: &str = "44444444-0000-4000-8000-000000000005";
pub const SIXTH: &str = "44444444-0000-4000-8000-000000000006";
pub const SEVENTH: &str = "44444444-0000-4000-8000-000000000007";
pub const EIGHTH: &str = "44444444-0000-4000-8000-000000000008";
/// The account that is paused while Clerk takes over.
pub const NINTH: &str = "55555555-0000-4000-8000-000000000009";
/// `INLINE_SEND_BUDGET_MS` of the usual settings.
pub const INLINE_BUDGET: Duration = Duration::from_millis(1_500);
/// The person who gets forwarded replies.
pub const PERSON: &str = "marker-support@example.com";
/// The person who gets the forwarded replies of the versions on one ledger.
pub const SUPPORT: &str = "marker-both@example.com";
pub const ADMIN_TOKEN: &str = "an-operators-token-for-tests";
/// The id of an old dead letter.
pub const EXPIRED_LETTER: &str = "msg_expired_letter";
pub const SUPPRESSED: &str = "marker-suppressed@example.com";

/// What the tests share. Each test has recipients of its own, so that they can run at the same time.
pub struct Stage {
    pub nylas: StandIn,
    /// As shipped: one account, a queue, two signing secrets.
    pub relay: Relay,
    /// Without a queue, and with optional settings that are wrong.
    pub simple: Relay,
    /// Two accounts, always queueing, two templates only.
    pub pair: Relay,
    /// Gives up after one retry.
    pub impatient: Relay,
    /// With every setting wrong.
    pub broken: Relay,
    /// Two accounts of its own. Replies go to the agent and to a person.
    pub replies: Relay,
    /// The older releases and the present Worker, on one ledger, with two accounts of their own.
    pub beside: Relay,
    pub agent: Agent,
    /// Where alerts go.
    pub alerts: Agent,
}

impl Stage {
    fn set_up() -> Self {
        let account = |grant_id: &str, email: &str| Account {
            grant_id: grant_id.to_owned(),
            email: email.to_owned(),
            name: Some("Acme".to_owned()),
        };
        let mut options = Options::new(
            API_KEY,
            vec![
                account(GRANT, "auth@acme.example"),
                account(FIRST, "auth@first.example"),
                account(SECOND, "auth@second.example"),
                account(THIRD, "auth@third.example"),
                account(FOURTH, "auth@fourth.example"),
                account(FIFTH, "auth@fifth.example"),
                account(SIXTH, "auth@sixth.example"),
                account(SEVENTH, "auth@seventh.example"),
                account(EIGHTH, "auth@eighth.example"),
                account(NINTH, "auth@ninth.example"),
            ],
        );
        // Leaves enough time to start a Worker before the third attempt.
        options.notify_interval = Duration::from_secs(8);
        let nylas = StandIn::start_blocking(options).expect("the stand-in could not listen");
        let (agent, alerts) = (Agent::start(), Agent::start());
        let base = nylas.base_url();
        let settings = || usual(&base);
        let two_secrets = format!("{SECRET} {OTHER_SECRET}");
        let key = clerk_nylas_relay::model::secret::Secret::new(API_KEY);
        let suppressed = clerk_nylas_relay::ledger::recipient::RecipientHash::new(SUPPRESSED, &key)
            .suppression_key();
        let look =
            serde_json::json!({"since": clerk::now_seconds() * 1000, "until": 0}).to_string();
        let letter = serde_json::json!({"mail": {
            "email": {"svix_id": EXPIRED_LETTER, "created_at": 1, "to": "marker@example.com", "subject": "marker"},
            "content": {"here": {"text": "marker"}}, "queued_at": 1,
        }});
        let shipped = Settings {
            ledger: vec![
                (suppressed, "1".to_owned()),
                // The mailbox counts as looked through before. The first look would only remember the time.
                (format!("looked:{GRANT}"), look),
                (format!("dead:{EXPIRED_LETTER}"), letter.to_string()),
            ],
            ..settings()
                .var("ADMIN_TOKEN", ADMIN_TOKEN)
                .secret("CLERK_WEBHOOK_SIGNING_SECRET", two_secrets)
        };
        let accounts = serde_json::json!([
            {"grant_id": FIRST, "email": "auth@first.example"},
            {"grant_id": SECOND, "email": "auth@second.example", "name": "Second"}
        ]);
        let pair = settings()
            .var("NYLAS_GRANT_ID", "")
            .var("NYLAS_ACCOUNTS", accounts.to_string())
            .var("TEMPLATES", "verification_code, invitation");
        let broken = Settings {
            without_ledger: true,
            ..Settings::default()
                .var("ALERT_WEBHOOK_URL", &alerts.url)
                .var("NYLAS_API_BASE", "http://nylas.example")
                .var("NYLAS_GRANT_ID", "marker@example.com")
                .var("INLINE_SEND_BUDGET_MS", "soon")
                .secret("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_marker")
                .secret("NYLAS_API_KEY", "marker key")
        };
        let simple = Settings {
            without_queue: true,
            ..settings()
                .var("NYLAS_WEBHOOK_SECRET", "")
                .var("ADMIN_TOKEN", "marker-short")
                .var("NYLAS_DAILY_CAP", "marker")
        };
        let impatient = Settings {
            max_retries: Some(1),
            ..settings()
        };
        // Two at a time, because each start keeps a core busy.
        let start = |name: &'static str, settings: Settings| {
            std::thread::spawn(move || Relay::start(name, settings))
        };
        let (relay, simple) = (start("relay", shipped), start("simple", simple));
        let (relay, simple) = (relay.join().unwrap(), simple.join().unwrap());
        let (pair, impatient) = (start("pair", pair), start("impatient", impatient));
        let (pair, impatient) = (pair.join().unwrap(), impatient.join().unwrap());
        let watched = Settings {
            // As after a first mail: Nylas reports deliveries.
            ledger: vec![("said:delivered".to_owned(), "1".to_owned())],
            ..settings_with_replies(&base, &agent)
        };
        let watched = watched
            .var("ADMIN_TOKEN", ADMIN_TOKEN)
            .var("ALERT_WEBHOOK_URL", &alerts.url)
            // All the tests' replies are within its budgets.
            .var("NYLAS_DAILY_CAP", "10000");
        let replies = start("replies", watched);
        let both = serde_json::json!([
            {"grant_id": FIFTH, "email": "auth@fifth.example"},
            {"grant_id": SIXTH, "email": "auth@sixth.example"}
        ]);
        let both = settings_with_replies(&base, &agent)
            .var("ADMIN_TOKEN", ADMIN_TOKEN)
            .var("ALERT_WEBHOOK_URL", &alerts.url)
            .var("NYLAS_ACCOUNTS", both.to_string())
            .var("REPLY_FORWARD_TO", SUPPORT);
        let broken = Relay::start("broken", broken);
        let replies = replies.join().unwrap();
        let beside = Relay::start_beside("beside", &compatibility::OLDER, &both);
        let failed = beside.url("/nylas");
        nylas.add_webhook(
            &failed,
            relay::NYLAS_WEBHOOK_SECRET,
            &["message.send_failed"],
        );
        let url = replies.url("/api/webhooks/nylas");
        nylas.add_webhook(&url, relay::NYLAS_WEBHOOK_SECRET, &[]);
        Self {
            nylas,
            relay,
            simple,
            pair,
            impatient,
            broken,
            replies,
            beside,
            agent,
            alerts,
        }
    }

    /// The usual settings, for a test that starts another Worker.
    fn settings(&self) -> Settings {
        usual(&self.nylas.base_url())
    }

    /// The settings of a Worker that hands replies on.
    fn reply_settings(&self) -> Settings {
        settings_with_replies(&self.nylas.base_url(), &self.agent)
    }

    fn relays(&self) -> [&Relay; 7] {
        [
            &self.relay,
            &self.simple,
            &self.pair,
            &self.impatient,
            &self.broken,
            &self.replies,
            &self.beside,
        ]
    }

    /// Everything private in the log of any Worker. There must be nothing.
    fn leaks(&self) -> Vec<String> {
        let private = [
            clerk::MARKER,
            API_KEY,
            SECRET.trim_start_matches("whsec_"),
            relay::NYLAS_WEBHOOK_SECRET,
            "cmVwbHktc2VjcmV0LW9mLTI0LWJ5dGVz",
            ADMIN_TOKEN,
            smtp::PASSWORD,
        ];
        self.relays()
            .iter()
            .flat_map(|relay| relay.records())
            .map(|record| record.to_string())
            .filter(|record| {
                let record = record.to_lowercase();
                private
                    .iter()
                    .any(|text| record.contains(&text.to_lowercase()))
            })
            .collect()
    }
}

fn settings_with_replies(nylas: &str, agent: &Agent) -> Settings {
    let accounts = serde_json::json!([
        {"grant_id": THIRD, "email": "auth@third.example"},
        {"grant_id": FOURTH, "email": "auth@fourth.example"}
    ]);
    usual(nylas)
        .var("NYLAS_GRANT_ID", "")
        .var("NYLAS_ACCOUNTS", accounts.to_string())
        .var("REPLY_WEBHOOK_URL", &agent.url)
        .var("REPLY_WEBHOOK_SECRET", REPLY_SECRET)
        .var("REPLY_FORWARD_TO", PERSON)
}

fn usual(nylas: &str) -> Settings {
    Settings::default()
        .var("NYLAS_API_BASE", nylas)
        .var("NYLAS_GRANT_ID", GRANT)
        .var(
            "INLINE_SEND_BUDGET_MS",
            INLINE_BUDGET.as_millis().to_string(),
        )
}

/// Every test and its name.
fn all() -> impl Iterator<Item = &'static (&'static str, fn(&Stage))> {
    let files = [
        tests::ALL,
        replies::ALL,
        operator::ALL,
        compatibility::ALL,
        setup::ALL,
        handback::ALL,
        smtp::ALL,
    ];
    files.into_iter().flatten()
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // More threads than cores, because the tests mostly wait.
    arguments.test_threads.get_or_insert(12);
    if arguments.list {
        let none: Vec<Trial> = all()
            .map(|(name, _)| Trial::test(*name, || Ok(())))
            .collect();
        return libtest_mimic::run(&arguments, none).exit_code();
    }
    let stage = Arc::new(Stage::set_up());
    let trials = all()
        .map(|(name, test)| {
            let stage = stage.clone();
            Trial::test(*name, move || {
                test(&stage);
                Ok(())
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let leaks = stage.leaks();
    for leak in &leaks {
        eprintln!("something private is in a log record: {leak}");
    }
    drop(stage);
    if conclusion.has_failed() || !leaks.is_empty() {
        ExitCode::from(101)
    } else {
        ExitCode::SUCCESS
    }
}
