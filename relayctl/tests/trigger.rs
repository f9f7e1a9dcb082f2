//! `relayctl trigger`: Svix' own library verifies what it signs, and it checks the relay's answers.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{FakeRelay, Folder, OTHER_SECRET, Relayctl, SECRET};
use relayctl::places::place;
use serde_json::json;

fn relayctl(folder: &Folder, url: &str) -> Relayctl {
    Relayctl::new(&folder.0)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .env("RELAY_URL", url)
}

#[test]
fn a_sample_of_every_template_is_verified_and_sent() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let relayctl = relayctl(&folder, &relay.url);
    let listed = relayctl.run(&["trigger", "list", "--json"]).json();
    let slugs = listed["slugs"].as_array().unwrap();
    assert!(slugs.len() >= 26);
    for slug in slugs {
        let ran = relayctl.run(&["--json", "trigger", slug.as_str().unwrap()]);
        assert_eq!(ran.code, 0, "{slug}: {}", ran.all());
        assert_eq!(ran.json()["attempts"][0]["status"], "sent");
    }
    for asked in relay.asked() {
        let event = asked.json();
        let text = event["data"]["body"].as_str().unwrap();
        assert!(!text.contains("{{") && !text.contains('$'), "{text}");
        assert!(!event["data"]["subject"].as_str().unwrap().trim().is_empty());
        assert_eq!(event["data"]["delivered_by_clerk"], false);
    }
}

#[test]
fn what_is_set_is_what_is_rendered() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let set = [
        "trigger",
        "--to",
        "Eve@Example.com",
        "--set",
        "data.otp_code=424242",
        "--set",
        "reply_to_email_name=help",
        "--set",
        "event.instance_id=ins_9",
    ];
    let ran = relayctl(&folder, &relay.url).run(&set);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let event = relay.asked()[0].json();
    assert_eq!(event["data"]["subject"], "424242 is your verification code");
    assert!(event["data"]["body"].as_str().unwrap().contains("424242"));
    assert_eq!(event["data"]["data"]["otp_code"], "424242");
    assert_eq!(event["data"]["to_email_address"], "Eve@Example.com");
    assert_eq!(event["data"]["reply_to_email_name"], "help");
    assert_eq!(event["instance_id"], "ins_9");
}

#[test]
fn every_hostile_variant_gets_the_answer_it_must() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let ran = relayctl(&folder, &relay.url).run(&["trigger", "--hostile", "all", "--json"]);
    let document = ran.json();
    for attempt in document["attempts"].as_array().unwrap() {
        assert_eq!(attempt["as_expected"], true, "{attempt}");
    }
    assert_eq!(ran.code, 0);
    assert_eq!(
        document["attempts"].as_array().unwrap().len(),
        20,
        "19 variants, one of them with two requests"
    );
}

#[test]
fn a_relay_that_accepts_forgeries_is_noticed() {
    let relay = FakeRelay {
        accepts_forgeries: true,
        ..FakeRelay::default()
    };
    let (folder, relay) = (Folder::new(), relay.start());
    for variant in [
        "forged",
        "stale",
        "future",
        "unsigned",
        "tampered",
        "truncated",
    ] {
        let ran = relayctl(&folder, &relay.url).run(&["trigger", "--hostile", variant]);
        assert_eq!(ran.code, 1, "{variant}: {}", ran.all());
        assert!(
            ran.out.contains("expected 400 bad_signature"),
            "{}",
            ran.out
        );
    }
}

#[test]
fn a_load_ends_with_its_latencies() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let ran =
        relayctl(&folder, &relay.url).run(&["trigger", "--count", "30", "--rate", "200", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let document = ran.json();
    assert_eq!(document["statuses"]["200 sent"], 30);
    assert_eq!(document["latency_ms"]["count"], 30);
    assert!(document["latency_ms"]["p50"].as_f64() <= document["latency_ms"]["max"].as_f64());
    assert!(
        document["seconds"].as_f64().unwrap() >= 29.0 / 200.0,
        "the rate was kept"
    );
    let text = relayctl(&folder, &relay.url)
        .run(&["trigger", "--count", "3"])
        .out;
    assert!(
        text.contains("3 requests") && text.contains("p99"),
        "{text}"
    );
}

#[test]
fn a_wrong_secret_is_explained() {
    let relay = FakeRelay {
        secret: OTHER_SECRET.into(),
        ..FakeRelay::default()
    };
    let (folder, relay) = (Folder::new(), relay.start());
    let ran = relayctl(&folder, &relay.url).run(&["trigger"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("another signing secret"), "{}", ran.out);
}

#[test]
fn the_secret_comes_from_a_file_or_dev_vars_and_is_never_shown() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let bare = folder.write("secret", SECRET);
    let plain = Relayctl::new(&folder.0).env("RELAY_URL", &relay.url);
    let missing = plain.run(&["trigger"]);
    assert_eq!(missing.code, 2, "{}", missing.all());
    assert!(
        missing.err.contains("CLERK_WEBHOOK_SIGNING_SECRET"),
        "{}",
        missing.err
    );
    let from_file = plain.run(&["trigger", "--secret-file", bare.to_str().unwrap()]);
    assert_eq!(from_file.code, 0, "{}", from_file.all());
    folder.write(
        ".dev.vars",
        format!("NYLAS_API_KEY=x\nCLERK_WEBHOOK_SIGNING_SECRET=\"{SECRET}\"\n"),
    );
    let from_dev_vars = plain.run(&["trigger", "--json"]);
    assert_eq!(from_dev_vars.code, 0, "{}", from_dev_vars.all());
    for ran in [missing, from_file, from_dev_vars] {
        assert!(!ran.all().contains(&SECRET[6..]), "{}", ran.all());
    }
}

#[test]
fn nobody_else_is_mailed_by_mistake() {
    let folder = Folder::new();
    let ran = relayctl(&folder, "https://relay.invalid").run(&["trigger"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--to"), "{}", ran.err);
}

#[test]
fn a_failing_network_is_explained_in_words() {
    let folder = Folder::new();
    let refused = relayctl(&folder, "http://127.0.0.1:1").run(&["trigger", "--json"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.json()["attempts"][0]["error"]
            .as_str()
            .unwrap()
            .contains("nothing listens at 127.0.0.1:1")
    );
    let slow = common::Server::start(|_| {
        std::thread::sleep(std::time::Duration::from_secs(3));
        common::Answer::text(200, "")
    });
    let ran = relayctl(&folder, &slow.url).run(&["trigger", "--timeout", "1"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("did not answer within 1 s"),
        "{}",
        ran.all()
    );
}

#[test]
fn a_wrong_name_is_corrected() {
    let folder = Folder::new();
    let ran =
        relayctl(&folder, "http://127.0.0.1:1").run(&["trigger", "email_link_sign_in", "--json"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.json()["fix"], "Clerk calls it magic_link_sign_in");
    assert_eq!(
        relayctl(&folder, "x").run(&["trigger", "--nonsense"]).code,
        2
    );
}

#[test]
fn colours_are_for_terminals() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let plain = relayctl(&folder, &relay.url).run(&["trigger"]);
    assert!(!plain.all().contains('\u{1b}'));
    let forced = relayctl(&folder, &relay.url)
        .env("CLICOLOR_FORCE", "1")
        .run(&["trigger"]);
    assert!(forced.out.contains('\u{1b}'));
    let never = relayctl(&folder, &relay.url)
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1")
        .run(&["trigger"]);
    assert!(!never.out.contains('\u{1b}'));
}

/// The answers of a relay that can only queue, for this reason.
fn queueing(reason: &'static str) -> common::Server {
    common::Server::start(move |asked| {
        let id = asked.header("svix-id").to_owned();
        common::Answer::json(
            200,
            &json!({"status": "queued", "id": id, "reason": reason}),
        )
    })
}

#[test]
fn a_mail_that_waits_because_a_key_is_wrong_is_no_success() {
    let folder = Folder::new();
    for (reason, code, says) in [
        ("account_unauthorized", 1, place("NYLAS_API_KEY")),
        ("account_gone", 1, place("NYLAS_GRANT_ID")),
        ("no_account", 1, "relayctl status"),
        ("nylas_timeout", 0, "the relay goes on by itself"),
        ("always_queued", 0, "the relay goes on by itself"),
    ] {
        let relay = queueing(reason);
        let relayctl = relayctl(&folder, &relay.url).env("CLICOLOR_FORCE", "1");
        let ran = relayctl.run(&["trigger"]);
        assert_eq!(ran.code, code, "{reason}: {}", ran.all());
        assert!(ran.out.contains(says), "{reason}: {}", ran.out);
        assert!(
            ran.out.starts_with("\u{1b}[1m\u{1b}[33m"),
            "yellow: {:?}",
            ran.out
        );
        let document = relayctl.run(&["trigger", "--json"]).json();
        assert_eq!(document["ok"], code == 0);
    }
}

#[test]
fn samples_say_that_they_are_samples() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    relayctl(&folder, &relay.url).run(&["trigger", "--count", "3"]);
    for asked in relay.asked() {
        let id = asked.header("svix-id");
        let id = clerk_nylas_relay::model::id::SvixId::parse(id).unwrap();
        assert!(id.is_sample() && id.as_str().len() == 31, "{id}");
    }
}

/// A relay that knows its messages: under way at first, then in this state.
fn knowing(state: &'static str) -> common::Server {
    let looks = std::sync::atomic::AtomicU64::new(0);
    FakeRelay {
        admin: Some(std::sync::Arc::new(move |_| {
            let look = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let state = if look < 2 { "queued" } else { state };
            let delivery = json!({"state": state, "reason": "accepted_by_nylas"});
            common::Answer::json(200, &json!({"delivery": delivery}))
        })),
        sends: (200, "queued"),
        ..FakeRelay::default()
    }
    .start()
}

#[test]
fn who_waits_is_told_what_became_of_the_mail() {
    let folder = Folder::new();
    for (state, code) in [("sent", 0), ("rejected", 1), ("expired", 1), ("queued", 1)] {
        let relay = knowing(state);
        let relayctl = relayctl(&folder, &relay.url).env("ADMIN_TOKEN", common::ADMIN_TOKEN);
        let ran = relayctl.run(&["trigger", "--wait", "3", "--json"]);
        assert_eq!(ran.code, code, "{state}: {}", ran.all());
        assert_eq!(ran.json()["outcomes"][0]["state"], state);
        let relay = knowing(state);
        let relayctl = relayctl.env("RELAY_URL", &relay.url);
        let ran = relayctl.run(&["trigger", "--wait", "3"]);
        assert!(ran.out.contains(state), "{}", ran.out);
    }
    let relay = FakeRelay::default().start();
    let ran = relayctl(&folder, &relay.url).run(&["trigger", "--wait"]);
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(ran.err.contains("ADMIN_TOKEN"), "{}", ran.err);
}

#[test]
fn the_same_request_many_times_is_counted_as_one_mail() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let inbox = |mails: usize| {
        common::Server::start(move |_| {
            let (own, other) = ("msg_again", "msg_other");
            let mail = |id: &str| json!({"metadata": {"key1": id}});
            let mut all = vec![mail(own); mails];
            all.push(mail(other));
            common::Answer::json(200, &json!(all))
        })
    };
    for (mails, code, says) in [
        (1, 0, "10 answers, 1 mail:"),
        (2, 1, "10 answers, 2 mails:"),
    ] {
        let inbox = inbox(mails);
        let ran = relayctl(&folder, &relay.url)
            .env("NYLAS_API_BASE", &inbox.url)
            .run(&["trigger", "--repeat", "10", "--id", "msg_again"]);
        assert_eq!(ran.code, code, "{}", ran.all());
        assert!(ran.out.contains(says), "{}", ran.out);
    }
    let ids = relay
        .asked()
        .into_iter()
        .map(|asked| asked.header("svix-id").to_owned());
    assert!(ids.collect::<Vec<_>>().iter().all(|id| id == "msg_again"));
}

#[test]
fn an_event_of_ones_own_is_sent_as_if_made_now() {
    let (folder, relay) = (Folder::new(), FakeRelay::default().start());
    let file = folder.write(
        "event.json",
        r#"{"type":"email.created","timestamp":1,"data":{"delivered_by_clerk":true,"to_email_address":"a@b.example",
            "subject":"s","body":"b","extra":7}}"#,
    );
    let file = file.to_str().unwrap();
    let ran = relayctl(&folder, &relay.url).run(&["trigger", "--file", file]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(relay.asked()[0].json()["data"]["extra"], 7);
    let aged = relayctl(&folder, &relay.url).run(&["trigger", "--age", "3600"]);
    assert!(aged.out.contains("200 expired"), "{}", aged.out);
    let none = relayctl(&folder, &relay.url).run(&["trigger", "--file", "nowhere"]);
    assert_eq!(none.code, 2, "{}", none.all());
}

#[test]
fn a_slip_in_a_template_or_an_address_is_corrected_in_one_line() {
    let folder = Folder::new();
    let slip = relayctl(&folder, "http://127.0.0.1:1").run(&["trigger", "verfication_code"]);
    assert_eq!(slip.code, 2);
    assert!(
        slip.err.contains("did you mean verification_code?"),
        "{}",
        slip.err
    );
    assert!(slip.err.len() < 300, "{}", slip.err);
    for (url, fix) in [
        ("relay.example", "did you mean https://relay.example ?"),
        ("127.0.0.1:8787", "did you mean http://127.0.0.1:8787 ?"),
    ] {
        let ran = relayctl(&folder, url).run(&["trigger", "--to", "a@b.example"]);
        assert_eq!(ran.code, 2, "{}", ran.all());
        assert!(ran.err.contains(fix), "{}", ran.err);
        let ran = relayctl(&folder, url)
            .env("ADMIN_TOKEN", common::ADMIN_TOKEN)
            .run(&["status"]);
        assert!(ran.err.contains(fix), "{}", ran.err);
    }
    // Whoever takes an address says so before anything else is asked.
    for command in [
        &["setup", "--yes"][..],
        &["prove", "--yes"],
        &["templates"],
        &["templates", "take", "--all"],
    ] {
        for (url, says) in [
            ("relay.example", "did you mean https://relay.example ?"),
            ("https://relay.example:port", "no host and port"),
        ] {
            let ran = relayctl(&folder, url).run(command);
            assert_eq!(ran.code, 2, "{command:?}: {}", ran.all());
            assert!(ran.err.contains(says), "{command:?}: {}", ran.err);
        }
    }
    // For doctor it is a finding like another.
    for (url, says) in [
        ("relay.example", "https:// is missing"),
        ("relay.example", "did you mean https://relay.example ?"),
        ("http://", "it names no host"),
        ("http://relay.example", "would travel in the open"),
    ] {
        let ran = relayctl(&folder, url).run(&["doctor", "--only", "worker", "--timeout", "1"]);
        assert_eq!(ran.code, 1, "{}", ran.all());
        assert!(ran.out.contains(says), "{url}: {}", ran.out);
        let is_open = says.contains("in the open");
        assert_eq!(ran.out.contains("in the open"), is_open, "{}", ran.out);
    }
    let slip = relayctl(&folder, "x").run(&["trigr"]);
    assert!(slip.err.contains("'trigger'"), "{}", slip.err);
}
