//! `relayctl templates`: who delivers each of Clerk's templates. Clerk is played as strictly as its specification.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use clerk_nylas_relay::model::secret::Secret;
use common::{
    ADMIN_TOKEN, API_KEY, Answer, CLERK_KEY, FakeRelay, Folder, Relayctl, Server,
    clerk::PlayedClerk,
};
use nylas_stand_in::{Account, AccountState, Options, StandIn};
use relayctl::{
    http::Http,
    secrets::Found,
    templates::{
        By, Filter,
        clerk::Clerk,
        guided::{self, Guided},
    },
    ui::Ui,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const AT: u64 = 1_795_446_245_000;

/// A relay that saw one template, an account that sends, and a Clerk that leaves these templates to it.
struct World {
    folder: Folder,
    clerk: PlayedClerk,
    nylas: StandIn,
    relay: Server,
}

impl World {
    fn new(left: &[&str]) -> Self {
        Self::with(left, FakeRelay::default())
    }

    fn with(left: &[&str], relay: FakeRelay) -> Self {
        let account = Account {
            grant_id: "g1".into(),
            email: "login@acme.example".into(),
            name: None,
        };
        let admin = |_: &common::Asked| {
            let row =
                json!({"svix_id": "msg_1", "at": AT, "state": "sent", "slug": "verification_code"});
            Answer::json(200, &json!({"deliveries": [row]}))
        };
        let relay = FakeRelay {
            admin: Some(Arc::new(admin)),
            ..relay
        };
        Self {
            folder: Folder::new(),
            clerk: PlayedClerk::start(CLERK_KEY, left),
            nylas: StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap(),
            relay: relay.start(),
        }
    }

    fn relayctl(&self) -> Relayctl {
        Relayctl::new(&self.folder.0)
            .env("CLERK_SECRET_KEY", CLERK_KEY)
            .env("CLERK_API_BASE", &self.clerk.url)
            .env("NYLAS_API_BASE", self.nylas.base_url())
            .env("NYLAS_API_KEY", API_KEY)
            .env("NYLAS_GRANT_ID", "g1")
            .env("RELAY_URL", &self.relay.url)
    }

    fn client(&self) -> Http {
        Http::new(Duration::from_secs(10))
    }
}

fn row<'a>(document: &'a Value, slug: &str) -> &'a Value {
    let mut rows = document["templates"].as_array().unwrap().iter();
    rows.find(|row| row["slug"] == slug).unwrap()
}

fn list(texts: &[&str]) -> Value {
    json!(texts)
}

// ---- list ----

/// Clerk's pages have ten templates unless more are asked for; here the relay's is the thirteenth.
#[test]
fn every_template_is_listed_with_who_delivers_it_from_where_and_when_it_was_seen() {
    let world = World::new(&["verification_code", "invitation"]);
    let relayctl = world.relayctl().env("ADMIN_TOKEN", ADMIN_TOKEN);
    let document = relayctl.run(&["templates", "list", "--json"]).well().json();
    assert_eq!(document["templates"].as_array().unwrap().len(), 14);
    let expected = json!({
        "slug": "verification_code", "name": "verification code", "delivered_by": "relay",
        "from_email_name": "login", "last_seen": AT,
    });
    assert_eq!(*row(&document, "verification_code"), expected);
    assert_eq!(row(&document, "invitation")["last_seen"], Value::Null);
    assert_eq!(row(&document, "of_clerk_3")["delivered_by"], "clerk");
    let shown = relayctl.run(&["templates"]).well();
    assert!(
        shown
            .out
            .contains("verification_code  relay  login@  2026-11-23 15:04:05Z"),
        "{}",
        shown.out
    );
    assert!(!shown.all().contains(CLERK_KEY));
}

#[test]
fn without_the_operators_token_the_rest_is_listed() {
    let world = World::new(&["verification_code"]);
    let document = world.relayctl().run(&["templates", "--json"]).well().json();
    let row = row(&document, "verification_code");
    assert_eq!(
        (&row["delivered_by"], &row["last_seen"]),
        (&json!("relay"), &Value::Null)
    );
}

#[test]
fn who_delivers_a_template() {
    for (delivered_by_clerk, named, relay_sends, expected) in [
        (true, None, true, By::Clerk),
        (true, Some(false), true, By::Clerk),
        (true, Some(true), true, By::Both),
        (false, None, true, By::Relay),
        (false, Some(true), true, By::Relay),
        (false, Some(false), true, By::Nobody),
        (false, None, false, By::Nobody),
        (true, None, false, By::Clerk),
    ] {
        let by = By::of(delivered_by_clerk, named, relay_sends);
        assert_eq!(by, expected, "{delivered_by_clerk} {named:?} {relay_sends}");
    }
}

// ---- check ----

#[test]
fn a_pipeline_fails_for_a_template_of_nobody_or_of_both() {
    let world = World::new(&["verification_code", "invitation"]);
    let check = |templates: &str| {
        let relayctl = world.relayctl().env("TEMPLATES", templates);
        let ran = relayctl.run(&["templates", "--check"]);
        (ran.code, ran.out)
    };
    assert_eq!(check("").0, 0);
    assert_eq!(check("verification_code, invitation").0, 0);
    let (code, said) = check("verification_code");
    assert!(
        code == 1 && said.contains("invitation is delivered by nobody"),
        "{said}"
    );
    let (code, said) = check("verification_code,invitation,of_clerk_1");
    assert!(
        code == 1 && said.contains("of_clerk_1 is delivered by both"),
        "{said}"
    );
}

#[test]
fn a_relay_that_sends_nothing_leaves_its_templates_to_nobody() {
    let problem = json!({"name": "NYLAS_API_KEY", "problem": "is missing"});
    let world = World::with(
        &["verification_code"],
        FakeRelay {
            problems: vec![problem],
            ..FakeRelay::default()
        },
    );
    let ran = world.relayctl().run(&["templates", "--check", "--json"]);
    assert_eq!(ran.code, 1);
    let document = ran.json();
    assert_eq!(
        row(&document, "verification_code")["delivered_by"],
        "nobody"
    );
    assert!(
        document["relay"]
            .as_str()
            .unwrap()
            .contains("misconfigured"),
        "{document}"
    );
}

// ---- take and give-back ----

#[test]
fn templates_are_taken_and_given_back() {
    let world = World::new(&["verification_code"]);
    let relayctl = world.relayctl();
    let run = |args: &[&str]| {
        let ran = relayctl.run(&[&["templates", "--json"], args].concat());
        ran.well().json()
    };
    let taken = run(&["take", "of_clerk_1", "verification_code"]);
    assert_eq!(taken["switched"], list(&["of_clerk_1"]));
    assert_eq!(taken["unchanged"], list(&["verification_code"]));
    assert_eq!(world.clerk.left(), ["of_clerk_1", "verification_code"]);
    let given = run(&["give-back", "of_clerk_1"]);
    assert_eq!(given["switched"], list(&["of_clerk_1"]));
    assert_eq!(world.clerk.left(), ["verification_code"]);
    let all = run(&["take", "--all"]);
    assert_eq!(all["switched"].as_array().unwrap().len(), 12);
    assert_eq!(world.clerk.left().len(), 13);
    let again = run(&["take", "--all"]);
    assert_eq!(again["switched"], list(&[]));
    run(&["give-back", "--all"]);
    assert_eq!(world.clerk.left(), [""; 0]);
}

#[test]
fn all_are_those_that_the_relay_relays() {
    let world = World::new(&["verification_code", "of_somebody_else"]);
    let relayctl = world
        .relayctl()
        .env("TEMPLATES", "verification_code,of_clerk_1");
    relayctl.run(&["templates", "take", "--all"]).well();
    assert_eq!(world.clerk.switched(), [("of_clerk_1".to_owned(), false)]);
    relayctl.run(&["templates", "give-back", "--all"]).well();
    assert_eq!(world.clerk.left(), ["of_somebody_else"]);
}

#[test]
fn a_dry_run_switches_nothing_and_sends_nothing() {
    let world = World::new(&["verification_code"]);
    for args in [&["take", "--all"][..], &["give-back", "verification_code"]] {
        let args = [&["templates", "--json"], args, &["--dry-run"]].concat();
        let document = world.relayctl().run(&args).well().json();
        assert!(
            !document["would_switch"].as_array().unwrap().is_empty(),
            "{document}"
        );
        assert_eq!(document["switched"], list(&[]));
    }
    assert_eq!(world.clerk.switched(), []);
    assert_eq!(world.nylas.requests().len(), 0);
}

/// The account says only when it is to send that it is paused.
#[test]
fn nothing_is_taken_while_no_account_sends() {
    let world = World::new(&[]);
    world.nylas.set_account_state("g1", AccountState::Paused);
    let ran = world.relayctl().run(&["templates", "take", "of_clerk_1"]);
    assert_eq!(ran.code, 1);
    for part in [
        "g1 does not send",
        "paused",
        "no template was taken",
        "fix:",
    ] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    assert_eq!(world.clerk.switched(), []);
    // Giving back needs no account.
    world.clerk.set("of_clerk_1", false);
    world
        .relayctl()
        .run(&["templates", "give-back", "--all"])
        .well();
    assert_eq!(world.clerk.left(), [""; 0]);
}

#[test]
fn one_account_of_two_that_sends_is_enough() {
    let world = World::new(&[]);
    let accounts = json!([
        {"grant_id": "gone", "email": "gone@acme.example"}, {"grant_id": "g1", "email": "login@acme.example"},
    ]);
    let relayctl = world.relayctl().env("NYLAS_GRANT_ID", "");
    let relayctl = relayctl.env("NYLAS_ACCOUNTS", accounts.to_string());
    let ran = relayctl.run(&["templates", "take", "of_clerk_1"]).well();
    assert!(ran.err.contains("gone does not send"), "{}", ran.err);
    assert_eq!(world.clerk.left(), ["of_clerk_1"]);
}

#[test]
fn nothing_is_taken_while_the_relay_sends_nothing() {
    let problem = json!({"name": "NYLAS_API_KEY", "problem": "is missing"});
    let world = World::with(
        &[],
        FakeRelay {
            problems: vec![problem],
            ..FakeRelay::default()
        },
    );
    let ran = world.relayctl().run(&["templates", "take", "--all"]);
    assert!(
        ran.code == 1 && ran.err.contains("the relay sends no mail"),
        "{}",
        ran.err
    );
    let nowhere = world.relayctl().env("RELAY_URL", "");
    let ran = nowhere.run(&["templates", "take", "--all"]);
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert_eq!(world.clerk.switched(), []);
}

#[test]
fn what_clerk_does_not_have_or_templates_leaves_out_is_not_taken() {
    let world = World::new(&[]);
    let ran = world.relayctl().run(&["templates", "take", "no_such"]);
    assert!(
        ran.code == 2 && ran.err.contains("no e-mail template no_such"),
        "{}",
        ran.err
    );
    let relayctl = world.relayctl().env("TEMPLATES", "invitation");
    let ran = relayctl.run(&["templates", "take", "of_clerk_1"]);
    assert!(
        ran.code == 2 && ran.err.contains("TEMPLATES leaves of_clerk_1 out"),
        "{}",
        ran.err
    );
    for args in [
        &["templates", "take"][..],
        &["templates", "take", "a", "--all"],
    ] {
        assert_eq!(world.relayctl().run(args).code, 2);
    }
    assert_eq!(world.clerk.switched(), []);
}

// ---- Clerk's answers ----

#[test]
fn a_busy_clerk_is_asked_again() {
    for status in [423, 429, 500] {
        let world = World::new(&["verification_code"]);
        world.clerk.fails("/toggle_delivery", status, 1);
        let ran = world.relayctl().run(&["templates", "give-back", "--all"]);
        assert_eq!(ran.well().code, 0, "{status}");
        assert_eq!(world.clerk.left(), [""; 0]);
    }
}

#[test]
fn a_refusal_says_what_to_do_and_does_not_keep_the_other_templates() {
    for (status, fix) in [
        (404, "deprecated"),
        (410, "deprecated"),
        (422, "Clerk's API has changed"),
    ] {
        let world = World::new(&["verification_code", "invitation"]);
        world
            .clerk
            .fails("verification_code/toggle_delivery", status, 1);
        let ran = world.relayctl().run(&["templates", "give-back", "--all"]);
        assert_eq!(ran.code, 1);
        assert!(
            ran.out.contains(&status.to_string()) && ran.out.contains(fix),
            "{}",
            ran.out
        );
        assert_eq!(world.clerk.left(), ["verification_code"]);
    }
}

#[test]
fn a_wrong_key_is_not_shown_and_goes_to_https_or_this_machine_only() {
    let world = World::new(&[]);
    let wrong = world.relayctl().env("CLERK_SECRET_KEY", "sk_live_wrong");
    let ran = wrong.run(&["templates"]);
    assert!(ran.code == 1 && ran.err.contains("401"), "{}", ran.err);
    assert!(!ran.all().contains("sk_live_wrong"));
    // Where the wrong one came from is.
    world.folder.write("key.txt", "sk_live_wrong");
    world
        .folder
        .write(".dev.vars", "CLERK_SECRET_KEY=sk_live_wrong\n");
    for (from, command) in [
        ("the environment", &["templates"][..]),
        (".dev.vars", &["templates"]),
        ("key.txt", &["templates", "--clerk-key-file", "key.txt"]),
        (".dev.vars", &["doctor", "--only", "clerk"]),
    ] {
        let mut relayctl = world.relayctl();
        relayctl.env.remove("CLERK_SECRET_KEY");
        if from == "the environment" {
            relayctl = relayctl.env("CLERK_SECRET_KEY", "sk_live_wrong");
        }
        let ran = relayctl.run(command);
        let said = format!("the CLERK_SECRET_KEY from {from} is not");
        assert!(ran.all().contains(&said), "{said}: {}", ran.all());
        assert!(!ran.all().contains("sk_live_wrong"));
    }
    std::fs::remove_file(world.folder.0.join(".dev.vars")).unwrap();
    let open = world
        .relayctl()
        .env("CLERK_API_BASE", "http://clerk.example");
    assert_eq!(open.run(&["templates"]).code, 2);
    let without = world.relayctl().env("CLERK_SECRET_KEY", "");
    assert_eq!(without.run(&["templates"]).code, 2);
}

/// The played Clerk is as strict as the specification, or these tests would prove little.
#[test]
fn the_played_clerk_is_strict() {
    let world = World::new(&["verification_code"]);
    let base = format!("{}/v1/templates", world.clerk.url);
    let ask = |method: &'static str, path: &str, body: Option<Value>| {
        let mut ask = relayctl::http::Ask::get(format!("{base}{path}")).bearer(CLERK_KEY);
        if let Some(body) = body {
            ask = ask.json(method, &body);
        }
        let reply = world.client().call(&ask).unwrap();
        (reply.code, reply.json())
    };
    assert_eq!(ask("GET", "/email", None).1.as_array().unwrap().len(), 10);
    let next = ask("GET", "/email?limit=500&offset=10", None);
    assert_eq!(next.1.as_array().unwrap().len(), 3);
    let toggle = "/email/verification_code/toggle_delivery";
    for (path, body, code) in [
        ("/email?limit=0", None, 422),
        ("/email?limit=501", None, 422),
        ("/email?offset=-1", None, 422),
        ("/letter", None, 422),
        ("/email/nothing", None, 404),
        (toggle, Some(json!({"delivered_by_clerk": "true"})), 422),
        (
            toggle,
            Some(json!({"delivered_by_clerk": true, "x": 1})),
            422,
        ),
        (toggle, Some(json!({})), 422),
        (toggle, Some(json!([])), 400),
    ] {
        let (answered, answer) = ask("POST", path, body);
        assert_eq!(answered, code, "{path}");
        for field in ["message", "long_message", "code"] {
            assert!(answer["errors"][0][field].is_string(), "{answer}");
        }
    }
    assert_eq!(world.clerk.switched(), []);
}

// ---- With somebody at the terminal ----

/// Takes templates, answers so, and returns how it ended and the questions.
fn guided(world: &World, answers: &[&str]) -> (Guided, Vec<String>) {
    let http = world.client();
    let clerk = Clerk::new(
        &http,
        &world.clerk.url,
        Found::typed(Secret::new(CLERK_KEY)),
    )
    .unwrap();
    let mut questions = Vec::new();
    let mut answers = answers.iter();
    let mut ask = |question: &str| {
        questions.push(question.to_owned());
        let answer = (*answers.next().unwrap_or(&"no")).to_owned();
        Some(answer).filter(|answer| !answer.is_empty())
    };
    let filter = Filter::default();
    let is_relayed = |slug: &str| filter.is_relayed(slug);
    let ended = guided::take(&clerk, is_relayed, &mut ask, &Ui { json: true }).unwrap();
    (ended, questions)
}

#[test]
fn one_template_is_taken_first_and_its_mail_seen_then_each_other_is_asked_for() {
    let world = World::new(&["verification_code"]);
    world.clerk.set("verification_code", true);
    let (ended, questions) = guided(&world, &["", "yes", "", "no"]);
    let taken = vec!["verification_code".to_owned(), "of_clerk_0".to_owned()];
    assert_eq!(ended, Guided::Taken { taken, left: 11 });
    for (question, part) in questions.iter().zip([
        "Shall the relay deliver verification_code, and no other yet?",
        "Did the mail come?",
        "of_clerk_0, too?",
        "of_clerk_1, too?",
    ]) {
        assert!(question.contains(part), "{questions:?}");
    }
    assert_eq!(world.clerk.left(), ["of_clerk_0", "verification_code"]);
}

#[test]
fn a_template_whose_mail_was_not_seen_is_given_back() {
    for answer in ["no", "", "where?"] {
        let world = World::new(&[]);
        let (ended, _) = guided(&world, &["yes", answer]);
        assert_eq!(ended, Guided::NotSeen("of_clerk_0".to_owned()));
        assert_eq!(world.clerk.left(), [""; 0]);
    }
}

#[test]
fn nothing_is_taken_that_was_not_wanted() {
    let world = World::new(&[]);
    let (ended, questions) = guided(&world, &["no"]);
    let taken = Vec::new();
    assert_eq!(
        (ended, questions.len()),
        (Guided::Taken { taken, left: 12 }, 1)
    );
    assert_eq!(world.clerk.switched(), []);
}
