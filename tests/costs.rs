//! What a mail costs at Cloudflare: the operations on KV, whose free plan has 100,000 reads and 1,000 writes, deletions
//! and lists each a day, and those on the queues, of which it has 10,000. `docs/configuration.md` states what is
//! measured here.

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
    ledger::{
        Ledger,
        mail::{MailRecord, MailState},
    },
    mail::receive::{ClerkRequest, receive as receive_clerk},
    model::{alert::Alert, mail::Email, message::Disposition},
    operator::{
        alerts, api, checks,
        page::{self, Asked},
    },
    ports::Memory,
    replies::{
        intake::{self, NylasRequest},
        sweep,
    },
    signature::SignatureHeaders,
};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use world::{
    ALERT_URL, CLERK_SECRET as SECRET, Costs, HOUR, JUNK, NOW, QueueCosts, SECOND, SENT, World,
    done,
};

fn costs(reads: u32, writes: u32) -> Costs {
    Costs {
        reads,
        writes,
        ..Costs::default()
    }
}

fn lists(lists: u32) -> Costs {
    Costs {
        lists,
        ..Costs::default()
    }
}

/// What that costs.
fn cost(world: &World, work: impl FnOnce()) -> Costs {
    world.costs.take();
    work();
    world.costs.take()
}

/// A relay with one account that has sent before: what is looked up once is known.
fn running(settings: &[(&str, &str)]) -> World {
    let one = [("NYLAS_ACCOUNTS", ""), ("NYLAS_GRANT_ID", "g1")];
    let world = World::with(&[&one, settings].concat());
    let account =
        json!({"id": "g1", "email": "auth@g1.example", "name": "Acme", "grant_status": "valid"});
    world.answers(
        "/grants/g1",
        200,
        json!({"request_id": "r", "data": account}),
    );
    world.answers(
        "/messages/send",
        200,
        json!({"request_id": "r", "data": {"id": "nylas-1", "thread_id": "t"}}),
    );
    assert_eq!(receive(&world, "msg_0"), "sent");
    let folders = json!({"sent": SENT, "junk": JUNK}).to_string();
    world.remember("folders:g1", &folders, Duration::from_secs(3600));
    world
}

/// Without Nylas' notifications.
const DEAF: &[(&str, &str)] = &[("NYLAS_WEBHOOK_SECRET", "")];

/// Clerk's webhook; the answer's status.
fn receive(world: &World, id: &str) -> &'static str {
    world.receive(id, "marker@example.com")
}

#[test]
fn a_mail() {
    let world = running(DEAF);
    let sent = cost(&world, || assert_eq!(receive(&world, "msg_1"), "sent"));
    assert_eq!(sent, costs(3, 1));
    let again = cost(&world, || assert_eq!(receive(&world, "msg_1"), "duplicate"));
    assert_eq!(again, costs(3, 0));
}

/// A user waits for these: one wait for all that must be known before the send, and none between it and the answer.
#[test]
fn a_mail_waits_for_kv_once() {
    for settings in [DEAF, &[]] {
        let world = running(settings);
        assert_eq!(receive(&world, "msg_1"), "sent");
        assert_eq!((world.waits_before_send.get(), world.waits.get()), (1, 1));
        // The instance is new, and has to look up the account's address.
        world.remembered.borrow_mut().clear();
        assert_eq!(receive(&world, "msg_2"), "sent");
        assert_eq!((world.waits_before_send.get(), world.waits.get()), (1, 1));
    }
}

#[test]
fn a_mail_of_a_new_instance() {
    let world = running(DEAF);
    world.remembered.borrow_mut().clear();
    let sent = cost(&world, || assert_eq!(receive(&world, "msg_1"), "sent"));
    assert_eq!(sent, costs(4, 1));
}

/// A queued mail is answered as soon as the queue has it.
#[test]
fn a_mail_that_is_queued_does_not_wait_for_kv_after_the_send() {
    let world = running(&[]);
    world.answers("/messages/send", 503, json!({"request_id": "r"}));
    assert_eq!(receive(&world, "msg_1"), "queued");
    assert_eq!((world.waits_before_send.get(), world.waits.get()), (1, 1));
}

/// What Nylas may still fail to send is kept before the answer, because the answer promises it.
#[test]
fn a_mail_that_nylas_queued_is_kept_before_the_answer() {
    let world = running(&[]);
    let queued = json!({"request_id": "r", "data": {"id": "nylas-2", "thread_id": "t"}});
    world.answers("/messages/send", 202, queued);
    assert_eq!(receive(&world, "msg_1"), "sent");
    assert!(world.waits.get() > world.waits_before_send.get());
    assert!(world.ledger.borrow().contains_key("pending:msg_1"));
}

#[test]
fn a_mail_whose_replies_are_heard() {
    let world = running(&[]);
    let sent = cost(&world, || assert_eq!(receive(&world, "msg_1"), "sent"));
    assert_eq!(sent, costs(5, 1));
}

#[test]
fn a_mail_that_goes_through_the_queue() {
    let world = running(DEAF);
    world.answers("/messages/send", 503, json!({"request_id": "r"}));
    let queued = cost(&world, || assert_eq!(receive(&world, "msg_1"), "queued"));
    // Its record, its name as the oldest mail, and as the newest code of its recipient.
    assert_eq!(queued, costs(4, 3));
    world.answers(
        "/messages/send",
        200,
        json!({"request_id": "r", "data": {"id": "nylas-2", "thread_id": "t"}}),
    );
    let text = world.queue.borrow_mut().pop().unwrap();
    world.pass(2 * SECOND);
    let worked_off = cost(&world, || {
        world.delivered(&text, false);
    });
    let removed = Costs {
        deletes: 1,
        ..costs(3, 1)
    };
    assert_eq!(worked_off, removed);
}

#[test]
fn a_delivery_event() {
    let world = running(&[]);
    let told = |id: &str| {
        let message = json!({
            "id": "nylas-1", "from": "auth@g1.example", "to": ["marker@example.com"], "metadata": {"key1": "msg_0"},
        });
        let object =
            json!({"message": message, "delivered": {"recipients": ["marker@example.com"]}});
        let data = json!({"grant_id": "g1", "object": object});
        let text = json!({"id": id, "type": "message.delivered", "data": data});
        json!({"notification": {"text": text.to_string()}}).to_string()
    };
    world.delivered(&told("n-1"), false);
    world.ledger.borrow_mut().remove("fate:msg_0");
    let heard = cost(&world, || {
        world.delivered(&told("n-2"), false);
    });
    assert_eq!(heard, costs(2, 1));
    // The first of a month to this recipient: it is proven.
    world
        .ledger
        .borrow_mut()
        .retain(|key, _| !key.starts_with("proven:") && !key.starts_with("fate:"));
    let first = cost(&world, || {
        world.delivered(&told("n-3"), false);
    });
    assert_eq!(first, costs(2, 2));
}

/// A user answers: from the notification to whoever is handed it.
fn reply(settings: &[(&str, &str)], handed_to: &[&str]) -> Costs {
    let world = running(settings);
    reply_in(&world, handed_to)
}

fn reply_in(world: &World, handed_to: &[&str]) -> Costs {
    let message = json!({
        "id": "m-1", "grant_id": "g1", "thread_id": "t", "subject": "Re: marker", "body": "<p>Not me</p>",
        "from": [{"email": "marker@example.com"}], "to": [{"email": "auth@g1.example"}],
        "date": NOW.0 / 1000, "folders": ["inbox"], "headers": [],
    });
    let answer = json!({"request_id": "r", "data": message});
    world.answers("/messages/m-1", 200, answer);
    world.answers("/replies", 200, json!({}));
    // Which mail began the thread is asked of the mailbox.
    let ours = json!({"id": "nylas-1", "metadata": {"key1": "msg_0"}, "to": [{"email": "marker@example.com"}]});
    world.answers("/messages", 200, json!({"request_id": "r", "data": [ours]}));
    let text = json!({"id": "n-1", "type": "message.created", "data": {"object": message}});
    let text = json!({"notification": {"text": text.to_string()}}).to_string();
    let reply = cost(world, || {
        world.delivered(&text, false);
    });
    assert_eq!(world.queue.borrow().len(), 0, "all of it is worked off");
    let ledger = world.ledger.borrow();
    let mut records = ledger.iter().filter(|(key, _)| key.starts_with("reply:"));
    let record: Value = serde_json::from_str(records.next().unwrap().1).unwrap();
    assert_eq!(record["handed_to"], json!(handed_to));
    reply
}

#[test]
fn a_reply() {
    let agent = [
        ("REPLY_WEBHOOK_URL", "https://agent.example/replies"),
        ("REPLY_WEBHOOK_SECRET", SECRET),
    ];
    let person = [("REPLY_FORWARD_TO", "support@acme.example")];
    assert_eq!(reply(&agent, &["agent"]), costs(5, 3));
    assert_eq!(reply(&person, &["person"]), costs(6, 3));
    let both = [&agent[..], &person].concat();
    assert_eq!(reply(&both, &["agent", "person"]), costs(7, 4));
    // Before it is queued and before it is sent: how much of its day the account has used.
    let with_cap = [&person[..], &[("NYLAS_DAILY_CAP", "200")]].concat();
    assert_eq!(reply(&with_cap, &["person"]), costs(8, 3));
}

/// A folder is known by its id only, and the ids are asked of Nylas once a month.
#[test]
fn a_reply_whose_accounts_folders_are_looked_up() {
    let settings = [("REPLY_FORWARD_TO", "support@acme.example")];
    let first_of_month = running(&settings);
    first_of_month.remembered.borrow_mut().remove("folders:g1");
    assert_eq!(reply_in(&first_of_month, &["person"]), costs(7, 4));
    let of_instance = running(&settings);
    of_instance.remembered.borrow_mut().remove("folders:g1");
    of_instance.keep("folders:g1", &json!({"sent": SENT, "junk": JUNK}));
    assert_eq!(reply_in(&of_instance, &["person"]), costs(7, 3));
}

/// After the one of the day that tells the operator.
#[test]
fn a_reply_over_its_budget() {
    let world = running(&[("REPLY_FORWARD_TO", "support@acme.example")]);
    let day = NOW.seconds() / 86_400;
    let replies = (0..40).map(|number| format!("{day} reply-{number} another 0\n"));
    let told = format!("{}{day} told", replies.collect::<String>());
    let mut ledger = world.ledger.borrow_mut();
    ledger.insert("handed_on:g1".to_owned(), told);
    drop(ledger);
    assert_eq!(reply_in(&world, &[]), costs(4, 1));
}

#[test]
fn an_operators_look() {
    let world = running(&[]);
    // What is too long to be listed whole is listed in brief, and a dead letter by its summary: neither is read.
    for number in 0..60 {
        let row = json!({"state": "sent", "at": NOW, "slug": "invitation", "age_ms": 80});
        world.keep(format!("mail:msg_a{number}"), &row);
    }
    let config = &world.config;
    let page = |query: &[(&str, &str)]| {
        let asked = Asked::read(|name| {
            let found = query.iter().find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        assert!(done(page::page(&world, config, &asked, None)).is_some());
    };
    for (query, wanted, reads) in [
        (&[][..], 3, 4),
        (&[("show", "mails")], 2, 4),
        (&[("show", "dead")], 1, 0),
        (&[("show", "replies")], 1, 0),
        (&[("show", "suppressed")], 1, 0),
        (&[("show", "templates")], 1, 0),
        (&[("id", "msg_0")], 1, 8),
    ] {
        let look = cost(&world, || page(query));
        let expected = Costs {
            reads,
            ..lists(wanted)
        };
        assert_eq!(look, expected, "{query:?}");
    }
    let ask = |method, path, with_events, body: &str| {
        let request = api::AdminRequest {
            method,
            path,
            limit: None,
            with_events,
            body: body.as_bytes(),
        };
        assert_eq!(done(api::api(&world, config, &request)).0, 200);
    };
    let one = cost(&world, || ask("GET", "deliveries/msg_0", false, ""));
    assert_eq!((one.lists, one.writes), (1, 0));
    for path in ["deliveries", "dead", "replies", "suppressions", "shapes"] {
        assert_eq!(
            cost(&world, || ask("GET", path, false, "")),
            lists(1),
            "{path}"
        );
    }
    let with_events = cost(&world, || ask("GET", "deliveries", true, ""));
    assert_eq!(with_events, lists(2));
    let to = r#"{"address":"marker@example.com"}"#;
    assert_eq!(
        cost(&world, || ask("POST", "deliveries", false, to)),
        lists(1)
    );
    let summary = cost(&world, || ask("GET", "summary", false, ""));
    assert_eq!((summary.lists, summary.reads), (4, 4));
}

/// What stands says since when: one read, whatever needs attention.
#[test]
fn an_operators_look_while_something_stands() {
    let reads = |settings: &[(&str, &str)], down: bool| {
        let world = running(settings);
        if down {
            let mark = json!({"reason": "account_paused", "since": NOW.0, "until": NOW.0 + HOUR});
            world.keep("down:g1", &mark);
        }
        let asked = Asked::default();
        let look = cost(&world, || {
            assert!(done(page::page(&world, &world.config, &asked, None)).is_some());
        });
        look.reads
    };
    assert_eq!(reads(&[], false), 4);
    assert_eq!(reads(&[], true), 5);
    assert_eq!(reads(&[("NYLAS_MONTHLY_CAP", "3000")], false), 5);
    let all = [
        ("NYLAS_MONTHLY_CAP", "3000"),
        ("NYLAS_DAILY_CAP", "many"),
        ("CLERK_SECRET_KEY", "sk_test_marker"),
    ];
    assert_eq!(reads(&all, true), 6);
}

/// A record that is too long to be listed, and a dead letter, which always is.
#[test]
fn a_list_reads_no_mail_and_no_dead_letter() {
    let world = running(DEAF);
    let ledger = Ledger::new(&world);
    let email = json!({
        "svix_id": "msg_long", "created_at": NOW, "slug": "invitation", "to": "marker@example.com",
        "subject": "marker",
    });
    let email: Email = serde_json::from_value(email).unwrap();
    let mut record = MailRecord::new(&email, MailState::Queued, NOW);
    record.message_id = Some("m".repeat(1200));
    done(ledger.put_mail(&email.svix_id, &record)).unwrap();
    let mail = json!({
        "email": email, "content": {"here": {"text": "marker".repeat(500)}}, "queued_at": NOW,
    });
    let letter = json!({"mail": mail}).to_string();
    done(ledger.put_dead_letter("msg_long", &letter)).unwrap();
    world.costs.take();
    let mails = done(ledger.all("mail:", "id")).unwrap();
    let long = mails.iter().find(|mail| mail["id"] == "msg_long").unwrap();
    assert_eq!(
        (&long["state"], &long["slug"]),
        (&json!("queued"), &json!("invitation"))
    );
    let dead = done(ledger.all("dead:", "id")).unwrap();
    assert_eq!(
        dead,
        [json!({"id": "msg_long", "kind": "mail", "at": NOW, "slug": "invitation"})]
    );
    assert_eq!(world.costs.take(), lists(2));
}

/// Twice for a code.
#[test]
fn what_is_written_of_a_mail_that_waits() {
    let world = running(DEAF);
    world.answers("/messages/send", 503, json!({"request_id": "r"}));
    assert_eq!(receive(&world, "msg_1"), "queued");
    let mut writes = 0;
    for _ in 0..18 {
        let text = world.queue.borrow_mut().pop();
        let Some(text) = text else { break };
        world.pass(30 * SECOND);
        let cost = cost(&world, || {
            world.process(&text, 2);
        });
        writes += cost.writes;
        if world.queue.borrow().is_empty() && world.now.get().0 < NOW.0 + 590 * SECOND {
            world.queue.borrow_mut().push(text);
        }
    }
    let record = world.kept("mail:msg_1").unwrap();
    assert_eq!(record["said"], "503", "{record}");
    assert!(record["retry_at"].as_u64() > Some(NOW.0), "{record}");
    assert_eq!(writes, 2);
}

#[test]
fn an_alert() {
    let world = running(&[]);
    let refused = json!({"error": {"type": "invalid_request_error", "message": "no"}});
    world.answers("/messages/send", 402, refused);
    assert_eq!(receive(&world, "msg_1"), "rejected");
    let alert = cost(&world, || {
        assert_eq!(world.alerts().len(), 1);
    });
    assert_eq!(alert, costs(3, 1));
    let paused = json!({"error": {"type": "x", "message": "sending is paused"}});
    world.answers("/messages/send", 403, paused);
    receive(&world, "msg_2");
    world.queue.borrow_mut().clear();
    let of_a_state = cost(&world, || {
        assert_eq!(world.alerts().len(), 1);
    });
    assert_eq!(of_a_state, costs(4, 2));
}

/// Nobody is told, but the page says since when a state lasts.
#[test]
fn an_alert_without_an_address() {
    let world = running(&[("ALERT_WEBHOOK_URL", "")]);
    let raise = |raised: Vec<Alert>| {
        assert_eq!(raised.len(), 1);
        let config = Some(&world.config);
        cost(&world, || done(alerts::raise(&world, config, None, raised)))
    };
    let refused = json!({"error": {"type": "invalid_request_error", "message": "no"}});
    world.answers("/messages/send", 402, refused);
    assert_eq!(receive(&world, "msg_1"), "rejected");
    assert_eq!(raise(world.raised.take()), costs(0, 0));
    let paused = json!({"error": {"type": "x", "message": "sending is paused"}});
    world.answers("/messages/send", 403, paused);
    receive(&world, "msg_2");
    let down = world.raised.take();
    assert_eq!(raise(down.clone()), costs(1, 1));
    // Within ten minutes the instance remembers it; within an hour it is the same.
    assert_eq!(raise(down.clone()), costs(0, 0));
    world.pass(HOUR - SECOND);
    assert_eq!(raise(down.clone()), costs(1, 0));
    world.pass(600 * SECOND);
    assert_eq!(raise(down), costs(1, 1));
}

#[test]
fn a_day_of_the_schedule() {
    let world = running(&[]);
    world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
    let quarter = 15 * 60 * SECOND;
    let day = cost(&world, || {
        for _ in 0..24 * HOUR / quarter {
            done(sweep::run(&world, &world.config));
            done(checks::run(&world, &world.config));
            world.pass(quarter);
        }
    });
    let expected = Costs {
        lists: 48,
        ..costs(288, 96)
    };
    assert_eq!(day, expected);
}

/// Nothing is read, written, listed, deleted, asked or queued for a request whose signature is not right.
#[test]
fn a_forged_request_costs_no_operation() {
    const FORGERS_SECRET: &str = "whsec_Zm9yZ2VyIGZvcmdlciBmb3JnZXIgZm9yZ2VyIGZv";
    let world = running(&[]);
    all_of(&world);
    let clerk = |secret: &str| {
        let (id, seconds) = ("msg_1", NOW.seconds());
        let body = json!({
            "object": "event", "type": "email.created", "timestamp": seconds,
            "data": {
                "slug": "verification_code", "to_email_address": "marker@example.com", "subject": "marker",
                "body": "<p>marker</p>", "delivered_by_clerk": false,
            },
        });
        let body = body.to_string();
        let signed = svix::webhooks::Webhook::new(secret).unwrap().sign(
            id,
            seconds.try_into().unwrap(),
            body.as_bytes(),
        );
        let signed = signed.unwrap();
        let headers = SignatureHeaders::pick(|name| match name {
            "svix-id" => Some(id.to_owned()),
            "svix-timestamp" => Some(seconds.to_string()),
            "svix-signature" => Some(signed.clone()),
            _ => None,
        });
        let request = ClerkRequest {
            claim: &headers.claim(NOW).unwrap(),
            body: body.as_bytes(),
            started: NOW,
        };
        let mut code = 0;
        let handled = done(receive_clerk(&world, &world.config, &request, |answer| {
            code = answer.code;
        }));
        assert_eq!(handled.alerts.len(), 0);
        code
    };
    let nylas = |signature: &str| {
        let request = NylasRequest {
            signature: Some(signature),
            body: br#"{"id":"n-1","type":"message.created","data":{"object":{"id":"m-1"}}}"#,
            is_gzip: false,
            started: NOW,
        };
        done(intake::receive(&world, &world.config, &request)).code
    };
    assert_eq!(clerk(FORGERS_SECRET), 400);
    assert_eq!(nylas(&"0".repeat(64)), 401);
    assert_eq!((all_of(&world), world.queue_costs.take().all()), (0, 0));
    // The same request costs something once it is signed.
    assert_eq!(clerk(SECRET), 200);
    assert!(all_of(&world) > 0);
}

/// Requests, and operations on KV and the queues: on the free plan an invocation may make fifty.
fn all_of(world: &World) -> usize {
    let costs = world.costs.take();
    let kv = costs.reads + costs.writes + costs.deletes + costs.lists;
    let others = [
        world.requested.take().len(),
        world.posted.take().len(),
        world.lanes.take().len(),
    ];
    kv as usize + others.into_iter().sum::<usize>()
}

/// Three accounts have sent three thousand mails this month, a third each, and are at both caps.
#[test]
fn each_run_of_the_schedule_is_under_fifty_operations() {
    let accounts = ["g1", "g2", "g3"]
        .map(|grant| json!({"grant_id": grant, "email": format!("auth@{grant}.example")}));
    let world = World::with(&[
        ("NYLAS_ACCOUNTS", &json!(accounts).to_string()),
        ("NYLAS_DAILY_CAP", "200"),
        ("NYLAS_MONTHLY_CAP", "3000"),
    ]);
    let page = |next: Option<&str>| {
        let mails = vec![json!({"id": "m"}); 200];
        json!({"request_id": "r", "data": mails, "next_cursor": next})
    };
    world.answers_to(
        "received_after=1761955200&limit=200&select=id",
        "/messages",
        page(Some("p2")),
    );
    for (token, next) in [
        ("p2", Some("p3")),
        ("p3", Some("p4")),
        ("p4", Some("p5")),
        ("p5", None),
    ] {
        world.answers_to(&format!("page_token={token}"), "/messages", page(next));
    }
    world.answers_to("&limit=200&select=id", "/messages", page(None));
    world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
    world.mails(1_500, HOUR, "delivered", 1_500);
    // As many as one list operation returns.
    world.listed_max.set(1_000);
    for grant in ["g1", "g2", "g3"] {
        let account =
            json!({"id": grant, "email": format!("auth@{grant}.example"), "grant_status": "valid"});
        let answer = json!({"request_id": "r", "data": account});
        world.answers(&format!("/grants/{grant}"), 200, answer);
        world.keep(
            format!("looked:{grant}"),
            &json!({"since": NOW.0, "until": NOW.0}),
        );
        world.keep(
            format!("folders:{grant}"),
            &json!({"sent": SENT, "junk": JUNK}),
        );
    }
    let mut most = Vec::new();
    for _ in 0..8 {
        // Each run is of a new instance.
        world.remembered.borrow_mut().clear();
        world.heard.take();
        all_of(&world);
        done(sweep::run(&world, &world.config));
        let raised = done(checks::run(&world, &world.config));
        let alerts = raised.len();
        done(alerts::raise(
            &world,
            Some(&world.config),
            Some(ALERT_URL),
            raised,
        ));
        most.push((all_of(&world), alerts));
        world.pass(15 * 60 * SECOND);
    }
    println!("operations and alerts: {most:?}");
    let longest = most.iter().map(|(count, _)| *count).max().unwrap();
    assert!(longest < 50, "{most:?}");
    let docs = include_str!("../docs/limits.md");
    assert!(
        docs.contains(&format!("its longest run makes {longest}.")),
        "{most:?}"
    );
}

// ---- The queues ----

/// What that costs at the queues.
fn queue_cost(world: &World, work: impl FnOnce()) -> QueueCosts {
    world.queue_costs.take();
    work();
    world.queue_costs.take()
}

fn written_read_deleted(writes: u32, reads: u32, deletes: u32) -> QueueCosts {
    QueueCosts {
        writes,
        reads,
        deletes,
    }
}

/// Delivers a message, and whatever takes its place, until nothing is left.
fn deliver_to_its_end(world: &World, mut text: String) {
    let mut attempt = 1;
    loop {
        match world.process(&text, attempt).0 {
            Disposition::Retry(delay) => {
                world.pass(u64::try_from(delay.as_millis()).unwrap());
                attempt += 1;
            }
            Disposition::Acknowledge => match world.queue.borrow_mut().pop() {
                Some(next) => {
                    world.pass(u64::try_from(world.queue_delay.get().as_millis()).unwrap());
                    (text, attempt) = (next, 1);
                }
                None => return,
            },
        }
    }
}

#[test]
fn a_mail_that_is_sent_at_once_costs_no_operation_of_the_queue() {
    for settings in [DEAF, &[]] {
        let world = running(settings);
        let sent = queue_cost(&world, || assert_eq!(receive(&world, "msg_1"), "sent"));
        assert_eq!(sent.all(), 0);
        let again = queue_cost(&world, || {
            assert_eq!(receive(&world, "msg_1"), "duplicate");
        });
        assert_eq!(again.all(), 0);
    }
}

#[test]
fn a_mail_that_is_queued_is_written_read_and_deleted_and_each_further_try_is_a_read() {
    for tries in 1..4 {
        let world = running(DEAF);
        let queued = queue_cost(&world, || {
            for _ in 0..tries {
                world.answers_once("/messages/send", 503, json!({"request_id": "r"}));
            }
            assert_eq!(receive(&world, "msg_1"), "queued");
            world.pass(2 * SECOND);
            let text = world.queue.borrow_mut().pop().unwrap();
            deliver_to_its_end(&world, text);
        });
        assert_eq!(queued, written_read_deleted(1, tries, 1));
    }
}

/// Each 64 kB count.
#[test]
fn a_large_mail_costs_twice_as_much() {
    let world = running(DEAF);
    let mut mail = queued("verification_code");
    mail["mail"]["content"] = json!({"here": {"html": "x".repeat(100_000)}});
    let sent = queue_cost(&world, || deliver_to_its_end(&world, mail.to_string()));
    assert_eq!(sent, written_read_deleted(0, 2, 2));
}

fn queued(slug: &str) -> Value {
    json!({"mail": {
        "email": {
            "svix_id": "msg_1", "created_at": NOW.0, "slug": slug, "to": "marker@example.com", "subject": "marker",
        },
        "content": {"here": {"text": "marker"}}, "queued_at": NOW.0,
        "trail": {"slots": [{"account": "g1", "generation": 0}], "accounts": ["g1"], "begun_at": NOW.0},
    }})
}

/// What a mail costs that is queued and never sent. It was written once, too.
fn unsent(slug: &str, status: u16, answer: Value) -> QueueCosts {
    let world = running(DEAF);
    world.answers("/messages/send", status, answer);
    world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
    let mut costs = queue_cost(&world, || {
        deliver_to_its_end(&world, queued(slug).to_string());
    });
    let state = world.kept("mail:msg_1").unwrap()["state"].clone();
    assert_eq!(state, "expired");
    costs.writes += 1;
    costs
}

#[test]
fn a_code_that_nylas_does_not_accept() {
    let costs = unsent("verification_code", 503, json!({"request_id": "r"}));
    assert_eq!(costs, written_read_deleted(1, 18, 1));
}

/// It is tried up to hourly, and put in anew every twelve hours. In 0.2.0 a day of it was 96 operations.
#[test]
fn a_mail_that_waits_for_an_account() {
    let paused = || json!({"error": {"type": "api.forbidden", "message": "account is paused"}});
    let notice = unsent("password_changed", 403, paused());
    println!("a notice: {notice:?}");
    assert_eq!(notice.all(), 49);
    let invitation = unsent("invitation", 403, paused());
    println!("an invitation: {invitation:?}");
    assert_eq!(invitation.all(), 217);
}

#[test]
fn a_notification_is_written_read_and_deleted() {
    let world = running(&[]);
    let message = json!({
        "id": "nylas-1", "from": "auth@g1.example", "to": ["marker@example.com"], "metadata": {"key1": "msg_0"},
    });
    let object = json!({"message": message, "delivered": {"recipients": ["marker@example.com"]}});
    let notification = json!({
        "id": "n-1", "type": "message.delivered", "data": {"grant_id": "g1", "object": object},
    });
    let cost = queue_cost(&world, || {
        assert_eq!(world.notify(&notification), 200);
        let text = world.queue.borrow_mut().pop().unwrap();
        deliver_to_its_end(&world, text);
    });
    assert_eq!(cost, written_read_deleted(1, 1, 1));
}

/// A reply whose agent answers 500 for a day. 0.2.0 needed 98 operations.
#[test]
fn a_reply_whose_agent_is_down_for_a_day_costs_at_most_forty_operations() {
    let agent = [
        ("REPLY_WEBHOOK_URL", "https://agent.example/replies"),
        ("REPLY_WEBHOOK_SECRET", SECRET),
    ];
    for (status, hand_off) in [(200, 3), (500, 33)] {
        let world = running(&agent);
        world.answers("/replies", status, json!({}));
        let payload = json!({"version": 1, "id": "reply_1", "message": {"text": "marker"}});
        let text = json!({"hand_off": {"payload": payload}}).to_string();
        let cost = queue_cost(&world, || deliver_to_its_end(&world, text));
        // It was written once, and its notification cost three.
        assert_eq!((cost.all() + 1, cost.writes), (hand_off, 0));
        let with_notification = hand_off + 3;
        assert!(with_notification <= 40);
        let is_given_up = world.kept("dead:reply_1").is_some();
        assert_eq!(is_given_up, status == 500);
        if is_given_up {
            let took = (world.now.get().0 - NOW.0) / HOUR;
            assert!((20..24).contains(&took), "{took} hours");
        }
    }
}

/// In JSON a line break is two bytes, so a reply of short lines alone is twice as long: it is cut, and says so.
#[test]
fn a_reply_of_short_lines_costs_the_agent_no_more() {
    let agent = [
        ("REPLY_WEBHOOK_URL", "https://agent.example/replies"),
        ("REPLY_WEBHOOK_SECRET", SECRET),
        ("REPLY_FORWARD_TO", "support@acme.example"),
    ];
    for (line, is_cut) in [("a longer line of a user's", false), ("\"", true)] {
        let world = running(&agent);
        let lines = |start: &str| format!("{start}{line}\n").repeat(24_000 / (line.len() + 1));
        let message = json!({
            "id": "m-1", "grant_id": "g1", "thread_id": "t", "subject": "\"".repeat(400),
            "body": format!("{}{}", lines(""), lines("> ")),
            "from": [{"email": "marker@example.com", "name": "\"".repeat(400)}],
            "to": [{"email": "auth@g1.example"}], "date": NOW.0 / 1000, "folders": ["inbox"], "headers": [],
        });
        let answer = |data: &Value| json!({"request_id": "r", "data": data});
        world.answers("/messages/m-1", 200, answer(&message));
        world.answers("/messages", 200, answer(&json!([])));
        let text = json!({"id": "n-1", "type": "message.created", "data": {"object": message}});
        let text = json!({"notification": {"text": text.to_string()}}).to_string();
        assert_eq!(world.process(&text, 1).1, "handed_on");
        let texts = world.queue.take();
        let lengths: Vec<usize> = texts.iter().map(String::len).collect();
        assert!(
            lengths
                .iter()
                .all(|length| (50_000..64_000).contains(length)),
            "{lengths:?}"
        );
        let handed: Value = serde_json::from_str(&texts[0]).unwrap();
        let said = &handed["hand_off"]["payload"]["message"]["truncated"];
        assert_eq!(*said, is_cut);
    }
}

#[test]
fn an_alert_is_written_read_and_deleted() {
    let world = running(&[]);
    let refused = json!({"error": {"type": "invalid_request_error", "message": "no"}});
    world.answers("/messages/send", 402, refused);
    assert_eq!(receive(&world, "msg_1"), "rejected");
    let alert = queue_cost(&world, || assert_eq!(world.alerts().len(), 1));
    assert_eq!(alert, written_read_deleted(1, 1, 1));
}

/// What is measured above is what is said there.
#[test]
fn the_documentation_says_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let docs = std::fs::read_to_string(path).unwrap();
    for sentence in [
        "| a mail | 3 | 1 |",
        "| ... whose replies are heard (`NYLAS_WEBHOOK_SECRET`) | 5 | 1 |",
        "| ... the first of a Worker's instance, more | 1 | |",
        "| ... that goes through the queue, more | 4 | 3 |",
        "| a delivery event `delivered` | 2 | 1 |",
        "| ... the first of a month to its recipient, more | | 1 |",
        "| a duplicate | 3 | |",
        "| a forged request | | |",
        "| a reply, handed to an agent | 5 | 3 |",
        "| ..., forwarded to a person | 6 | 3 |",
        "| ..., with `NYLAS_DAILY_CAP`, more | 2 | |",
        "| ..., to both | 7 | 4 |",
        "| ..., the first of a Worker's instance and account, more | 1 | |",
        "| ..., the first of a month and account, more | | 1 |",
        "| a reply over its budget | 4 | 1 |",
        "| ... that waits for over a minute, more, each try | 1 | |",
        "| ..., more, twice for a code | | 1 |",
        "| an alert | 3 | 1 |",
        "| ... of a state that may end, more | 1 | 1 |",
        "| ... of such a state, without `ALERT_WEBHOOK_URL` (others: none) | 1 | 1 |",
        "the operator's first page costs 3, a list of mails 2, any other page 1",
        "| a day of the schedule | 192 | |",
        "| ... each account, more | 96 | 96 |",
        "| a mail that is sent at once | 0 |",
        "| a mail that is queued, and sent at the first try | 3 |",
        "| ..., at each further try, more | 1 |",
        "| ..., of more than 64 kB | 6 |",
        "| a code that Nylas does not accept for ten minutes | 20 |",
        "| a notification, such as `message.delivered` | 3 |",
        "| a reply, handed to an agent | 6 |",
        "| ..., to an agent that is down for a day | 36 |",
        "| an alert | 3 |",
        "| a notice that waits a day for an account | 49 |",
        "| an invitation that waits a week for an account | 217 |",
        // In `tests/handback.rs`.
        "| a mail that finds every account at fault, with `CLERK_SECRET_KEY`, more | 2 | |",
        "| ... handing templates back, more | 3 | 3 |",
    ] {
        assert!(docs.contains(sentence), "{sentence}");
    }
}
