//! A stage, a run on it, and the checks at its end.

use crate::{
    agent,
    choices::{Choices, Exhaustive, Fork},
    clerk::CLERK_KEY,
    executor::Millis,
    notifications::NYLAS_SECRET,
    ports::API_KEY,
    queue,
    replies::{self, Incoming, Writer},
    sabotage::Sabotage,
    smtp,
    svix::{self, KEY, Message},
    world::{AccountState, Rules, World},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clerk_nylas_relay::{
    config::{Bound, Config},
    model::{mail::Slug, message::Lane, time::millis},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;
const START: Millis = 1_764_000_000_000;

/// The most requests to Nylas that one message may cost. Each attempt makes a handful, and the attempts of a week
/// become rarer, down to one in 15 minutes.
pub const CALLS_MAX: u32 = 2_000;

/// What a run starts from.
#[derive(Clone, Debug)]
pub struct Stage {
    pub rules: Rules,
    /// How many accounts are configured at first.
    pub accounts: u32,
    pub inline_send_budget_ms: u64,
    /// Clerk's messages: the slug, and when the event is made, after the start.
    pub messages: Vec<(&'static str, Millis)>,
    /// Changes of the accounts' states: the account, when, after the start, and its new state.
    pub weather: Vec<(u32, Millis, AccountState)>,
    /// Changes of the configured accounts: when, after the start, and the new list.
    pub changes: Vec<(Millis, Vec<u32>)>,
    /// Changes of the transport: when, after the start, and whether it is SMTP from then on.
    pub transports: Vec<(Millis, bool)>,
    /// When faults stop, after the start.
    pub calm_after: Millis,
    /// Whether the queue holds a message that the relay cannot read.
    pub undecodable: bool,
    /// The messages that come into the mailboxes.
    pub incoming: Vec<Incoming>,
    /// Whether Clerk's messages all go to one recipient, who presses "resend".
    pub one_recipient: bool,
    /// Whom further codes go to, and when, after the start.
    pub sign_ups: Vec<(String, Millis)>,
    pub sabotage: Option<Sabotage>,
    /// Clerk's API, if the relay has its key.
    pub clerk: Option<ClerkApi>,
}

/// What Clerk's API is like.
#[derive(Clone, Debug, Default)]
pub struct ClerkApi {
    /// The templates that are left to the relay at first.
    pub templates: Vec<&'static str>,
    /// From when to when it answers 500, after the start.
    pub outage: Option<(Millis, Millis)>,
}

impl Stage {
    /// A stage from a seed: up to three messages, accounts that fail and recover, and a time of faults.
    pub fn from_seed(seed: u64, sabotage: Option<Sabotage>) -> Self {
        // So that the stage gets other random numbers than the run.
        let mut dice = Choices::random(seed ^ 0x5eed, 0);
        let mut die = |sides: u64| dice.below(sides);
        let calm_after = [10 * MINUTE, 2 * HOUR, 30 * HOUR][usize::try_from(die(3)).unwrap()];
        let accounts = 1 + u32::try_from(die(3)).unwrap();
        let slugs = [
            "verification_code",
            "magic_link_sign_in",
            "invitation",
            "password_changed",
        ];
        let messages = (0..1 + die(3))
            .map(|_| {
                let slug = slugs[usize::try_from(die(4)).unwrap()];
                (slug, die(calm_after + 5 * MINUTE))
            })
            .collect();
        let states = [
            AccountState::Paused,
            AccountState::AbuseBlocked,
            AccountState::Capped,
            AccountState::Gone,
            AccountState::Throttled,
        ];
        let mut weather = Vec::new();
        for _ in 0..die(4) {
            let account = u32::try_from(die(u64::from(accounts))).unwrap();
            let from = die(calm_after);
            let length = [SECOND, MINUTE, HOUR][usize::try_from(die(3)).unwrap()];
            let state = states[usize::try_from(die(5)).unwrap()];
            weather.push((account, from, state));
            weather.push((account, from + die(length), AccountState::Healthy));
        }
        let changes: Vec<(Millis, Vec<u32>)> = (0..die(3) / 2)
            .map(|_| {
                let at = die(calm_after);
                let first = u32::try_from(die(3)).unwrap();
                (
                    at,
                    (first..=first + u32::try_from(die(2)).unwrap()).collect(),
                )
            })
            .collect();
        let rules = Rules {
            throttling_is_kept: die(2) == 0,
            account_refusals_are_kept: die(2) == 0,
            has_queue: die(5) > 0,
            store_is_reliable: !changes.is_empty() || die(4) == 0,
            hears_nylas: false,
            failed_mail_stays: false,
            hang_up_frees_keys: die(2) == 0,
            instances: 0,
            daily_cap: None,
            over_smtp: false,
            message_ids_are_kept: true,
            batch_size: 1,
            queue_stops: None,
        };
        // Without a queue a budget of 0 is a configuration error.
        let always_queued = rules.has_queue && die(6) == 0;
        let undecodable = die(8) == 0;
        let messages: Vec<_> = messages;
        let mut rules = rules;
        let mut incoming = Vec::new();
        // Not where the configured accounts change: a reply may lie in the mailbox of a removed account.
        if rules.has_queue && changes.is_empty() && die(3) == 0 {
            rules.hears_nylas = true;
            rules.failed_mail_stays = die(2) == 0;
            for _ in 0..die(4) {
                let writers = [
                    Writer::Person,
                    Writer::Person,
                    Writer::OutOfOffice,
                    Writer::Own,
                ];
                incoming.push(Incoming {
                    writer: writers[usize::try_from(die(4)).unwrap()],
                    at: MINUTE + die(calm_after),
                    account: u32::try_from(die(u64::from(accounts))).unwrap(),
                    answers: (die(2) == 0).then_some(0),
                });
            }
        }
        let one_recipient = die(3) == 0;
        rules.over_smtp = die(4) == 0;
        rules.message_ids_are_kept = die(3) > 0;
        let mut transports = Vec::new();
        if die(8) == 0 {
            transports.push((die(calm_after), !rules.over_smtp));
        }
        Self {
            rules,
            accounts,
            inline_send_budget_ms: if always_queued { 0 } else { 4_000 },
            messages,
            weather,
            changes,
            transports,
            calm_after,
            undecodable,
            incoming,
            one_recipient,
            sign_ups: Vec::new(),
            sabotage,
            clerk: None,
        }
    }

    /// One message, and accounts that stay healthy: every fault comes from a fork.
    pub fn single(rules: Rules, accounts: u32, slug: &'static str) -> Self {
        Self {
            rules,
            accounts,
            inline_send_budget_ms: 4_000,
            messages: vec![(slug, 0)],
            weather: Vec::new(),
            changes: Vec::new(),
            transports: Vec::new(),
            calm_after: 365 * DAY,
            undecodable: false,
            incoming: Vec::new(),
            one_recipient: false,
            sign_ups: Vec::new(),
            sabotage: None,
            clerk: None,
        }
    }

    /// One message that comes in, and the sweep.
    pub fn incoming(writer: Writer) -> Self {
        let rules = Rules {
            throttling_is_kept: true,
            account_refusals_are_kept: true,
            has_queue: true,
            store_is_reliable: false,
            hears_nylas: true,
            failed_mail_stays: false,
            hang_up_frees_keys: false,
            instances: 0,
            daily_cap: None,
            over_smtp: false,
            message_ids_are_kept: true,
            batch_size: 1,
            queue_stops: None,
        };
        Self {
            messages: Vec::new(),
            calm_after: 10 * MINUTE,
            incoming: vec![Incoming {
                writer,
                at: MINUTE,
                account: 0,
                answers: Some(0),
            }],
            ..Self::single(rules, 1, "verification_code")
        }
    }

    /// Strangers write to one account's mailbox, two hundred mails in an hour, while users sign in. An account may send
    /// a hundred mails a day.
    pub fn flood(senders: u32, accounts: u32, instances: u32) -> Self {
        let incoming = (0..200).map(|number| Incoming {
            writer: Writer::Stranger(number % senders),
            at: MINUTE + Millis::from(number) * 18 * SECOND,
            account: 0,
            answers: None,
        });
        let sign_ins = (0..50).map(|number| ("verification_code", number * 72 * SECOND));
        let rules = Rules {
            instances,
            daily_cap: Some(100),
            ..Self::incoming(Writer::Own).rules
        };
        Self {
            messages: sign_ins.collect(),
            calm_after: 30 * MINUTE,
            incoming: incoming.collect(),
            ..Self::single(rules, accounts, "verification_code")
        }
    }

    /// A code every so often, and accounts that are paused a minute after the start, for so long.
    pub fn paused(every: Millis, length: Millis, accounts: u32, clerk: Option<ClerkApi>) -> Self {
        let codes =
            (0..(length + 3 * MINUTE) / every).map(|number| ("verification_code", number * every));
        let weather = (0..accounts).flat_map(|account| {
            let paused = (account, MINUTE, AccountState::Paused);
            let healthy = (account, MINUTE + length, AccountState::Healthy);
            [paused, healthy]
        });
        let rules = Rules {
            hears_nylas: false,
            instances: 2,
            ..Self::incoming(Writer::Own).rules
        };
        Self {
            messages: codes.collect(),
            incoming: Vec::new(),
            weather: weather.collect(),
            calm_after: 4 * HOUR,
            clerk,
            ..Self::single(rules, accounts, "verification_code")
        }
    }

    /// Somebody signs up every second for six hours with addresses made up at so many domains. Around that, a thousand
    /// real codes a day for two days: of a hundred regulars, each of whom has had a mail before the attack, and one in
    /// twenty of a newcomer.
    pub fn sign_ups(domains: u32, instances: u32) -> Self {
        let real = (0..2_000_u32).map(|number| {
            let to = match number % 20 {
                0 => format!("MARKER-newcomer-{number}@example.com"),
                _ => format!("MARKER-regular-{}@company-0.example", number % 100),
            };
            (to, Millis::from(number) * 86 * SECOND)
        });
        let attack = (0..6 * 3600_u32).map(|number| {
            let to = format!(
                "MARKER-made-up-{number}@company-{}.example",
                number % domains
            );
            (to, DAY + Millis::from(number) * SECOND)
        });
        let rules = Rules {
            instances,
            ..Self::incoming(Writer::Own).rules
        };
        Self {
            messages: Vec::new(),
            incoming: Vec::new(),
            sign_ups: real.chain(attack).collect(),
            calm_after: 0,
            ..Self::single(rules, 1, "verification_code")
        }
    }

    /// A user signs in every ten seconds for twenty minutes. In the second, third and fourth minute Nylas throttles,
    /// and from the second minute on the queue stands still until the next day.
    pub fn standstill() -> Self {
        let sign_ins = (0..120).map(|number| ("verification_code", number * 10 * SECOND));
        let single = Self::incoming(Writer::Own);
        let rules = Rules {
            hears_nylas: false,
            queue_stops: Some((MINUTE, 14 * HOUR)),
            ..single.rules
        };
        Self {
            messages: sign_ins.collect(),
            weather: vec![
                (0, MINUTE, AccountState::Throttled),
                (0, 4 * MINUTE, AccountState::Healthy),
            ],
            ..Self::single(rules, 1, "verification_code")
        }
    }

    /// A user presses "resend" every 15 seconds while Nylas throttles, for a minute and a half.
    pub fn resends() -> Self {
        let codes = (0..6).map(|number| ("verification_code", number * 15 * SECOND));
        Self {
            messages: codes.collect(),
            one_recipient: true,
            weather: vec![
                (0, 0, AccountState::Throttled),
                (0, 100 * SECOND, AccountState::Healthy),
            ],
            rules: Rules {
                hears_nylas: false,
                ..Self::incoming(Writer::Own).rules
            },
            ..Self::single(Self::incoming(Writer::Own).rules, 1, "verification_code")
        }
    }

    /// Forty users sign in at the same moment, and every mail goes into the queue, which delivers so many at once.
    pub fn rush(batch_size: u32, over_smtp: bool) -> Self {
        let rules = Rules {
            hears_nylas: false,
            batch_size,
            over_smtp,
            ..Self::incoming(Writer::Own).rules
        };
        Self {
            messages: vec![("verification_code", 0); 40],
            inline_send_budget_ms: 0,
            ..Self::single(rules, 1, "verification_code")
        }
    }

    /// One code, and a Nylas that reports delivery events to the relay.
    pub fn hearing(accounts: u32, failed_mail_stays: bool) -> Self {
        Self {
            messages: vec![("verification_code", 0)],
            incoming: Vec::new(),
            rules: Rules {
                failed_mail_stays,
                ..Self::incoming(Writer::Own).rules
            },
            ..Self::single(
                Self::incoming(Writer::Own).rules,
                accounts,
                "verification_code",
            )
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub violations: Vec<String>,
    /// Second mails by residual risk 1 or 2 of `docs/delivery.md`: an account refused a mail, Nylas did not remember
    /// the refusal, and the account accepted the mail from an attempt that did not know of the other.
    pub residual: u32,
    /// Second mails by residual risk 3: an instance crashed right after a send, or took too long to queue the mail, and
    /// the configured accounts changed before the next attempt.
    pub changed: u32,
    /// Second mails by residual risk 5: Nylas freed the key of a send in flight, after a crash, a lost connection, or
    /// half a minute.
    pub hung_up: u32,
    /// Second mails by residual risk 8: two attempts over SMTP at the same time.
    pub overlapping: u32,
    /// Second mails by residual risk 9: nobody could tell whether a code was out.
    pub blind: u32,
    pub messages: u32,
    pub sent: u32,
    /// Codes that were not sent, because a newer one to the same recipient was in the queue.
    pub superseded: u32,
    /// Of several codes to one recipient: whether the newest was sent.
    pub is_newest_sent: bool,
    pub expired: u32,
    pub calls_max: u32,
    /// Replies that reached the person, each once.
    pub forwarded: u32,
    /// Replies that reached the agent.
    pub handed_on: u32,
    /// Records that raise an alert because replies stay in the mailbox.
    pub alerts: u32,
    /// Codes by the kind of their recipient (regular, newcomer, made-up), and how many of these were sent.
    pub sign_ups: BTreeMap<&'static str, (u32, u32)>,
    /// The messages that Clerk delivered itself.
    pub by_clerk: u32,
    /// When Clerk began to deliver each template, after the start.
    pub switched: Vec<(Millis, &'static str)>,
    /// Hand-backs that were queued.
    pub hand_backs: u32,
    /// The longest that a mail of Clerk's took.
    pub slowest: Millis,
    pub forks: Vec<Fork>,
    pub faults: Vec<&'static str>,
    /// The same, by the numbers of their forks.
    pub fault_forks: Vec<u64>,
    pub trace: Vec<String>,
}

fn config(
    accounts: &[u32],
    budget_ms: u64,
    hears_nylas: bool,
    asks_clerk: bool,
    over_smtp: bool,
) -> Config {
    let accounts: Vec<_> = accounts
        .iter()
        .map(|account| {
            serde_json::json!({
                "grant_id": format!("g{account}"), "email": format!("auth@g{account}.example.com")
            })
        })
        .collect();
    let mut settings = vec![
        (
            "CLERK_WEBHOOK_SIGNING_SECRET",
            format!("whsec_{}", STANDARD.encode(KEY)),
        ),
        ("NYLAS_API_KEY", API_KEY.to_owned()),
        // On loopback, so that addresses nobody reads get their mails.
        ("NYLAS_API_BASE", "http://127.0.0.1:1".to_owned()),
        ("NYLAS_ACCOUNTS", serde_json::to_string(&accounts).unwrap()),
        ("INLINE_SEND_BUDGET_MS", budget_ms.to_string()),
    ];
    if asks_clerk {
        settings.push(("CLERK_SECRET_KEY", CLERK_KEY.to_owned()));
    }
    if over_smtp {
        let passwords: BTreeMap<String, &str> = (0..6)
            .map(|account| (format!("g{account}"), smtp::PASSWORD))
            .collect();
        settings.extend([
            ("SMTP_HOST", "mail.example".to_owned()),
            ("SMTP_PASSWORD", serde_json::to_string(&passwords).unwrap()),
        ]);
    }
    if hears_nylas {
        settings.extend([
            ("NYLAS_WEBHOOK_SECRET", NYLAS_SECRET.to_owned()),
            ("REPLY_WEBHOOK_URL", agent::AGENT_URL.to_owned()),
            ("REPLY_WEBHOOK_SECRET", agent::AGENT_SECRET.to_owned()),
            ("REPLY_FORWARD_TO", replies::FORWARD_TO.to_owned()),
        ]);
    }
    Config::read(
        |name| {
            let found = settings.iter().find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| value.clone())
        },
        Bound {
            ledger: true,
            outbox: true,
        },
    )
    .unwrap()
}

/// Plays one run to its end.
pub fn run(stage: &Stage, choices: Choices, traced: bool) -> Outcome {
    let calm_from = START + stage.calm_after;
    let world = World::new(
        START,
        stage.rules,
        stage.sabotage,
        choices,
        calm_from,
        traced,
    );
    world.note(|| format!("{stage:?}"));
    let mut weather: BTreeMap<String, Vec<(Millis, AccountState)>> = BTreeMap::new();
    for account in 0..6 {
        let mut changes = vec![(0, AccountState::Healthy)];
        let own = stage.weather.iter().filter(|(which, ..)| *which == account);
        changes.extend(own.map(|(_, from, state)| (START + from, *state)));
        changes.sort_by_key(|(from, _)| *from);
        changes.push((calm_from, AccountState::Healthy));
        weather.insert(format!("g{account}"), changes);
    }
    *world.accounts.borrow_mut() = weather;
    if let Some(clerk) = &stage.clerk {
        let templates = clerk.templates.iter().map(|slug| (*slug, false));
        *world.clerk.templates.borrow_mut() = templates.collect();
        world.clerk.outage.set(clerk.outage);
    }
    let asks_clerk = stage.clerk.is_some();
    let first: Vec<u32> = (0..stage.accounts).collect();
    *world.config.borrow_mut() = Some(config(
        &first,
        stage.inline_send_budget_ms,
        stage.rules.hears_nylas,
        asks_clerk,
        stage.rules.over_smtp,
    ));
    change_settings(&world, stage, &first);
    if stage.undecodable {
        queue::push(
            &world,
            Lane::Outbox,
            "{\"brand\":\"new\"}".to_owned(),
            1_000,
        );
    }
    let messages: Vec<_> = (0..)
        .zip(&stage.messages)
        .map(|(number, (slug, at))| match stage.one_recipient {
            true => Message::to("MARKER@example.com", number, slug, START + at),
            false => Message::new(number, slug, START + at),
        })
        .chain(
            (1_000_000..)
                .zip(&stage.sign_ups)
                .map(|(number, (to, at))| Message::to(to, number, "verification_code", START + at)),
        )
        .collect();
    for message in &messages {
        world
            .executor
            .spawn(svix::send(world.clone(), message.clone()));
    }
    for (number, incoming) in (0..).zip(&stage.incoming) {
        let arriving = replies::arrive(world.clone(), number, *incoming);
        world.executor.spawn(arriving);
    }
    if !stage.incoming.is_empty() {
        // The relay was set up before, so it has looked into the mailboxes.
        for account in 0..stage.accounts {
            let look = format!(r#"{{"since":{START},"until":{START}}}"#);
            world.plant(&format!("looked:g{account}"), &look);
        }
        world
            .executor
            .spawn(replies::sweep_now_and_then(world.clone()));
    }
    let is_at_rest = world.executor.run_until(START + 30 * DAY);
    if !is_at_rest {
        world.violate("nothing came to rest within 30 days".into());
    }
    replies::judge(&world, &stage.incoming);
    judge(&world, stage, &messages)
}

/// Changes the accounts and the transport when the stage says so.
fn change_settings(world: &Rc<World>, stage: &Stage, first: &[u32]) {
    let now = (first.to_vec(), stage.rules.over_smtp);
    let now = Rc::new(RefCell::new(now));
    let accounts = stage.changes.iter();
    let accounts = accounts.map(|(at, accounts)| (*at, Some(accounts.clone()), None));
    let transports = stage.transports.iter();
    let transports = transports.map(|(at, over_smtp)| (*at, None, Some(*over_smtp)));
    for (at, accounts, over_smtp) in accounts.chain(transports) {
        let (world, now) = (world.clone(), now.clone());
        let (budget_ms, hears_nylas) = (stage.inline_send_budget_ms, stage.rules.hears_nylas);
        let asks_clerk = stage.clerk.is_some();
        world.clone().executor.spawn(async move {
            world.executor.sleep(at).await;
            let mut now = now.borrow_mut();
            now.0 = accounts.unwrap_or_else(|| now.0.clone());
            now.1 = over_smtp.unwrap_or(now.1);
            world.note(|| format!("accounts are now {:?}, over SMTP: {}", now.0, now.1));
            let changed = config(&now.0, budget_ms, hears_nylas, asks_clerk, now.1);
            *world.config.borrow_mut() = Some(changed);
        });
    }
}

/// Checks the invariants, whose list is in `docs/delivery.md`.
fn judge(world: &Rc<World>, stage: &Stage, messages: &[Message]) -> Outcome {
    let (mut residual, mut changed, mut hung_up) = (0, 0, 0);
    let (mut overlapping, mut blind) = (0, 0);
    let (mut sent_count, mut superseded_count, mut expired_count) = (0, 0, 0);
    let mut is_newest_sent = false;
    let calm_from = START + stage.calm_after;
    for message in messages {
        let id = &message.svix_id;
        let accepted: Vec<_> = world
            .accepted
            .borrow()
            .iter()
            .filter(|mail| mail.svix_id == *id && !mail.failed)
            .cloned()
            .collect();
        let failed = world
            .accepted
            .borrow()
            .iter()
            .any(|mail| mail.svix_id == *id && mail.failed);
        // What Clerk delivered itself nobody else may send.
        if world.clerk.has_delivered(id) {
            if !accepted.is_empty() {
                world.violate(format!(
                    "{id} was delivered by Clerk, and here: {accepted:?}"
                ));
            }
            continue;
        }
        let mut outcomes = world.outcomes.borrow().get(id).cloned().unwrap_or_default();
        // If the instance crashed between the record and the log, only the record has the end.
        let stored = world.stored(&format!("mail:{id}")).unwrap_or_default();
        for end in ["rejected", "expired", "dead_lettered", "superseded"] {
            if stored.contains(&format!("\"state\":\"{end}\"")) {
                outcomes.push(end);
            }
        }
        let ttl = millis(Slug::new(Some(message.slug)).ttl());
        let expires_at = message.created_at + ttl;
        // At most one mail.
        if accepted.len() > 1 {
            let refusals = world.unkept_refusals.borrow();
            let left_unkept = accepted
                .iter()
                .any(|mail| refusals.contains(&(mail.grant.clone(), id.clone())));
            // Whether what one attempt knew was lost with its instance, or not yet stored when Svix tried again.
            let was_unrecorded = world.faults.borrow().iter().any(|fault| {
                // The change may also fall between two posts of one webhook.
                let is_twin = fault.starts_with("posted") || fault.starts_with("connection");
                is_twin || fault.starts_with("crash") || fault.ends_with("takes 20 s")
            });
            let was_changed = !stage.changes.is_empty() || !stage.transports.is_empty();
            if accepted.iter().any(|mail| mail.key == smtp::KEY) {
                let is_code = Slug::new(Some(message.slug)).is_code();
                match smtp::second(world, is_code, &accepted) {
                    smtp::Second::Overlapping => overlapping += 1,
                    smtp::Second::Blind => blind += 1,
                    smtp::Second::Wrong if was_changed && was_unrecorded => changed += 1,
                    smtp::Second::Wrong => world.violate(format!(
                        "{id} became {} mails over SMTP: {accepted:?}",
                        accepted.len()
                    )),
                }
            } else if world.hung_up.borrow().contains(id) {
                hung_up += 1;
            } else if left_unkept {
                residual += 1;
            } else if was_changed && was_unrecorded {
                changed += 1;
            } else {
                world.violate(format!(
                    "{id} became {} mails: {accepted:?}",
                    accepted.len()
                ));
            }
        }
        // One end, and nothing sent after the TTL.
        if accepted
            .iter()
            .any(|mail| mail.requested_at > expires_at + SECOND)
        {
            world.violate(format!("{id} was sent after it had expired"));
        }
        let ended = |outcome: &str| outcomes.contains(&outcome);
        let is_sent = !accepted.is_empty();
        let is_abandoned = world.abandoned.borrow().contains(id);
        // Nobody is left without the newest code.
        let is_superseded = ended("superseded");
        let is_newer = |other: &Message| {
            (&other.to, other.slug) == (&message.to, message.slug)
                && other.created_at > message.created_at
        };
        if is_superseded && !messages.iter().any(is_newer) {
            world.violate(format!("{id} was superseded, and is the newest"));
        }
        if stage.one_recipient && !messages.iter().any(is_newer) {
            is_newest_sent = is_sent;
            let ends = ["rejected", "expired", "dead_lettered", "suppressed"];
            let has_end = is_abandoned || ends.iter().any(|end| ended(end));
            if !is_sent && !has_end {
                world.violate(format!(
                    "{id} is the newest, and was not sent: {outcomes:?}"
                ));
            }
        }
        superseded_count += u32::from(is_superseded && !is_sent);
        if is_sent {
            sent_count += 1;
        } else if failed {
            // It must be sent again before it expires, or reported as lost, unless the notification was lost.
            let is_unreported = world.faults.borrow().contains(&"notification lost");
            let ends = [
                "failed",
                "rejected",
                "expired",
                "dead_lettered",
                "superseded",
            ];
            let has_end = ends.iter().any(|end| ended(end))
                || world
                    .records
                    .borrow()
                    .iter()
                    .any(|record| record.contains("not_a_mail_of_the_relay"));
            if !is_unreported && !is_abandoned && !has_end {
                world.violate(format!(
                    "{id} failed later and that was not reported: {outcomes:?}"
                ));
            }
        } else if ended("sent") {
            world.violate(format!("{id} was logged as sent and was not"));
        } else if !is_abandoned
            && ![
                "rejected",
                "expired",
                "dead_lettered",
                "suppressed",
                "superseded",
            ]
            .iter()
            .any(|end| ended(end))
        {
            world.violate(format!("{id} has no end: {outcomes:?}"));
        }
        if !is_sent && ended("expired") {
            expired_count += 1;
        }
        // Once faults have stopped, what has not expired is sent.
        // Over SMTP without a queue, the first attempt after a refusal only looks, and the next one sends.
        let has_smtp = stage.rules.over_smtp || !stage.transports.is_empty();
        let attempts = if has_smtp && !stage.rules.has_queue {
            2
        } else {
            1
        };
        let had_time = expires_at > calm_from.max(message.created_at) + attempts * 13 * HOUR
            || message.created_at > calm_from
            || expires_at > calm_from + 20 * MINUTE && stage.rules.has_queue && ended("queued");
        // And one fault alone never costs a code, unless the queue delivers it an hour late.
        let faults = world.faults.borrow();
        let had_time = had_time
            || stage.weather.is_empty()
                && stage.changes.is_empty()
                && stage.rules.has_queue
                && faults.len() <= 1
                && !faults.contains(&"delivered an hour late");
        drop(faults);
        // A failure that the relay could not assign to a mail, or not repair, raised an alert.
        let alerted = |record: &String| {
            record.contains("not_a_mail_of_the_relay") || record.contains("content_not_kept")
        };
        let is_excused = is_superseded
            || failed
                && (world.faults.borrow().contains(&"notification lost")
                    || world.records.borrow().iter().any(alerted));
        if !is_sent && had_time && !is_abandoned && !ended("rejected") && !is_excused {
            world.violate(format!(
                "{id} had time to be sent and was not: {outcomes:?}"
            ));
        }
        // Bounded work.
        let calls = world.calls.borrow().get(id).copied().unwrap_or_default();
        if calls > CALLS_MAX {
            world.violate(format!("{id} cost {calls} requests"));
        }
    }
    judge_standstill(world, messages);
    if world.queued.borrow().values().any(|count| *count > 0) {
        world.violate("the queue is not empty".into());
    }
    if stage.undecodable && world.stored("dead:message-1").is_none() {
        world.violate("a message that cannot be read was dropped".into());
    }
    // Nothing private in log records and keys. Answers are checked when they are given.
    for text in world
        .records
        .borrow()
        .iter()
        .chain(world.keys_seen.borrow().iter())
    {
        if text.contains("MARKER") {
            world.violate(format!("something private is in {text}"));
            break;
        }
    }
    let accepted = world.accepted.borrow();
    let forwards: BTreeSet<&str> = accepted
        .iter()
        .map(|mail| mail.svix_id.as_str())
        .filter(|id| id.starts_with("forward_"))
        .collect();
    let handed = world.mailroom.handed.borrow();
    let records = world.records.borrow();
    let is_alert =
        |record: &&String| record.contains("_over_budget") && record.contains("\"alert\":true");
    let is_hand_back = |record: &&String| {
        record.contains(r#""event":"hand_back""#) && record.contains(r#""outcome":"queued""#)
    };
    let took = messages.iter().filter_map(|message| {
        let mut mails = accepted.iter();
        let mail = mails.find(|mail| mail.svix_id == message.svix_id)?;
        Some(mail.accepted_at - message.created_at)
    });
    let count = |number: usize| u32::try_from(number).unwrap();
    Outcome {
        forwarded: count(forwards.len()),
        handed_on: count(
            handed
                .values()
                .filter(|(_, accepted)| *accepted > 0)
                .count(),
        ),
        alerts: count(records.iter().filter(is_alert).count()),
        by_clerk: count(world.clerk.delivered.borrow().len()),
        switched: switched(world),
        hand_backs: count(records.iter().filter(is_hand_back).count()),
        sign_ups: sign_ups(world, messages),
        slowest: took.max().unwrap_or_default(),
        violations: world.violations.borrow().clone(),
        residual,
        changed,
        hung_up,
        overlapping,
        blind,
        messages: u32::try_from(messages.len()).unwrap(),
        sent: sent_count,
        superseded: superseded_count,
        is_newest_sent,
        expired: expired_count,
        calls_max: world
            .calls
            .borrow()
            .values()
            .copied()
            .max()
            .unwrap_or_default(),
        forks: world.choices.borrow().decided().to_vec(),
        faults: world.faults.borrow().clone(),
        fault_forks: world.choices.borrow().faults().to_vec(),
        trace: world
            .trace
            .as_ref()
            .map(|trace| trace.borrow().clone())
            .unwrap_or_default(),
    }
}

/// Every combination of what may differ over SMTP: whether a queue is bound, whether the mailbox shows Message-IDs, one
/// or two accounts.
pub fn smtp_stages(slug: &'static str) -> Vec<Stage> {
    let stages = (0..8_u32).map(|bits| {
        let mut stage = all_stages(slug).remove(0);
        stage.rules.has_queue = bits & 1 > 0;
        stage.rules.over_smtp = true;
        stage.rules.message_ids_are_kept = bits & 2 > 0;
        stage.accounts = 1 + (bits >> 2);
        stage
    });
    stages.collect()
}

/// A queue that stands still costs no code that was answered after its first minute. The first code that it did not
/// deliver can only be told from others then.
fn judge_standstill(world: &World, messages: &[Message]) {
    let Some((from, until)) = world.rules.queue_stops else {
        return;
    };
    let stopped = world.started_at + from..world.started_at + until;
    let answered = world.answered_queued.borrow();
    let lost = |message: &&Message| {
        let accepted = world.accepted.borrow();
        !accepted.iter().any(|mail| mail.svix_id == message.svix_id)
    };
    let waited: Vec<Millis> = messages
        .iter()
        .filter(lost)
        .filter_map(|message| answered.get(&message.svix_id).copied())
        .filter(|at| stopped.contains(at))
        .collect();
    let first = waited.iter().min().copied().unwrap_or_default();
    let late = waited.iter().filter(|at| **at > first + MINUTE + SECOND);
    if late.clone().count() > 0 {
        let after: Vec<Millis> = late.map(|at| at - first).collect();
        world.violate(format!(
            "codes were answered `queued`, and lost, {after:?} ms after the first that was"
        ));
    }
}

/// When Clerk began to deliver each template, after the start.
fn switched(world: &World) -> Vec<(Millis, &'static str)> {
    let switched = world.clerk.switched.borrow();
    let since = |(at, slug): &(Millis, &'static str)| (at - world.started_at, *slug);
    switched.iter().map(since).collect()
}

/// Plays the run of a seed.
pub fn run_seed(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Outcome {
    run_without(seed, sabotage, BTreeSet::new(), traced)
}

fn run_without(
    seed: u64,
    sabotage: Option<Sabotage>,
    forbidden: BTreeSet<u64>,
    traced: bool,
) -> Outcome {
    let stage = Stage::from_seed(seed, sabotage);
    let faults_per_mille = [5, 30, 120][usize::try_from(seed % 3).unwrap()];
    let choices = Choices::random(seed, faults_per_mille).without(forbidden);
    run(&stage, choices, traced)
}

/// Plays a failing seed without the faults that it does not need to fail, and returns that run with its trace.
pub fn shrink(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let mut forbidden = BTreeSet::new();
    let mut outcome = run_seed(seed, sabotage, false);
    loop {
        let smaller = outcome.fault_forks.iter().find_map(|fault| {
            let mut fewer = forbidden.clone();
            fewer.insert(*fault);
            let tried = run_without(seed, sabotage, fewer.clone(), false);
            (!tried.violations.is_empty()).then_some((fewer, tried))
        });
        match smaller {
            Some((fewer, tried)) => (forbidden, outcome) = (fewer, tried),
            None => return run_without(seed, sabotage, forbidden, true),
        }
    }
}

/// Sixteen worlds: every combination of what Nylas may remember, with and without a queue, with one or two accounts.
pub fn all_stages(slug: &'static str) -> Vec<Stage> {
    let mut stages = Vec::new();
    for bits in 0..16_u32 {
        let rules = Rules {
            throttling_is_kept: bits & 1 > 0,
            account_refusals_are_kept: bits & 2 > 0,
            has_queue: bits & 4 > 0,
            store_is_reliable: false,
            hears_nylas: false,
            failed_mail_stays: false,
            hang_up_frees_keys: false,
            instances: 0,
            daily_cap: None,
            over_smtp: false,
            message_ids_are_kept: true,
            batch_size: 1,
            queue_stops: None,
        };
        stages.push(Stage::single(rules, 1 + (bits >> 3), slug));
    }
    stages
}

/// What all paths of a stage came to.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    pub paths: u64,
    /// Paths that met residual risk 1 or 2.
    pub residual: u64,
    /// Paths that met residual risk 5.
    pub hung_up: u64,
    /// Paths that met residual risk 8.
    pub overlapping: u64,
    /// Paths that met residual risk 9.
    pub blind: u64,
    /// The script of the first path that broke a promise, and how.
    pub first_violation: Option<(Vec<u32>, Vec<String>)>,
}

/// Plays every path of a stage with at most `faults_max` faults.
pub fn explore(stage: &Stage, faults_max: usize) -> Explored {
    let mut explored = Explored::default();
    let mut search = Exhaustive::new(faults_max);
    while let Some(script) = search.script().cloned() {
        let outcome = run(stage, Choices::scripted(script), false);
        explored.paths += 1;
        explored.residual += u64::from(outcome.residual > 0);
        explored.hung_up += u64::from(outcome.hung_up > 0);
        explored.blind += u64::from(outcome.blind > 0);
        explored.overlapping += u64::from(outcome.overlapping > 0);
        if !outcome.violations.is_empty() && explored.first_violation.is_none() {
            let ways = outcome.forks.iter().map(|fork| fork.way).collect();
            explored.first_violation = Some((ways, outcome.violations));
        }
        search.advance(&outcome.forks);
    }
    explored
}

/// The script of the first path with at most `faults_max` faults that breaks a promise, and how.
pub fn first_violation(stage: &Stage, faults_max: usize) -> Option<(Vec<u32>, Vec<String>)> {
    let mut search = Exhaustive::new(faults_max);
    while let Some(script) = search.script().cloned() {
        let outcome = run(stage, Choices::scripted(script), false);
        if !outcome.violations.is_empty() {
            let ways = outcome.forks.iter().map(|fork| fork.way).collect();
            return Some((ways, outcome.violations));
        }
        search.advance(&outcome.forks);
    }
    None
}

/// Codes by the kind of their recipient, and how many of these were sent.
fn sign_ups(world: &World, messages: &[Message]) -> BTreeMap<&'static str, (u32, u32)> {
    let accepted = world.accepted.borrow();
    let sent: BTreeSet<&str> = accepted.iter().map(|mail| mail.svix_id.as_str()).collect();
    let mut counts = BTreeMap::new();
    for message in messages {
        let kinds = ["regular", "newcomer", "made-up"];
        if let Some(kind) = kinds.into_iter().find(|kind| message.body.contains(kind)) {
            let (all, out) = counts.entry(kind).or_default();
            *all += 1;
            *out += u32::from(sent.contains(message.svix_id.as_str()));
        }
    }
    counts
}
