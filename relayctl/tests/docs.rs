//! The outputs in `docs/relayctl.md` are what the program prints: each is compared with a run (see
//! `common/documented.rs`). Those of `setup` and `prove` are compared in `setup.rs` and `prove.rs`, where their
//! services are played.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{
    ADMIN_TOKEN, API_KEY, Answer, Asked, CLERK_KEY, FakeRelay, Folder, Ran, Relayctl, SECRET,
    Server,
    clerk::PlayedClerk,
    documented::{blocks, compare, says, sections},
    now_seconds,
};
use nylas_stand_in::{Account, Options, StandIn};
use serde_json::{Value, json};
use std::sync::Arc;

const AT: u64 = 1_795_446_245_000;
const GRANT: &str = "b1a2c3d4-0000-4000-8000-000000000001";

// ---- Who is asked ----

/// A relay with the mails that the docs show.
fn operated() -> Server {
    let admin = |asked: &Asked| {
        let path = asked.path.trim_start_matches("/api/admin/");
        let now = now_seconds() * 1000;
        let row = |id: &str, ago: u64, slug: &str, state: &str, age: u64, reason: &str| {
            json!({
                "svix_id": id, "at": now - ago * 1000, "slug": slug, "state": state, "age_ms": age, "reason": reason,
                "attempts": 1,
            })
        };
        let body = match (asked.method.as_str(), path) {
            ("GET", "summary") => json!({
                "version": env!("CARGO_PKG_VERSION"), "now": now,
                "shown": {"sent": 4, "queued": 7, "delivered": 271, "bounced": 1, "expired": 0},
                "latency_ms": {"p50": 688, "p90": 1100, "p99": 5300},
                "attention": [{
                    "kind": "waiting", "says": "6 mails waiting for more than a minute", "since": now - 120_000,
                }],
                "accounts": [{
                    "grant_id": GRANT, "email": "login@acme.example", "state": "up", "sent_today": 182, "cap": 500,
                }],
                "oldest_queued_ms": 120_000,
            }),
            ("GET", "deliveries") => {
                let mut delivered = row(
                    "msg_9",
                    13,
                    "verification_code",
                    "sent",
                    80,
                    "accepted_by_nylas",
                );
                delivered["fate"] = json!("delivered");
                json!({"deliveries": [
                    row("msg_10", 4, "verification_code", "sent", 80, "accepted_by_nylas"),
                    delivered,
                    row("msg_3", 7200, "invitation", "rejected", 1100, "nylas_refused_recipient"),
                ]})
            }
            ("GET", "deliveries/msg_7") => {
                let mut queued = row(
                    "msg_7",
                    20,
                    "verification_code",
                    "queued",
                    100_000,
                    "nylas_error",
                );
                queued["retry_at"] = json!(now + 45_900);
                queued["said"] = json!("503 server_error");
                queued["waits_for"] = json!("Nylas to recover: it answers with errors");
                queued["attempts"] = json!(4);
                queued["account"] = json!(GRANT);
                queued["account_email"] = json!("login@acme.example");
                json!({"delivery": queued, "dead_letter": false, "history": []})
            }
            ("GET", "dead") => json!({"dead_letters": [{"id": "msg_dead"}, {"id": "msg_old"}]}),
            ("POST", "dead/msg_dead/redrive") => json!({"status": "redriven"}),
            ("POST", "dead/msg_old/redrive") => {
                return Answer::json(409, &json!({"status": "expired"}));
            }
            ("GET", "shapes") => json!({"templates": [{
                "slug": "verification_code", "at": AT,
                "fields": [
                    {"path": "data.otp_code", "type": "string", "length": 6},
                    {"path": "user_id", "type": "null"},
                ],
            }]}),
            _ => return Answer::json(404, &json!({"status": "not_found"})),
        };
        Answer::json(200, &body)
    };
    FakeRelay {
        admin: Some(Arc::new(admin)),
        ..FakeRelay::default()
    }
    .start()
}

fn relayctl(folder: &Folder, relay: &Server) -> Relayctl {
    Relayctl::new(&folder.0)
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .env("RELAY_URL", &relay.url)
}

fn run(args: &[&str]) -> Ran {
    let (folder, relay) = (Folder::new(), operated());
    relayctl(&folder, &relay).run(args)
}

fn nylas() -> StandIn {
    let account = Account {
        grant_id: GRANT.into(),
        email: "login@acme.example".into(),
        name: None,
    };
    StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap()
}

// ---- Each section ----

#[test]
fn a_difference_is_noticed() {
    compare("a  4 s ago\n...\nb", "a 1.5 min ago\nx\ny\nb\n");
    compare("a\nb: 1, ...", "a\nb: 1, 2\n");
    for (block, printed) in [
        ("4 sent, 7 queued", "7 queued, 4 sent"),
        ("a\nb", "a\nb\nc"),
        ("a\nb\nc", "a\nb"),
        ("a\n...\nc", "a\nb"),
        ("at 2026-11-23", "at noon"),
    ] {
        let compared = std::panic::catch_unwind(|| compare(block, printed));
        assert!(compared.is_err(), "{block} is not {printed}");
    }
}

/// A new output needs a test, here or where its services are played.
#[test]
fn every_output_is_compared() {
    let shown: Vec<(String, usize)> = sections()
        .into_iter()
        .map(|section| (section.clone(), blocks(&section).len()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let compared = [
        ("setup", 1),
        ("doctor", 1),
        ("trigger", 3),
        ("verify", 1),
        ("roundtrip", 1),
        ("prove", 1),
        ("status", 2),
        ("list", 1),
        ("tail", 1),
        ("redrive", 1),
        ("templates", 1),
        ("inspect", 1),
    ];
    assert_eq!(
        shown,
        compared.map(|(name, count)| (name.to_owned(), count))
    );
}

#[test]
fn status_is_as_documented() {
    let [message, relay] = blocks("status").try_into().unwrap();
    compare(&message, &run(&["status", "msg_7"]).out);
    compare(&relay, &run(&["status"]).out);
}

#[test]
fn list_is_as_documented() {
    compare(&blocks("list")[0], &run(&["list"]).out);
}

#[test]
fn tail_is_as_documented() {
    let sent = json!({
        "svix_id": "msg_10", "at": AT, "state": "sent", "slug": "verification_code", "age_ms": 80, "attempts": 1,
    });
    let (folder, relay) = (Folder::new(), FakeRelay::of_a_mail_that_bounces(sent, 1));
    let ran = relayctl(&folder, &relay).run(&["tail", "--every", "0.1", "--looks", "2"]);
    compare(&blocks("tail")[0], &ran.out);
    // What it costs is said when it starts, and the docs say the same.
    let started = relayctl(&folder, &relay).run(&["tail", "--looks", "1"]).err;
    for (said, documented) in [
        ("a look every 10 s", "looks every 10 s (`--every`)"),
        ("up to every 240 s", "up to 4 minutes"),
        ("after 100 looks", "after 100 looks"),
        ("free plan has 1,000 a day", "free plan has 1,000 a day"),
    ] {
        assert!(started.contains(said), "{said}: {started}");
        assert!(says("tail", documented), "{documented}");
    }
}

#[test]
fn redrive_is_as_documented() {
    compare(&blocks("redrive")[0], &run(&["redrive", "--dead"]).out);
}

#[test]
fn inspect_is_as_documented() {
    let ran = run(&["inspect", "verification_code"]);
    compare(&blocks("inspect")[0], &ran.out);
}

#[test]
fn trigger_is_as_documented() {
    let [repeated, hostile, load] = blocks("trigger").try_into().unwrap();
    let inbox = Server::start(|_| Answer::json(200, &json!([{"metadata": {"key1": "msg_again"}}])));
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let relayctl = relayctl(&folder, &relay).env("NYLAS_API_BASE", &inbox.url);
    let ran = relayctl.run(&["trigger", "--repeat", "10", "--id", "msg_again"]);
    compare(&repeated, &ran.out);
    let ran = relayctl.run(&["trigger", "--hostile", "all"]);
    // The docs leave out the reason and how long it took.
    let short = |line: &str| line.split(" fake (").next().unwrap().to_owned();
    let printed: Vec<String> = ran.out.lines().map(short).collect();
    compare(
        &hostile,
        &printed.join(
            "
",
        ),
    );
    let ran = relayctl.run(&["trigger", "--count", "50", "--rate", "100"]);
    compare(&load, &ran.out);
}

#[test]
fn verify_is_as_documented() {
    let folder = Folder::new();
    let (id, at) = ("msg_1", now_seconds());
    let webhook = svix::webhooks::Webhook::new(SECRET).unwrap();
    let signed = webhook
        .sign(id, i64::try_from(at).unwrap(), br#"{"a":"\u003cp"}"#)
        .unwrap();
    let headers = format!("svix-id: {id}\nsvix-timestamp: {at}\nsvix-signature: {signed}\n");
    folder.write("headers.txt", headers);
    folder.write("body.json", r#"{"a":"<p"}"#);
    let args = ["verify", "--headers", "headers.txt", "--body", "body.json"];
    let relayctl = Relayctl::new(&folder.0).env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    compare(&blocks("verify")[0], &relayctl.run(&args).out);
}

#[test]
fn roundtrip_is_as_documented() {
    let (folder, nylas) = (Folder::new(), nylas());
    let relayctl = Relayctl::new(&folder.0)
        .env("NYLAS_API_BASE", nylas.base_url())
        .env("NYLAS_API_KEY", API_KEY)
        .env("NYLAS_GRANT_ID", GRANT);
    compare(&blocks("roundtrip")[0], &relayctl.run(&["roundtrip"]).out);
}

#[test]
fn templates_is_as_documented() {
    let admin = |_: &Asked| {
        let row =
            json!({"svix_id": "msg_1", "at": AT, "state": "sent", "slug": "verification_code"});
        Answer::json(200, &json!({"deliveries": [row]}))
    };
    let relay = FakeRelay {
        admin: Some(Arc::new(admin)),
        ..FakeRelay::default()
    };
    let (folder, relay) = (Folder::new(), relay.start());
    let clerk = PlayedClerk::start(CLERK_KEY, &["verification_code", "invitation"]);
    clerk.set("invitation", true);
    let relayctl = relayctl(&folder, &relay)
        .env("CLERK_SECRET_KEY", CLERK_KEY)
        .env("CLERK_API_BASE", &clerk.url);
    // The names are the played Clerk's own.
    let printed = relayctl.run(&["templates"]).out.to_lowercase();
    compare(&blocks("templates")[0].to_lowercase(), &printed);
}

#[test]
fn doctor_is_as_documented() {
    let (folder, nylas) = (Folder::new(), nylas());
    let summary = json!({"deliveries": {}, "accounts": [{"grant_id": GRANT, "state": "up"}], "oldest_queued_ms": null});
    let relay = FakeRelay {
        admin: Some(Arc::new(move |_: &Asked| Answer::json(200, &summary))),
        ..FakeRelay::default()
    }
    .start();
    let webhook = format!("{}/api/webhooks/nylas", relay.url);
    nylas.add_webhook(
        &webhook,
        "webhook-secret-for-tests",
        &relayctl::nylas::TRIGGERS,
    );
    let dns = Server::start(|asked| {
        let (name, kind) = (asked.query("name").unwrap(), asked.query("type").unwrap());
        let (number, data) = match (name.as_str(), kind.as_str()) {
            (_, "MX") => (15, "10 mx.nylas.example."),
            ("_dmarc.acme.example", _) => (16, "\"v=DMARC1; p=none\""),
            ("s1._domainkey.acme.example", _) => (16, "\"v=DKIM1; k=rsa; p=MIIB\""),
            _ => (16, "\"v=spf1 include:nylas.example -all\""),
        };
        let record: Value = json!({"name": name, "type": number, "TTL": 300, "data": data});
        Answer::json(200, &json!({"Status": 0, "Answer": [record]}))
    });
    let toml = include_str!("../../wrangler.toml")
        .replace("https://api.us.nylas.com", &nylas.base_url())
        .replace(
            "NYLAS_GRANT_ID = \"\"",
            &format!("NYLAS_GRANT_ID = \"{GRANT}\""),
        );
    folder.write("wrangler.toml", toml);
    let relayctl = relayctl(&folder, &relay)
        .env("NYLAS_API_KEY", API_KEY)
        .env("NYLAS_WEBHOOK_SECRET", "webhook-secret-for-tests")
        .env("RELAYCTL_DNS", &dns.url);
    let ran = relayctl.run(&["doctor", "--dkim-selector", "s1"]);
    compare(&blocks("doctor")[0], &ran.out);
}
