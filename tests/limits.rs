//! Whether the numbers of `docs/limits.md` are what the relay costs, and whether its tables follow from them. What one
//! thing costs is measured here as in `tests/costs.rs`.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod world;

use clerk_nylas_relay::{
    operator::checks,
    replies::{
        intake::{self, NylasRequest},
        sweep,
    },
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use world::{HOUR, MINUTE, NOW, World, done};

const DOCS: &str = include_str!("../docs/limits.md");
const README: &str = include_str!("../README.md");
const CONFIGURATION: &str = include_str!("../docs/configuration.md");
const VOLUMES: [u32; 4] = [100, 300, 1_000, 10_000];
/// A message is written, read and deleted.
const OPERATIONS_OF_A_MESSAGE: u32 = 3;

/// Reads and writes of KV, operations of the queues, and requests to the Worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    reads: u32,
    writes: u32,
    operations: u32,
    requests: u32,
}

/// What Cloudflare's free plan has of each a day.
const FREE: Cost = Cost {
    reads: 100_000,
    writes: 1_000,
    operations: 10_000,
    requests: 100_000,
};

impl Cost {
    fn of_a_day(self, mails: u32, schedule: Self) -> Self {
        Self {
            reads: self.reads * mails + schedule.reads,
            writes: self.writes * mails + schedule.writes,
            operations: self.operations * mails + schedule.operations,
            requests: self.requests * mails,
        }
    }

    fn fits(self, plan: Self) -> bool {
        self.reads <= plan.reads
            && self.writes <= plan.writes
            && self.operations <= plan.operations
            && self.requests <= plan.requests
    }

    fn row(self) -> String {
        [self.reads, self.writes, self.operations, self.requests]
            .map(grouped)
            .join(" | ")
    }
}

/// `12345` as `12,345`.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn running() -> World {
    let world = World::with(&[("NYLAS_ACCOUNTS", ""), ("NYLAS_GRANT_ID", "g1")]);
    let account =
        json!({"id": "g1", "email": "auth@g1.example", "name": "Acme", "grant_status": "valid"});
    let answers = |path: &str, data: Value| {
        world.answers(path, 200, json!({"request_id": "r", "data": data}));
    };
    answers("/grants/g1", account);
    answers("/folders", json!([]));
    answers("/messages", json!([]));
    answers("/messages/send", json!({"id": "nylas-1", "thread_id": "t"}));
    assert_eq!(world.receive("msg_0", "marker@example.com"), "sent");
    world
}

fn notify(world: &World, kind: &str, object: &Value) {
    let data = json!({"grant_id": "g1", "object": object});
    let body = json!({"id": format!("n-{kind}"), "type": kind, "data": data}).to_string();
    let mac = Hmac::<Sha256>::new_from_slice(b"marker-secret").unwrap();
    let signed = mac.chain_update(&body).finalize().into_bytes();
    let signature: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = NylasRequest {
        signature: Some(&signature),
        body: body.as_bytes(),
        is_gzip: false,
        started: NOW,
    };
    assert_eq!(
        done(intake::receive(world, &world.config, &request)).code,
        200
    );
}

/// Nylas tells that a mail was delivered. Returns how many queue messages that took.
fn delivered(world: &World, id: &str, to: &str) -> u32 {
    let message =
        json!({"id": "nylas-1", "metadata": {"key1": id}, "from": "auth@g1.example", "to": [to]});
    notify(
        world,
        "message.delivered",
        &json!({"message": message, "delivered": {"recipients": [to]}}),
    );
    let queued = world.queue.take();
    for text in &queued {
        world.delivered(text, false);
    }
    u32::try_from(queued.len()).unwrap()
}

/// A mail that is sent at once to somebody for the first time in a month, and what Nylas tells of it.
fn a_mail() -> Cost {
    mail_to("grace@example.com")
}

fn mail_to(to: &str) -> Cost {
    let world = running();
    // What is remembered once a month: that Nylas tells of deliveries.
    delivered(&world, "msg_0", "marker@example.com");
    world
        .ledger
        .borrow_mut()
        .retain(|key, _| !key.starts_with("worked_off:"));
    world.costs.take();
    assert_eq!(world.receive("msg_1", to), "sent");
    assert!(world.queue.borrow().is_empty(), "it went out at once");
    let mail = json!({
        "id": "nylas-1", "grant_id": "g1", "metadata": {"key1": "msg_1"}, "from": [{"email": "auth@g1.example"}],
        "to": [{"email": to}],
    });
    notify(&world, "message.created", &mail);
    assert!(world.queue.borrow().is_empty(), "it is our own");
    let messages = delivered(&world, "msg_1", to);
    let cost = world.costs.take();
    Cost {
        reads: cost.reads,
        writes: cost.writes,
        operations: OPERATIONS_OF_A_MESSAGE * messages,
        requests: 3,
    }
}

/// A day of the schedule with one account, and nothing wrong.
fn a_day_of_the_schedule() -> Cost {
    let world = running();
    world.costs.take();
    for _ in 0..24 * HOUR / (15 * MINUTE) {
        done(sweep::run(&world, &world.config));
        done(checks::run(&world, &world.config));
        world.pass(15 * MINUTE);
    }
    let cost = world.costs.take();
    Cost {
        reads: cost.reads,
        writes: cost.writes,
        operations: OPERATIONS_OF_A_MESSAGE * u32::try_from(world.queue.take().len()).unwrap(),
        requests: 0,
    }
}

#[track_caller]
fn says(sentence: &str) {
    let docs = DOCS.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        docs.contains(sentence),
        "docs/limits.md does not say: {sentence}"
    );
}

/// The row of the table of plans that begins with this volume: its cells.
fn plan(mails: u32) -> Vec<&'static str> {
    row(DOCS, mails)
}

fn row(page: &'static str, mails: u32) -> Vec<&'static str> {
    let start = format!("| {} |", grouped(mails));
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with(&start))
        .collect();
    let [row, ..] = rows.as_slice() else {
        panic!("no row for {mails} mails")
    };
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn what_a_mail_and_a_day_cost() {
    says(&format!("| a mail | {} |", a_mail().row()));
    says(&format!(
        "| a day of the schedule, with one account | {} |",
        a_day_of_the_schedule().row()
    ));
    for mails in VOLUMES {
        let day = a_mail().of_a_day(mails, a_day_of_the_schedule());
        says(&format!("| {} | {} |", grouped(mails), day.row()));
    }
}

#[test]
fn where_cloudflares_free_plan_ends() {
    let (mail, schedule) = (a_mail(), a_day_of_the_schedule());
    let room = |free: u32, schedule: u32, mail: u32| (free - schedule) / mail;
    let by_writes = room(FREE.writes, schedule.writes, mail.writes);
    let by_operations = room(FREE.operations, schedule.operations, mail.operations);
    let by_reads = room(FREE.reads, schedule.reads, mail.reads);
    let by_requests = room(FREE.requests, 0, mail.requests);
    says(&format!(
        "the writes of KV are enough for {} mails a day, the queue's operations for {}, the reads for {}, the requests \
         for {}",
        grouped(by_writes),
        grouped(by_operations),
        grouped(by_reads),
        grouped(by_requests),
    ));
    let again = mail_to("marker@example.com");
    let by_writes_again = room(FREE.writes, schedule.writes, again.writes);
    says(&format!(
        "two writes, so the free plan is enough for {} mails a day",
        grouped(by_writes_again)
    ));
    assert_eq!(again.writes, 2);
    let met = format!("writes, at {by_writes} mails");
    assert!(plan(1_000)[2].ends_with(&met), "{}", plan(1_000)[2]);
    // The number is there and here, and nowhere else.
    assert!(!CONFIGURATION.contains(" mails a day. ") && !CONFIGURATION.contains("00 mails a day"));
    assert!(
        by_writes < by_operations.min(by_reads).min(by_requests),
        "the writes are met first"
    );
    for mails in VOLUMES {
        let fits = mail.of_a_day(mails, schedule).fits(FREE);
        let cell = plan(mails)[1];
        let is_free = cell.starts_with("Free");
        assert!(
            !is_free || fits,
            "{mails} mails do not fit the plan of docs/limits.md: {cell}"
        );
        assert!(is_free || cell.starts_with("Paid"), "{cell}");
    }
}

/// What the paid plan includes a month is more than thirty days of ten thousand mails need.
#[test]
fn where_cloudflares_paid_plan_ends() {
    let day = a_mail().of_a_day(10_000, a_day_of_the_schedule());
    let month = |count: u32| format!("{:.1}", f64::from(count) * 30.0 / 1e6);
    says(&format!(
        "{} of 1 million writes, {} of 10 million reads, {} of 1 million operations of the queues",
        month(day.writes),
        month(day.reads),
        month(day.operations)
    ));
    for (count, included) in [
        (day.writes, 1_000_000),
        (day.reads, 10_000_000),
        (day.operations, 1_000_000),
        (day.requests, 10_000_000),
    ] {
        assert!(count * 30 <= included, "{count} a day");
    }
}

/// Nylas' free plan: 200 a day an account, and 3,000 a month an organization.
#[test]
fn where_nylas_free_plan_ends() {
    for mails in VOLUMES {
        let cells = plan(mails);
        let days = 3_000 / mails;
        let fits = mails <= 200 && days >= 30;
        assert_eq!(cells[3].starts_with("Free"), fits, "{mails}: {}", cells[3]);
        if mails < 10_000 {
            let said = match days {
                30 => "3,000 mails are 30 days".to_owned(),
                days => format!("3,000 mails are {days} days"),
            };
            assert!(cells[4].contains(&said), "{mails}: {}", cells[4]);
        }
    }
}

/// The numbers of a text: `3,000` is one.
fn numbers(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_digit() && letter != ',');
    let bare = words.map(|word| word.trim_matches(','));
    bare.filter(|word| !word.is_empty()).collect()
}

/// The README's table is a part of the table of plans: the same plans, and no other figures.
#[test]
fn the_readme_says_the_same_in_short() {
    for mails in [100, 1_000, 10_000] {
        let [_, cloudflare, nylas, met, cost] = row(README, mails).try_into().unwrap();
        let here = plan(mails);
        assert_eq!((cloudflare, nylas), (here[1], here[3]), "{mails}");
        let of_row = [numbers(here[2]), numbers(here[4])].concat();
        let figures = numbers(met);
        assert!(
            !figures.is_empty() && figures.iter().all(|it| of_row.contains(it)),
            "{mails}: {met}"
        );
        let is_free = (cloudflare, nylas) == ("Free", "Free");
        assert_eq!(cost == "nothing", is_free, "{mails}: {cost}");
    }
    says("Cloudflare's paid plan (5 dollars a month)");
    assert!(row(README, 1_000)[4].starts_with("5 dollars"));
}
