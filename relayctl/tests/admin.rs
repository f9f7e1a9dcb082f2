//! `relayctl status`, `list`, `tail`, `redrive`, `suppression`, `inspect`.
//!
//! The operator API is a fake with the Worker's answers. `tests/e2e/operator.rs` tests against the real one.
// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{ADMIN_TOKEN, Answer, Asked, FakeRelay, Folder, Relayctl, Server};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const AT: u64 = 1_795_446_245_000;

#[derive(Default)]
struct Operated {
    dead: Vec<Value>,
    suppressed: Vec<String>,
    looks: u64,
}

fn delivery(number: u64) -> Value {
    let (state, slug) = match number {
        3 => ("rejected", "invitation"),
        7 => ("queued", "verification_code"),
        _ => ("sent", "verification_code"),
    };
    json!({
        "svix_id": format!("msg_{number}"), "at": AT + number * 1000, "state": state, "slug": slug,
        "reason": "accepted_by_nylas", "age_ms": 80, "attempts": 1,
    })
}

fn fake() -> Server {
    let mut dead = ["msg_dead", "msg_old"]
        .map(|id| json!({"id": id, "kind": "mail", "at": AT, "slug": "invitation"}))
        .to_vec();
    // As a Worker of 0.2.0 lists a reply.
    dead.push(
        json!({"id": "reply_dead", "hand_off": {"payload": {"message": {"text": "marker"}}}}),
    );
    let operated = Mutex::new(Operated {
        dead,
        ..Operated::default()
    });
    let admin = move |asked: &Asked| answer(&mut operated.lock().unwrap(), asked);
    FakeRelay {
        admin: Some(Arc::new(admin)),
        ..FakeRelay::default()
    }
    .start()
}

fn answer(operated: &mut Operated, asked: &Asked) -> Answer {
    let missing = || Answer::json(404, &json!({"status": "not_found"}));
    let path = asked.path.trim_start_matches("/api/admin/").to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["summary"]) => Answer::json(
            200,
            &json!({
                "version": env!("CARGO_PKG_VERSION"), "now": AT,
                "deliveries": {
                    "sent": 8, "queued": 1, "waiting": 0, "rejected": 1, "expired": 0, "dead_lettered": 2,
                },
                "latency_ms": {"p50": 80, "p90": 120, "p99": 900, "count": 10},
                "accounts": [
                    {"grant_id": "g1", "state": "up", "sent_today": 8, "cap": 200},
                    {
                        "grant_id": "g2", "state": "down", "reason": "account_paused", "since": AT,
                        "until": AT + 600_000,
                    },
                ],
                "replies": {}, "oldest_queued_ms": 1200
            }),
        ),
        ("GET", ["deliveries"]) => {
            operated.looks += 1;
            assert_eq!(asked.query("events").unwrap(), "true");
            // One more delivery comes after the first look.
            let newest = if operated.looks > 1 { 11 } else { 10 };
            let limit: usize = asked.query("limit").unwrap().parse().unwrap();
            let rows: Vec<Value> = (1..=newest).rev().map(delivery).take(limit).collect();
            Answer::json(200, &json!({"deliveries": rows}))
        }
        ("POST", ["deliveries"]) if asked.json()["address"] == "nobody" => {
            Answer::json(400, &json!({"status": "address_malformed"}))
        }
        ("POST", ["deliveries"]) => {
            assert_eq!(asked.json()["address"], "jane@example.com");
            assert_eq!(asked.query("events").unwrap(), "true");
            let mut bounced = delivery(4);
            bounced["fate"] = json!("bounced");
            Answer::json(200, &json!({"deliveries": [bounced]}))
        }
        ("GET", ["deliveries", "msg_7"]) => {
            let mut queued = delivery(7);
            let now = relayctl::clock::now().0;
            queued["at"] = json!(now - 20_000);
            queued["age_ms"] = json!(100_000);
            queued["retry_at"] = json!(now + 45_900);
            queued["said"] = json!("503 server_error");
            queued["waits_for"] = json!("Nylas to recover");
            Answer::json(
                200,
                &json!({"delivery": queued, "dead_letter": false, "history": []}),
            )
        }
        ("GET", ["deliveries", "msg_dead"]) => {
            let mut delivery = delivery(3);
            delivery["svix_id"] = json!("msg_dead");
            delivery["state"] = json!("dead_lettered");
            Answer::json(200, &json!({"delivery": delivery, "dead_letter": true}))
        }
        ("GET", ["deliveries", "msg_1"]) => {
            let mut delivery = delivery(1);
            delivery["message_id"] = json!("nylas-1");
            delivery["account"] = json!("b1a2c3d4-0000-4000-8000-000000000001");
            delivery["account_email"] = json!("login@acme.example");
            let history = json!([
                {"at": AT, "event": "made", "reason": null},
                {"at": AT + 1000, "event": "sent", "reason": null},
                {"at": AT + 2000, "event": "reply", "reason": "person"},
            ]);
            Answer::json(
                200,
                &json!({"delivery": delivery, "dead_letter": false, "history": history}),
            )
        }
        ("GET", ["dead"]) => Answer::json(200, &json!({"dead_letters": operated.dead})),
        ("POST", ["dead", id, "redrive"]) => {
            let known = operated.dead.iter().position(|entry| entry["id"] == *id);
            match known {
                Some(_) if *id == "msg_old" => Answer::json(409, &json!({"status": "expired"})),
                Some(at) => {
                    operated.dead.remove(at);
                    Answer::json(200, &json!({"status": "redriven"}))
                }
                None => missing(),
            }
        }
        ("GET", ["replies"]) => Answer::json(
            200,
            &json!({"replies": [{"id": "r1", "at": AT, "class": "human", "svix_id": "msg_1", "handed_to": ["agent"]}]}),
        ),
        ("GET", ["suppressions"]) => {
            let entry = |address: &String| {
                let (reason, at) = match address.starts_with("bounced") {
                    true => ("bounced", relayctl::clock::now().0),
                    false => ("by_hand", AT),
                };
                json!({"key": address.replace('@', "-at-"), "reason": reason, "at": at})
            };
            let all: Vec<Value> = operated.suppressed.iter().map(entry).collect();
            Answer::json(200, &json!({"suppressions": all}))
        }
        ("POST", ["suppressions", "check"]) => {
            let is_known = operated
                .suppressed
                .iter()
                .any(|address| *address == asked.json()["address"]);
            let (reason, at) = if is_known {
                (json!("bounced"), json!(AT))
            } else {
                (json!(null), json!(null))
            };
            let known =
                json!({"suppressed": is_known, "reason": reason, "at": at, "delivered_at": AT});
            Answer::json(200, &known)
        }
        ("DELETE", ["guards", "g1"]) => Answer::json(200, &json!({"status": "lifted"})),
        ("POST", ["suppressions"]) => {
            operated
                .suppressed
                .push(asked.json()["address"].as_str().unwrap().to_owned());
            Answer::json(200, &json!({"status": "suppressed"}))
        }
        ("DELETE", ["suppressions"]) => {
            let before = operated.suppressed.len();
            let body = asked.json();
            let is_meant = |address: &String| {
                *address == body["address"] || address.replace('@', "-at-") == body["key"]
            };
            operated.suppressed.retain(|address| !is_meant(address));
            if operated.suppressed.len() < before {
                Answer::json(200, &json!({"status": "removed"}))
            } else {
                missing()
            }
        }
        ("GET", ["shapes"]) => Answer::json(
            200,
            &json!({"templates": [{
                "slug": "verification_code", "at": AT,
                "fields": [
                    {"path": "data.otp_code", "type": "string", "length": 6},
                    {"path": "user_id", "type": "null"},
                ],
            }]}),
        ),
        _ => missing(),
    }
}

fn relayctl(folder: &Folder, relay: &Server) -> Relayctl {
    Relayctl::new(&folder.0)
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("RELAY_URL", &relay.url)
}

#[test]
fn status_shows_one_message_or_the_whole_relay() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    let sent = relayctl.run(&["status", "msg_1"]);
    assert_eq!(sent.code, 0, "{}", sent.all());
    for word in [
        "sent",
        "verification_code",
        "nylas-1",
        "account            login@acme.example",
        "made",
        "reply person",
        "2026-11-23",
    ] {
        assert!(sent.out.contains(word), "{word}: {}", sent.out);
    }
    assert!(!sent.out.contains("b1a2c3d4"), "{}", sent.out);
    let dead = relayctl.run(&["status", "msg_dead", "--json"]);
    assert_eq!(dead.code, 1);
    assert_eq!(dead.json()["dead_letter"], true);
    let unknown = relayctl.run(&["status", "msg_none"]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.err.contains("knows no message") && unknown.err.contains("Message Attempts"),
        "{}",
        unknown.err
    );
    assert_eq!(relayctl.run(&["status", "not/an/id"]).code, 2);
    let whole = relayctl.run(&["status"]);
    assert_eq!(whole.code, 1, "an account is down");
    assert!(
        whole.out.contains("8 of 200 sent today") && whole.out.contains("account_paused until"),
        "{}",
        whole.out
    );
}

#[test]
fn lists_are_cut_and_filtered() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    let ids = |args: &[&str]| -> Vec<String> {
        let document = relayctl.run(&[args, &["--json"]].concat()).json();
        let list = document["deliveries"].as_array().unwrap().clone();
        list.iter()
            .map(|delivery| delivery["svix_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&["list", "--limit", "6"]).len(), 6);
    assert_eq!(ids(&["list"]).len(), 11);
    assert_eq!(ids(&["list", "--state", "rejected"]), ["msg_3"]);
    assert_eq!(ids(&["list", "--slug", "invitation"]), ["msg_3"]);
    assert!(relayctl.run(&["list", "--replies"]).out.contains("human"));
}

#[test]
fn a_list_shows_what_became_of_each_and_when() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    let listed = relayctl.run(&["list", "--to", "jane@example.com"]);
    assert_eq!(listed.code, 0, "{}", listed.all());
    // Not sent, although it was: it bounced. And a time that needs no calendar.
    assert!(
        listed
            .out
            .contains(" ago  msg_4  verification_code  bounced  80 ms"),
        "{}",
        listed.out
    );
    let coloured = Relayctl::new(&folder.0)
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("RELAY_URL", &relay.url)
        .env("CLICOLOR_FORCE", "1");
    let red = coloured.run(&["list", "--to", "jane@example.com"]).out;
    assert!(red.contains("\u{1b}[1m\u{1b}[31mbounced"), "{red:?}");
    let yellow = coloured.run(&["status", "msg_7"]).out;
    assert!(yellow.contains("\u{1b}[1m\u{1b}[33mqueued"), "{yellow:?}");
    let bounced = relayctl.run(&[
        "list",
        "--to",
        "jane@example.com",
        "--state",
        "bounced",
        "--json",
    ]);
    assert_eq!(bounced.json()["deliveries"][0]["svix_id"], "msg_4");
    let other = relayctl.run(&["list", "--to", "jane@example.com", "--state", "delivered"]);
    assert!(other.out.contains("no deliveries"), "{}", other.out);
    let wrong = relayctl.run(&["list", "--to", "nobody"]);
    assert_eq!(wrong.code, 2, "{}", wrong.all());
}

#[test]
fn a_state_that_there_is_not_is_refused() {
    let (folder, relay) = (Folder::new(), fake());
    let refused = relayctl(&folder, &relay).run(&["list", "--state", "quued"]);
    assert_eq!(refused.code, 2);
    for word in ["quued", "queued", "dead_lettered", "bounced"] {
        assert!(refused.err.contains(word), "{word}: {}", refused.err);
    }
}

#[test]
fn status_says_what_a_queued_mail_waits_for() {
    let (folder, relay) = (Folder::new(), fake());
    let ran = relayctl(&folder, &relay).run(&["status", "msg_7"]);
    assert_eq!(ran.code, 1, "it has waited for two minutes");
    for words in [
        "it waits for Nylas to recover",
        "2 min, and still waits",
        "next try           in 45 s",
        "Nylas said last    503 server_error",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
}

/// A relay that is well but for one thing.
#[test]
fn status_fails_when_something_needs_attention_or_waits_too_long() {
    let folder = Folder::new();
    let well = json!({
        "version": "0.3.0", "now": AT, "deliveries": {"sent": 8}, "latency_ms": {"p50": 80}, "attention": [],
        "accounts": [{"grant_id": "g1", "email": "login@acme.example", "state": "up"}], "oldest_queued_ms": null,
    });
    let with = |name: &'static str, value: Value| {
        let mut summary = well.clone();
        summary[name] = value;
        let admin = move |_: &Asked| Answer::json(200, &summary);
        let relay = FakeRelay {
            admin: Some(Arc::new(admin)),
            ..FakeRelay::default()
        };
        relayctl(&folder, &relay.start()).run(&["status"])
    };
    let ran = with("replies", json!({}));
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.contains("login@acme.example up"), "{}", ran.out);
    assert_eq!(with("oldest_queued_ms", json!(59_000)).code, 0);
    assert_eq!(with("oldest_queued_ms", json!(60_000)).code, 1);
    let says = json!([{"kind": "dead_letters", "says": "2 dead letters", "since": AT}]);
    let ran = with("attention", says);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out
            .contains("2 dead letters since 2026-11-23 15:04:05Z"),
        "{}",
        ran.out
    );
}

#[test]
fn of_a_dead_letter_nothing_is_printed_that_somebody_wrote() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    let shown = relayctl.run(&["list", "--dead"]);
    assert!(
        shown.out.contains("msg_dead") && shown.out.contains("mail  invitation"),
        "{}",
        shown.out
    );
    let printed = relayctl.run(&["list", "--dead", "--json"]);
    let letters = printed.json()["dead_letters"].clone();
    assert_eq!(letters[2], json!({"id": "reply_dead"}));
    for ran in [shown, printed] {
        assert!(!ran.all().contains("marker"), "{}", ran.all());
    }
}

#[test]
fn tail_shows_what_is_new_once() {
    let (folder, relay) = (Folder::new(), fake());
    let ran = relayctl(&folder, &relay).run(&[
        "tail", "--before", "2", "--every", "0.1", "--looks", "3", "--json",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let ids: Vec<String> = ran
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["svix_id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(ids, ["msg_9", "msg_10", "msg_11"].map(str::to_owned));
}

#[test]
fn tail_shows_what_became_of_a_mail_that_was_sent() {
    let folder = Folder::new();
    let relay = FakeRelay::of_a_mail_that_bounces(delivery(1), 2);
    let ran = relayctl(&folder, &relay).run(&["tail", "--every", "0.1", "--looks", "4"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let lines = ran.out.lines();
    let states: Vec<&str> = lines
        .map(|line| line.split_whitespace().nth(2).unwrap())
        .collect();
    assert_eq!(states, ["sent", "bounced"], "{}", ran.out);
    // What it costs is said, beside the output.
    for said in [
        "a look every 0.1 s, up to every 240 s",
        "each is 2 list operations, and Cloudflare's free plan has 1,000 a day",
    ] {
        assert!(ran.err.contains(said), "{}", ran.err);
    }
}

#[test]
fn dead_letters_are_redriven_one_or_all() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    let all = relayctl.run(&["redrive", "--dead", "--json"]);
    assert_eq!(all.code, 1, "one of them is too old");
    assert_eq!(
        all.json()["redriven"],
        json!([
            {"id": "msg_dead", "status": "redriven"}, {"id": "msg_old", "status": "expired"},
            {"id": "reply_dead", "status": "redriven"},
        ])
    );
    let again = relayctl.run(&["redrive", "msg_dead"]);
    assert_eq!(again.code, 1);
    assert!(again.out.contains("no such dead letter"), "{}", again.all());
    assert_eq!(relayctl.run(&["redrive"]).code, 2);
    assert_eq!(relayctl.run(&["redrive", "msg_1", "--dead"]).code, 2);
}

#[test]
fn suppressions_come_and_go() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    assert!(
        relayctl
            .run(&["suppression", "list"])
            .out
            .contains("nobody")
    );
    assert_eq!(
        relayctl
            .run(&["suppression", "add", "ada@example.com"])
            .code,
        0
    );
    let listed = relayctl.run(&["suppression", "list"]);
    assert!(
        listed.out.contains("by_hand") && !listed.out.contains("ada@"),
        "{}",
        listed.out
    );
    assert_eq!(
        relayctl
            .run(&["suppression", "remove", "ada@example.com"])
            .code,
        0
    );
    assert_eq!(
        relayctl
            .run(&["suppression", "remove", "ada@example.com"])
            .code,
        1
    );
    assert_eq!(relayctl.run(&["suppression", "add", "ada"]).code, 2);
}

#[test]
fn a_bad_hour_is_undone() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    for address in [
        "bounced-1@example.com",
        "ada@example.com",
        "bounced-2@example.com",
    ] {
        assert_eq!(relayctl.run(&["suppression", "add", address]).code, 0);
    }
    let checked = relayctl.run(&["suppression", "check", "bounced-1@example.com"]);
    assert_eq!(checked.code, 1);
    assert!(
        checked.out.contains("suppressed since"),
        "{}",
        checked.all()
    );
    assert!(checked.out.contains("bounced"), "{}", checked.all());
    assert_eq!(
        relayctl
            .run(&["suppression", "check", "eve@example.com"])
            .code,
        0
    );
    let recent = relayctl.run(&["suppression", "list", "--since", "2h"]).out;
    assert!(
        recent.contains("bounced-1") && !recent.contains("ada"),
        "{recent}"
    );
    let undone = relayctl.run(&["suppression", "remove", "--since", "2h"]);
    assert_eq!(undone.code, 0);
    assert!(undone.out.contains("removed: 2"), "{}", undone.all());
    let left = relayctl.run(&["suppression", "list"]).out;
    assert!(left.contains("ada") && !left.contains("bounced-"), "{left}");
    for wrong in [
        &["suppression", "remove"][..],
        &["suppression", "list", "--since", "soon"],
    ] {
        assert_eq!(relayctl.run(wrong).code, 2);
    }
}

/// So many that bounced just now, the newest thousand of which are listed. `complete` is what the Worker says of that.
fn bounced(count: usize, complete: Option<bool>) -> Server {
    let keys: Vec<String> = (0..count).map(|number| format!("key-{number}")).collect();
    let known = Mutex::new(keys);
    let admin = move |asked: &Asked| {
        let mut known = known.lock().unwrap();
        if asked.method == "DELETE" {
            let key = asked.json()["key"].as_str().unwrap().to_owned();
            known.retain(|known| *known != key);
            return Answer::json(200, &json!({"status": "lifted"}));
        }
        let limit: usize = asked.query("limit").unwrap().parse().unwrap();
        let at = relayctl::clock::now().0;
        let row = |key: &String| json!({"key": key, "reason": "bounced", "at": at});
        let rows: Vec<Value> = known.iter().take(limit).map(row).collect();
        let mut answer = json!({"suppressions": rows});
        if let Some(complete) = complete {
            answer["complete"] = json!(complete);
        }
        Answer::json(200, &answer)
    };
    FakeRelay {
        admin: Some(Arc::new(admin)),
        ..FakeRelay::default()
    }
    .start()
}

#[test]
fn of_more_than_a_thousand_suppressions_it_is_said_that_not_all_are_listed() {
    let folder = Folder::new();
    for (count, complete, is_all) in [
        (3, Some(true), true),
        (999, Some(true), true),
        (1_001, Some(true), false),
        // More than the ledger could list.
        (3, Some(false), false),
        // A Worker of before.
        (3, None, true),
        (1_001, None, false),
    ] {
        let relay = bounced(count, complete);
        let listed = relayctl(&folder, &relay).run(&["suppression", "list", "--since", "2h"]);
        let says = listed.out.contains("not all");
        assert_eq!(
            (listed.code, says),
            (i32::from(!is_all), !is_all),
            "{count} {complete:?}"
        );
    }
    // The hour is undone by running it again.
    let relay = bounced(1_001, Some(true));
    let undo = || relayctl(&folder, &relay).run(&["suppression", "remove", "--since", "2h"]);
    let first = undo();
    assert_eq!(first.code, 1, "{}", first.all());
    assert!(
        first.out.contains("removed: 1000") && first.out.contains("run this again"),
        "{}",
        first.out
    );
    let second = undo();
    assert_eq!(second.code, 0, "{}", second.all());
    assert!(second.out.contains("removed: 1;"), "{}", second.out);
}

#[test]
fn a_guard_is_shown_and_lifted() {
    let (folder, relay) = (Folder::new(), fake());
    let relayctl = relayctl(&folder, &relay);
    let listed = relayctl.run(&["guard", "list"]);
    assert_eq!(listed.code, 0);
    assert!(listed.out.contains("bounced today"), "{}", listed.all());
    let lifted = relayctl.run(&["guard", "lift", "g1"]);
    assert_eq!(lifted.code, 0);
    assert!(lifted.out.contains("lifted"), "{}", lifted.all());
    assert_eq!(relayctl.run(&["guard", "lift", "g9"]).code, 2);
}

#[test]
fn shapes_hold_names_types_and_lengths() {
    let (folder, relay) = (Folder::new(), fake());
    let ran = relayctl(&folder, &relay).run(&["inspect", "verification_code"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.out.contains("data.otp_code  string  6 long"),
        "{}",
        ran.out
    );
    assert_eq!(
        relayctl(&folder, &relay)
            .run(&["inspect", "invitation"])
            .code,
        1
    );
}

#[test]
fn a_wrong_token_and_a_missing_api_are_different_failures() {
    let (folder, relay) = (Folder::new(), fake());
    let wrong = relayctl(&folder, &relay)
        .env("ADMIN_TOKEN", "wrong-token-of-good-length")
        .run(&["list", "--json"]);
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.json()["error"]
            .as_str()
            .unwrap()
            .contains("another ADMIN_TOKEN")
    );
    assert!(!wrong.all().contains("wrong-token"));
    // It says which one is wrong.
    for (from, command) in [
        ("the environment", &["list"][..]),
        (".dev.vars", &["list"]),
        ("token.txt", &["list", "--token-file", "token.txt"]),
        (".dev.vars", &["doctor", "--only", "worker"]),
    ] {
        let folder = Folder::new();
        let mut relayctl = relayctl(&folder, &relay);
        match from {
            "the environment" => {
                relayctl = relayctl.env("ADMIN_TOKEN", "wrong-token-of-good-length");
            }
            file => {
                relayctl.env.remove("ADMIN_TOKEN");
                folder.write(file, "ADMIN_TOKEN=wrong-token-of-good-length\n");
            }
        }
        let ran = relayctl.run(command);
        let said = format!("another ADMIN_TOKEN than {from}");
        assert!(ran.all().contains(&said), "{said}: {}", ran.all());
        assert!(!ran.all().contains("wrong-token"));
    }
    let without = FakeRelay::default().start();
    for command in [
        &["list"] as &[&str],
        &["status"],
        &["redrive", "--dead"],
        &["inspect"],
    ] {
        let none = relayctl(&folder, &without).run(command);
        assert_eq!(none.code, 1);
        assert!(none.err.contains("no operator API"), "{}", none.err);
    }
    let nobody = Relayctl::new(&folder.0)
        .env("RELAY_URL", &relay.url)
        .run(&["list"]);
    assert_eq!(nobody.code, 2);
    for open in [
        "http://relay.example",
        "http://127.0.0.1@relay.example",
        "http://localhost.relay.example",
        "http://127.0.0.1.evil",
    ] {
        let open = Relayctl::new(&folder.0)
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .run(&["list", "--url", open]);
        assert_eq!(open.code, 2, "{}", open.all());
        assert!(
            open.err.contains("would travel in the open"),
            "{}",
            open.err
        );
    }
    let short = Relayctl::new(&folder.0)
        .env("ADMIN_TOKEN", "short-token")
        .env("RELAY_URL", &relay.url)
        .run(&["list"]);
    assert_eq!(short.code, 2, "{}", short.all());
    assert!(short.err.contains("shorter than 16"), "{}", short.err);
    assert!(!short.all().contains("short-token"));
}
