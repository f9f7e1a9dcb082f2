//! `relayctl prove` tells apart every variant of what no document says: Nylas' by the stand-in, the Worker's by the
//! Worker's own code. Each variant changes one thing, and the verdicts change with it and nowhere else.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;
#[path = "../../tests/world/mod.rs"]
mod world;

use clerk_nylas_relay::{
    model::time::UnixMillis,
    operator::api::{self, AdminRequest},
    replies::intake::{self, NylasRequest},
};
use common::{
    ADMIN_TOKEN, API_KEY, Answer, Asked, Folder, Ran, Relayctl, Server,
    documented::{blocks, compare},
};
use nylas_stand_in::{
    Account, AccountState, Action, Compresses, OnHangUp, Options, OtherBytes, RequestKind, Rule,
    StandIn, Unknowns,
};
use relayctl::prove::{MAILS_MAX, QUESTIONS};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use world::{World, done};

const ADDRESS: &str = "auth@g1.example";
/// The secret of the Worker in memory.
const WEBHOOK_SECRET: &str = "marker-secret";
/// How long a second of `prove` takes here.
const SECOND: Duration = Duration::from_millis(50);

/// How the Worker, and Cloudflare around it, behave.
#[derive(Clone)]
struct Play {
    /// How long a new record does not show.
    stale: Duration,
    /// How long a message waits in the queue; `None`: for ever.
    queue_delay: Option<Duration>,
    queue_refuses: bool,
    /// How long a notification of `message.created` takes to arrive.
    created_after: Duration,
    /// How often one of them is answered 503 after it was taken.
    created_repeats: u32,
    /// Whether Cloudflare unpacks what is compressed before the Worker gets it.
    unpacks: bool,
    /// Rewrites what the Worker says.
    edit: fn(&mut Value),
}

/// A Worker in memory: the relay's own code, its ledger and its queue.
struct Worker {
    world: Mutex<World>,
    play: Play,
    written: Mutex<Option<SystemTime>>,
    repeats: Mutex<u32>,
}

impl Worker {
    fn at_work<T>(&self, work: impl FnOnce(&World) -> T) -> T {
        let world = self.world.lock().unwrap();
        #[allow(clippy::disallowed_methods)]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        world
            .now
            .set(UnixMillis(u64::try_from(now.as_millis()).unwrap()));
        work(&world)
    }

    fn answer(self: &Arc<Self>, asked: &Asked) -> Answer {
        let path = asked.path.strip_prefix("/api/admin/");
        match (asked.method.as_str(), path) {
            ("GET", None) => Answer::text(200, &asked.query("challenge").unwrap_or_default()),
            (_, None) => self.notified(asked),
            _ if asked.header("authorization") != format!("Bearer {ADMIN_TOKEN}") => {
                Answer::json(401, &json!({"status": "unauthorized"}))
            }
            (method, Some(path)) => self.admin(method, path),
        }
    }

    fn admin(self: &Arc<Self>, method: &str, path: &str) -> Answer {
        #[allow(clippy::disallowed_methods)]
        let now = SystemTime::now();
        let (code, mut body) = self.at_work(|world| {
            world.queue_fails.set(self.play.queue_refuses);
            let request = AdminRequest {
                method,
                path,
                limit: None,
                body: b"",
                with_events: false,
            };
            done(api::api(world, &world.config, &request))
        });
        if method == "POST" {
            *self.written.lock().unwrap() = Some(now);
            if let Some(delay) = self.play.queue_delay {
                let worker = Arc::clone(self);
                std::thread::spawn(move || {
                    std::thread::sleep(delay);
                    worker.at_work(|world| {
                        let queued = world.queue.take();
                        for text in queued {
                            world.delivered(&text, false);
                        }
                    });
                });
            }
        }
        let written = *self.written.lock().unwrap();
        let is_stale = written.is_some_and(|at| now < at + self.play.stale);
        if is_stale && body.get("written_at").is_some() {
            body["written_at"] = Value::Null;
        }
        (self.play.edit)(&mut body);
        Answer::json(code, &body)
    }

    fn notified(&self, asked: &Asked) -> Answer {
        let is_gzip = asked.header("content-encoding") == "gzip";
        let mut unpacked = asked.body.clone();
        if is_gzip {
            unpacked.clear();
            let mut decoder = flate2::read::GzDecoder::new(&asked.body[..]);
            decoder.read_to_end(&mut unpacked).unwrap();
        }
        let json: Value = serde_json::from_slice(&unpacked).unwrap_or_default();
        let is_created = json["type"] == "message.created";
        // The stand-in sends both at the same time.
        std::thread::sleep(match is_created {
            true => self.play.created_after,
            false => SECOND * 4,
        });
        let status = self.at_work(|world| {
            let request = NylasRequest {
                signature: asked.headers.get("x-nylas-signature").map(String::as_str),
                body: if self.play.unpacks {
                    &unpacked
                } else {
                    &asked.body
                },
                is_gzip: is_gzip && !self.play.unpacks,
                started: world.now.get(),
            };
            done(intake::receive(world, &world.config, &request)).code
        });
        let mut repeats = self.repeats.lock().unwrap();
        if is_created && status == 200 && *repeats > 0 {
            *repeats -= 1;
            return Answer::text(503, "");
        }
        Answer::text(status, "")
    }
}

/// The services, and how they behave.
#[derive(Clone)]
struct Case {
    unknowns: Unknowns,
    play: Play,
    webhook_secret: Option<&'static str>,
    /// What the webhook asks for, and whether it has `compressed_delivery`.
    triggers: &'static [&'static str],
    asks_for_compression: bool,
    state: AccountState,
    grant: Value,
    env: BTreeMap<&'static str, String>,
    args: Vec<&'static str>,
    second: Duration,
    /// The only question that is looked at, where seconds are too short for the others.
    only: Option<&'static str>,
}

impl Case {
    /// Everything as the relay assumes it.
    fn as_assumed() -> Self {
        let env = [
            ("NYLAS_API_KEY", API_KEY),
            ("NYLAS_GRANT_ID", "g1"),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
        ];
        Self {
            unknowns: Unknowns {
                send_takes: Duration::from_millis(300),
                ..Unknowns::default()
            },
            play: Play {
                stale: Duration::ZERO,
                queue_delay: Some(Duration::ZERO),
                queue_refuses: false,
                created_after: Duration::ZERO,
                created_repeats: 0,
                unpacks: false,
                edit: |_| {},
            },
            webhook_secret: Some(WEBHOOK_SECRET),
            triggers: &["message.created", "message.delivered"],
            asks_for_compression: false,
            state: AccountState::Healthy,
            grant: Value::Null,
            env: env.map(|(name, value)| (name, value.to_owned())).into(),
            args: vec!["--yes", "--json"],
            second: SECOND,
            only: None,
        }
    }

    /// Asks after an hour whether the answers are kept. An hour takes seven seconds.
    fn held(&mut self, minutes: &'static str) {
        self.args.extend(["--hold", minutes]);
        self.second = Duration::from_millis(2);
        self.only = Some("answers-kept");
    }

    fn run(&self) -> (Ran, StandIn) {
        let folder = Folder::new();
        let account = |grant_id: &str, email: &str| Account {
            grant_id: grant_id.into(),
            email: email.into(),
            name: None,
        };
        let accounts = vec![account("g1", ADDRESS), account("person", "ada@example.com")];
        let nylas = StandIn::start_blocking(Options {
            unknowns: self.unknowns.clone(),
            notify_interval: Duration::from_millis(100),
            ..Options::new(API_KEY, accounts)
        })
        .unwrap();
        nylas.set_account_state("g1", self.state);
        if !self.grant.is_null() {
            nylas.script(Rule {
                grant_id: None,
                recipient: None,
                key_prefix: None,
                kind: RequestKind::Grant,
                times: None,
                action: Action::Answer {
                    status: 200,
                    body: json!({"data": self.grant}),
                    headers: Vec::new(),
                    accept_mail: false,
                    keep: false,
                },
            });
        }
        let worker = Arc::new(Worker {
            world: Mutex::new(World::new()),
            play: self.play.clone(),
            written: Mutex::default(),
            repeats: Mutex::new(self.play.created_repeats),
        });
        let server = Server::start(move |asked| worker.answer(asked));
        let url = format!("{}/api/webhooks/nylas", server.url);
        if let Some(secret) = self.webhook_secret {
            nylas.add_webhook(&url, secret, self.triggers);
        }
        if self.asks_for_compression {
            nylas.compress_notifications_to(&url);
        }
        let mut relayctl = Relayctl::new(&folder.0)
            .env("NYLAS_API_BASE", nylas.base_url())
            .env("RELAY_URL", &server.url);
        for (name, value) in &self.env {
            relayctl = relayctl.env(name, value);
        }
        let second = self.second.as_millis().to_string();
        let ran = relayctl.run(&[&["prove", "--second-ms", &second], &self.args[..]].concat());
        (ran, nylas)
    }
}

const HOLDS: &str = "holds";
const NOT: &str = "does_not_hold";
const UNTOLD: &str = "could_not_be_told";
/// What is asked of a real mail server, in `tests/e2e/smtp.rs`. Here there is none.
const OVER_SMTP: &str = "message-ids-kept";
const OF_THE_WORKER: [&str; 5] = [
    "notifications-signed",
    "notifications-as-asked",
    "notifications-in-order",
    "kv-staleness",
    "queue-delay",
];

#[test]
fn prove_is_as_documented() {
    let case = Case {
        args: vec!["--yes"],
        ..Case::as_assumed()
    };
    let (ran, _) = case.run();
    assert_eq!(ran.code, 0, "{}", ran.all());
    compare(
        &blocks("prove")[0],
        &ran.out.replace(ADDRESS, "login@acme.example"),
    );
}

type Variant = (
    &'static str,
    fn(&mut Case),
    Vec<(&'static str, &'static str)>,
);

/// What the services may do, and the verdicts that then are not the usual ones: "holds", but how long answers are kept
/// cannot be told within minutes.
fn variants() -> Vec<Variant> {
    let untold = |ids: &[&'static str]| ids.iter().map(|id| (*id, UNTOLD)).collect::<Vec<_>>();
    vec![
        ("as assumed", |_| {}, vec![]),
        (
            "no answer is kept",
            |case| case.unknowns.keeps_success = false,
            vec![("success-replayed", NOT), ("other-bytes-refused", NOT)],
        ),
        (
            "refusals are not kept",
            |case| case.unknowns.keeps_refusals = false,
            vec![("refusal-replayed", NOT)],
        ),
        (
            "answers are kept for an hour",
            |case| case.held("60"),
            vec![("answers-kept", HOLDS)],
        ),
        (
            "answers are kept for half an hour",
            |case| {
                case.unknowns.keeps_for = Duration::from_millis(3_600);
                case.held("60");
            },
            vec![("answers-kept", NOT)],
        ),
        (
            "answers are kept, and held for less than the relay trusts them",
            |case| case.held("50"),
            vec![],
        ),
        (
            "other bytes are not noticed",
            |case| case.unknowns.other_bytes = OtherBytes::Replayed,
            vec![("other-bytes-refused", NOT)],
        ),
        (
            "other bytes are another mail",
            |case| case.unknowns.other_bytes = OtherBytes::Sent,
            vec![("other-bytes-refused", NOT)],
        ),
        (
            "a hang-up frees the key",
            |case| case.unknowns.on_hang_up = OnHangUp::FreesKey,
            vec![("key-held-on-hang-up", NOT)],
        ),
        (
            "a hang-up ends the send",
            |case| case.unknowns.on_hang_up = OnHangUp::EndsSend,
            vec![("key-held-on-hang-up", UNTOLD)],
        ),
        (
            "a send is too quick to hang up on",
            |case| case.unknowns.send_takes = Duration::ZERO,
            vec![("key-held-on-hang-up", UNTOLD)],
        ),
        (
            "a mail shows within twenty seconds",
            |case| case.unknowns.metadata_after = SECOND * 10,
            vec![],
        ),
        (
            "a mail shows late",
            |case| case.unknowns.metadata_after = SECOND * 40,
            vec![("shown-by-metadata", NOT)],
        ),
        (
            "a mail does not show",
            |case| case.unknowns.metadata_after = Duration::from_secs(3600),
            vec![
                ("shown-by-metadata", NOT),
                ("folders-are-ids", UNTOLD),
                ("key-held-on-hang-up", UNTOLD),
            ],
        ),
        (
            "folders are names",
            |case| case.unknowns.folders_are_ids = false,
            vec![("folders-are-ids", NOT)],
        ),
        (
            "folders have no attributes",
            |case| case.unknowns.folders_have_attributes = false,
            vec![("folders-are-ids", NOT)],
        ),
        (
            "Auto-Submitted is dropped",
            |case| case.unknowns.passes_auto_submitted = false,
            vec![("auto-submitted-kept", NOT)],
        ),
        (
            "no text is made",
            |case| case.unknowns.makes_text_part = false,
            vec![("text-part-made", NOT)],
        ),
        (
            "the Worker has another secret",
            |case| case.webhook_secret = Some("another-secret"),
            vec![
                ("notifications-signed", NOT),
                ("notifications-as-asked", UNTOLD),
                ("notifications-in-order", UNTOLD),
            ],
        ),
        (
            "no webhook",
            |case| case.webhook_secret = None,
            untold(&OF_THE_WORKER[..3]),
        ),
        (
            "message.delivered comes first",
            |case| case.play.created_after = SECOND * 12,
            vec![("notifications-in-order", NOT)],
        ),
        (
            "the webhook has no message.delivered",
            |case| case.triggers = &["message.created"],
            vec![("notifications-in-order", UNTOLD)],
        ),
        (
            "a notification comes twice",
            |case| case.play.created_repeats = 100,
            vec![("notifications-in-order", NOT)],
        ),
        (
            "notifications are compressed unasked",
            |case| case.unknowns.compresses = Compresses::Everything,
            vec![("notifications-as-asked", NOT)],
        ),
        (
            "notifications are compressed as the webhook asks",
            |case| case.asks_for_compression = true,
            vec![],
        ),
        (
            "notifications are not compressed though the webhook asks",
            |case| {
                case.asks_for_compression = true;
                case.unknowns.compresses = Compresses::Nothing;
            },
            vec![("notifications-as-asked", NOT)],
        ),
        (
            "compressed notifications are unpacked on their way",
            |case| {
                case.asks_for_compression = true;
                case.play.unpacks = true;
            },
            vec![
                ("notifications-signed", NOT),
                ("notifications-as-asked", UNTOLD),
                ("notifications-in-order", UNTOLD),
            ],
        ),
        (
            "a record shows within two minutes",
            |case| case.play.stale = SECOND * 30,
            vec![],
        ),
        (
            "a record shows later",
            |case| case.play.stale = SECOND * 130,
            vec![("kv-staleness", NOT)],
        ),
        (
            "a message comes out within ten seconds",
            |case| case.play.queue_delay = Some(SECOND * 5),
            vec![],
        ),
        (
            "the queue is slow",
            |case| case.play.queue_delay = Some(SECOND * 30),
            vec![("queue-delay", NOT)],
        ),
        (
            "the queue's consumer has stopped",
            |case| case.play.queue_delay = None,
            vec![("queue-delay", NOT)],
        ),
        (
            "the queue refuses",
            |case| case.play.queue_refuses = true,
            vec![("queue-delay", UNTOLD)],
        ),
        (
            "no token",
            |case| {
                case.env.remove("ADMIN_TOKEN");
            },
            untold(&OF_THE_WORKER),
        ),
        (
            "another token",
            |case| {
                let other = "another-token-for-tests-0123456789".to_owned();
                case.env.insert("ADMIN_TOKEN", other);
            },
            untold(&OF_THE_WORKER),
        ),
        (
            "a Worker with other accounts",
            |case| {
                case.play.edit = |said| {
                    if said.get("accounts").is_some() {
                        said["accounts"] = json!([{"grant_id": "another"}]);
                    }
                }
            },
            untold(&OF_THE_WORKER),
        ),
        (
            "the account is paused",
            |case| case.state = AccountState::Paused,
            untold(&[
                "success-replayed",
                "other-bytes-refused",
                "key-held-on-hang-up",
                "shown-by-metadata",
                "folders-are-ids",
                "auto-submitted-kept",
                "text-part-made",
                "notifications-signed",
                "notifications-as-asked",
                "notifications-in-order",
            ]),
        ),
    ]
}

/// What was wrong about a run, or nothing.
fn mistakes((name, change, expected): &Variant) -> Vec<String> {
    let mut case = Case::as_assumed();
    change(&mut case);
    let (ran, nylas) = case.run();
    let document = ran.json();
    let answers = document["answers"].as_array().unwrap();
    let mut wrong = Vec::new();
    for question in &QUESTIONS {
        let found = answers.iter().find(|answer| answer["id"] == question.id);
        let found = found.map(|answer| (answer["verdict"].as_str().unwrap(), &answer["came"]));
        let wanted = expected.iter().find(|(id, _)| *id == question.id);
        let usual = match question.id {
            OVER_SMTP | "answers-kept" => UNTOLD,
            _ => HOLDS,
        };
        let wanted = wanted.map_or(usual, |(_, verdict)| verdict);
        if case.only.is_some_and(|only| only != question.id) {
            continue;
        }
        if found.is_none_or(|(verdict, _)| verdict != wanted) {
            wrong.push(format!("{name}: {}: {found:?}, not {wanted}", question.id));
        }
    }
    let is_wrong = expected.iter().any(|(_, verdict)| *verdict == NOT);
    if case.only.is_none() && (ran.code != i32::from(is_wrong) || document["ok"] != !is_wrong) {
        wrong.push(format!("{name}: exit code {}", ran.code));
    }
    // What was said before is kept to, and nobody else gets a mail.
    let sends = nylas
        .requests()
        .iter()
        .filter(|request| request.method == "POST")
        .count();
    let at_most = document["mails_at_most"].as_u64().unwrap();
    let said = format!("prove sends at most {at_most} mails");
    if !ran.err.contains(&said) {
        wrong.push(format!("{name}: not said before: {}", ran.err));
    }
    if document["mails"] != sends || sends as u64 > at_most || at_most > u64::from(MAILS_MAX) {
        wrong.push(format!("{name}: {sends} sends: {document}"));
    }
    if !nylas
        .mails()
        .iter()
        .all(|mail| mail.recipients() == [ADDRESS])
    {
        wrong.push(format!("{name}: somebody else got a mail"));
    }
    for private in [API_KEY, ADMIN_TOKEN, WEBHOOK_SECRET, "g1", "@", "127.0.0.1"] {
        if ran.all().contains(private) {
            wrong.push(format!("{name}: {private} is shown: {}", ran.all()));
        }
    }
    wrong
}

#[test]
fn every_variant_is_told_apart() {
    let variants = Mutex::new(variants());
    let again = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let next = variants.lock().unwrap().pop();
                    let Some(variant) = next else { return };
                    if !mistakes(&variant).is_empty() {
                        again.lock().unwrap().push(variant);
                    }
                }
            });
        }
    });
    // Verdicts are about times, and the machine may have been busy. So those are played again, one after the other.
    let again = again.into_inner().unwrap();
    let wrong = again.iter().filter_map(|variant| {
        let mut tries = (0..3).map(|_| mistakes(variant));
        let fewest = tries.by_ref().find(Vec::is_empty);
        fewest.is_none().then(|| mistakes(variant).join("\n"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each question has a variant in which its assumption holds (the first), and one in which it does not.
#[test]
fn every_question_has_a_variant_in_which_it_does_not_hold() {
    let wrong: BTreeSet<&str> = variants()
        .iter()
        .flat_map(|(.., expected)| expected.clone())
        .filter(|(_, verdict)| *verdict == NOT)
        .map(|(id, _)| id)
        .collect();
    for question in &QUESTIONS {
        let is_here = question.id != OVER_SMTP;
        assert_eq!(wrong.contains(question.id), is_here, "{}", question.id);
    }
}

/// No mail was sent, and the exit code is this.
fn sends_nothing(case: &Case, code: i32) -> Ran {
    let (ran, nylas) = case.run();
    assert_eq!(ran.code, code, "{}", ran.all());
    assert!(nylas.mails().is_empty(), "{}", ran.all());
    assert!(
        nylas
            .requests()
            .iter()
            .all(|request| request.method == "GET"),
        "{}",
        ran.all()
    );
    ran
}

#[test]
fn nothing_is_sent_before_somebody_agrees() {
    let mut case = Case::as_assumed();
    case.args = vec![];
    let ran = sends_nothing(&case, 2);
    assert!(
        ran.out
            .contains("at most 16 mails, all from auth@g1.example to itself"),
        "{}",
        ran.all()
    );
    assert!(ran.err.contains("nobody agreed"), "{}", ran.all());
}

#[cfg(unix)]
#[test]
fn at_a_terminal_it_asks() {
    let nylas = StandIn::start_blocking(Options::new(
        API_KEY,
        vec![Account {
            grant_id: "g1".into(),
            email: ADDRESS.into(),
            name: None,
        }],
    ))
    .unwrap();
    let folder = Folder::new();
    let ask = |typed: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_relayctl"));
        command
            .args(["prove", "--second-ms", "10"])
            .current_dir(&folder.0)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("NYLAS_API_BASE", nylas.base_url())
            .env("NYLAS_API_KEY", API_KEY)
            .env("NYLAS_GRANT_ID", "g1");
        let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
        terminal.exp_string("at most").unwrap();
        terminal.exp_string("Send them? (yes, no): ").unwrap();
        terminal.send_line(typed).unwrap();
        terminal.exp_eof().unwrap()
    };
    let declined = ask("no");
    assert!(declined.contains("nobody agreed"), "{declined}");
    assert!(nylas.mails().is_empty());
    let agreed = ask("yes");
    assert!(agreed.contains("could not be told"), "{agreed}");
    assert!(!nylas.mails().is_empty());
}

#[test]
fn an_account_that_is_not_configured_is_refused() {
    let mut case = Case::as_assumed();
    case.args.extend(["--grant", "person"]);
    let ran = sends_nothing(&case, 2);
    assert!(ran.all().contains("not one of those"), "{}", ran.all());
    case.args.truncate(2);
    case.env.insert("NYLAS_GRANT_ID", String::new());
    sends_nothing(&case, 2);
}

#[test]
fn an_account_that_is_not_what_is_configured_is_refused() {
    let grant = json!({
        "id": "g1", "provider": "nylas", "email": ADDRESS, "grant_status": "valid", "blocked": false,
    });
    let with = |name: &str, value: Value| {
        let mut grant = grant.clone();
        grant[name] = value;
        grant
    };
    for wrong in [
        with("provider", json!("google")),
        with("grant_status", json!("invalid")),
        with("blocked", json!(true)),
        with("email", json!("")),
    ] {
        let case = Case {
            grant: wrong,
            ..Case::as_assumed()
        };
        let ran = sends_nothing(&case, 1);
        assert!(
            ran.all().contains("the account is not asked"),
            "{}",
            ran.all()
        );
    }
    let mut case = Case::as_assumed();
    case.env.remove("NYLAS_GRANT_ID");
    let accounts = r#"[{"grant_id":"g1","email":"another@g1.example"}]"#;
    case.env.insert("NYLAS_ACCOUNTS", accounts.to_owned());
    let ran = sends_nothing(&case, 1);
    assert!(
        ran.all().contains("not the configured one"),
        "{}",
        ran.all()
    );
}

#[test]
fn the_text_says_what_was_asked_what_came_what_rests_on_it_and_what_to_set() {
    let mut case = Case::as_assumed();
    case.args = vec!["--yes"];
    case.unknowns.makes_text_part = false;
    let (ran, _) = case.run();
    assert_eq!(ran.code, 1, "{}", ran.all());
    for question in &QUESTIONS {
        for said in [question.id, question.asked, question.assumed, question.rule] {
            assert!(ran.out.contains(said), "{said}: {}", ran.out);
        }
        let holds = !["text-part-made", "answers-kept", OVER_SMTP].contains(&question.id);
        assert_eq!(ran.out.contains(question.set), !holds, "{}", question.id);
    }
    assert!(
        ran.out.contains("; `--hold 60` asks for the hour"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("12 hold, 1 do not, 2 could not be told"),
        "{}",
        ran.out
    );
}

/// `docs/delivery.md` lists what is assumed, and what rests on it.
#[test]
fn the_documentation_lists_the_same_assumptions() {
    let docs = include_str!("../../docs/delivery.md");
    for question in &QUESTIONS {
        let row = docs
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", question.id)));
        assert!(row.is_some(), "{} is not in docs/delivery.md", question.id);
    }
}
