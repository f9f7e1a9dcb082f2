//! `relayctl setup`: it makes a working relay from nothing, can be repeated, and does nothing without being asked.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use clerk_nylas_relay::signature::PUBLIC_SIGNING_SECRETS;
use common::ran::states;
use common::{
    API_KEY, CLERK_KEY, FakeRelay, Folder, OTHER_SECRET, Ran, Relayctl, SECRET, Server,
    clerk::PlayedClerk,
    documented::{blocks, compare},
};
use nylas_stand_in::{Options, StandIn};
use relayctl::places::place;
use serde_json::{Value, json};

/// Empty accounts everywhere, and an empty folder with a built Worker in it.
struct World {
    project: Folder,
    cloud: Folder,
    nylas: StandIn,
    relay: Server,
}

impl World {
    fn empty() -> Self {
        let (project, cloud) = (Folder::new(), Folder::new());
        project.write("index.js", "// built");
        let relay = FakeRelay {
            cloud: Some(cloud.0.clone()),
            ..FakeRelay::default()
        }
        .start();
        cloud.write("url", &relay.url);
        cloud.write("log", "");
        let nylas = StandIn::start_blocking(Options::new(API_KEY, Vec::new())).unwrap();
        Self {
            project,
            cloud,
            nylas,
            relay,
        }
    }

    fn relayctl(&self) -> Relayctl {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wrangler.sh");
        Relayctl::new(&self.project.0)
            .env("RELAYCTL_WRANGLER", format!("sh {script}"))
            .env("FAKE_CLOUD", self.cloud.0.to_str().unwrap())
            .env("NYLAS_API_BASE", self.nylas.base_url())
            .env("NYLAS_API_KEY", API_KEY)
            .env("NYLAS_EMAIL", "login@acme.example")
            .env("RELAYCTL_DNS", "http://127.0.0.1:1")
    }

    fn setup(&self, relayctl: &Relayctl, more: &[&str]) -> Ran {
        let ran = relayctl.run(&[&["setup", "--yes", "--json"], more].concat());
        let log = self.log();
        for secret in [&SECRET[6..], &OTHER_SECRET[6..], API_KEY] {
            assert!(!ran.all().contains(secret), "shown: {}", ran.all());
            assert!(
                !log.contains(secret),
                "given to wrangler as an argument: {log}"
            );
        }
        ran
    }

    fn log(&self) -> String {
        self.cloud.read("log")
    }

    fn has(&self, name: &str) -> bool {
        self.cloud.0.join(name).exists()
    }

    /// The requests to Nylas that change something.
    fn changes_at_nylas(&self) -> Vec<String> {
        self.nylas
            .requests()
            .into_iter()
            .filter(|request| request.method != "GET")
            .map(|request| request.path)
            .collect()
    }
}

const STEPS: [&str; 11] = [
    "account",
    "settings",
    "storage",
    "queues",
    "secrets",
    "deploy",
    "webhook",
    "protection",
    "clerk",
    "doctor",
    "templates",
];
const WRITES: [&str; 5] = ["create", "put", "bulk", "deploy --tag", "delete"];

#[test]
fn from_nothing_to_a_working_relay_twice() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let first = world.setup(&relayctl, &["--from-name", "Acme"]);
    assert_eq!(first.code, 0, "{}", first.all());
    assert_eq!(first.json()["url"], world.relay.url);
    let changed: Vec<String> = states(&first)
        .into_iter()
        .filter(|(_, state)| state == "changed")
        .map(|(step, _)| step)
        .collect();
    assert_eq!(
        changed,
        [
            "account",
            "settings",
            "storage",
            "queues",
            "secrets",
            "deploy",
            "webhook",
            "protection"
        ]
    );
    assert_eq!(
        world.cloud.read("secret-CLERK_WEBHOOK_SIGNING_SECRET"),
        SECRET
    );
    assert_eq!(world.cloud.read("secret-NYLAS_API_KEY"), API_KEY);
    assert!(world.has("secret-NYLAS_WEBHOOK_SECRET") && world.has("queue-clerk-nylas-relay-dead"));
    let toml = world.project.read("wrangler.toml");
    assert!(
        toml.contains("id = \"0123abcd\"") && toml.contains("# Where Nylas is"),
        "{toml}"
    );
    // The deployed relay accepts a sample that is signed with the stored secret.
    let sample = relayctl.run(&["trigger", "--url", &world.relay.url]);
    assert_eq!(sample.code, 0, "{}", sample.all());

    let (log, changes) = (world.log(), world.changes_at_nylas());
    let second = world.setup(&relayctl, &["--from-name", "Acme"]);
    assert_eq!(second.code, 0, "{}", second.all());
    assert!(
        states(&second)
            .iter()
            .all(|(_, state)| state == "unchanged"),
        "{}",
        second.all()
    );
    assert_eq!(world.project.read("wrangler.toml"), toml);
    assert_eq!(
        world.changes_at_nylas(),
        changes,
        "nothing changed at Nylas"
    );
    let asked = world.log().replacen(&log, "", 1);
    assert!(
        WRITES.iter().all(|write| !asked.contains(write)),
        "nothing changed at Cloudflare: {asked}"
    );
}

#[test]
fn setup_is_as_documented() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let ran = relayctl.run(&["setup", "--yes"]).well();
    // That of the US is the template's own, so nothing is said of it.
    let played = format!("NYLAS_API_BASE={}, ", world.nylas.base_url());
    assert!(ran.out.contains(&played), "{}", ran.out);
    compare(&blocks("setup")[0], &ran.out.replace(&played, ""));
}

#[test]
fn what_a_new_wrangler_toml_sets_is_said_if_it_sets_anything() {
    let world = World::empty();
    let relayctl = world.relayctl().env("NYLAS_API_KEY", "");
    for (region, says) in [
        ("us", "a new wrangler.toml"),
        (
            "eu",
            "a new wrangler.toml: NYLAS_API_BASE=https://api.eu.nylas.com",
        ),
    ] {
        let only = ["--dry-run", "--only", "settings", "--region", region];
        let ran = world.setup(&relayctl, &only).well();
        assert_eq!(ran.json()["steps"][0]["says"], says);
    }
}

#[test]
fn a_dry_run_shows_every_step_to_whoever_has_no_account_yet() {
    let world = World::empty();
    world.cloud.write("logged-out", "");
    let relayctl = world
        .relayctl()
        .env("NYLAS_API_KEY", "")
        .env("NYLAS_EMAIL", "");
    for folder_has_settings in [false, true] {
        if folder_has_settings {
            let settings = include_str!("../../wrangler.toml");
            world.project.write("wrangler.toml", settings);
        }
        let ran = world.setup(&relayctl, &["--dry-run"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        let shown: Vec<String> = states(&ran).into_iter().map(|(step, _)| step).collect();
        assert_eq!(shown, STEPS);
        assert!(
            ran.out.contains("NYLAS_API_KEY is not known"),
            "{}",
            ran.out
        );
    }
    let ran = world.setup(&relayctl, &["--dry-run"]);
    assert!(ran.out.contains("wrangler is not logged in"), "{}", ran.out);
    // Without --dry-run it says so and stops.
    let ran = world.setup(&world.relayctl(), &[]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.out.contains("not logged in"), "{}", ran.all());
}

/// Runs `relayctl setup` at a terminal, and types the answers to its questions.
///
/// The terminal echoes what is typed unless the program switches that off. Returns the exit code and what it showed.
#[cfg(unix)]
fn at_a_terminal(relayctl: &Relayctl, answers: &[(&str, &str)]) -> (i32, String) {
    let mut command = std::process::Command::new("sh");
    command
        .args([
            "-c",
            "stty echo; exec \"$0\" setup",
            env!("CARGO_BIN_EXE_relayctl"),
        ])
        .current_dir(&relayctl.folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TERM", "xterm")
        .envs(&relayctl.env);
    let mut terminal = rexpect::session::spawn_command(command, Some(30_000)).unwrap();
    let mut seen = String::new();
    for (question, answer) in answers {
        // Every question ends so.
        for text in [question, "): "] {
            seen += &terminal.exp_string(text).unwrap();
            seen += text;
        }
        terminal.send_line(answer).unwrap();
    }
    seen += &terminal.exp_eof().unwrap();
    match terminal.process().wait().unwrap() {
        rexpect::process::WaitStatus::Exited(_, code) => (code, seen),
        ended => panic!("{ended:?}: {seen}"),
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_known_is_asked_and_secrets_are_not_shown() {
    let world = World::empty();
    let relayctl = world
        .relayctl()
        .env("NYLAS_EMAIL", "")
        .env("NYLAS_API_KEY", "");
    let (code, seen) = at_a_terminal(
        &relayctl,
        &[
            ("Nylas' API key", API_KEY),
            ("The address your mails come from", "login@acme.example"),
            ("The name they come from", "Acme"),
            ("A token (ADMIN_TOKEN) for the operator's page", ""),
            ("Where alerts go", "https://hooks.example/marker"),
            ("May Nylas limit what strangers send", ""),
            ("The endpoint's signing secret", SECRET),
            ("Clerk's secret key (dashboard.clerk.com", ""),
        ],
    );
    assert_eq!(code, 0, "{seen}");
    assert!(
        seen.contains("login@acme.example\r") && seen.contains("Acme\r"),
        "the terminal echoes: {seen}"
    );
    assert!(
        !seen.contains(API_KEY) && !seen.contains(&SECRET[6..]),
        "{seen}"
    );
    for name in [
        "NYLAS_API_KEY",
        "NYLAS_EMAIL",
        "ALERT_WEBHOOK_URL",
        "CLERK_WEBHOOK_SIGNING_SECRET",
        "CLERK_SECRET_KEY",
    ] {
        assert!(seen.contains(place(name)), "{name}: {seen}");
    }
    assert!(seen.contains("nothing is wrong"), "{seen}");
    assert!(seen.contains("\u{1b}[1m"), "in colour: {seen}");
    let to_a_file = relayctl.env("NYLAS_API_KEY", API_KEY).run(&["doctor"]);
    assert!(to_a_file.out.contains("config-file"), "{}", to_a_file.all());
    assert!(!to_a_file.all().contains('\u{1b}'), "{}", to_a_file.all());
    assert_eq!(world.cloud.read("secret-NYLAS_API_KEY"), API_KEY);
    // The operator's token is new, and there for the operator.
    let token = world.project.read("admin-token");
    assert_eq!(world.cloud.read("secret-ADMIN_TOKEN"), token.trim());
    assert!(!seen.contains(token.trim()), "{seen}");
    let alerts = world.cloud.read("secret-ALERT_WEBHOOK_URL");
    assert_eq!(alerts, "https://hooks.example/marker");
    assert_eq!(
        world.cloud.read("secret-CLERK_WEBHOOK_SIGNING_SECRET"),
        SECRET
    );
}

#[test]
fn a_dry_run_changes_nothing_anywhere() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let ran = world.setup(&relayctl, &["--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(
        states(&ran)
            .iter()
            .all(|(_, state)| state == "would_change"),
        "{}",
        ran.all()
    );
    for step in STEPS {
        let ran = world.setup(&relayctl, &["--dry-run", "--only", step]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        assert_eq!(states(&ran), [(step.to_owned(), "would_change".to_owned())]);
    }
    assert!(!world.project.0.join("wrangler.toml").exists());
    assert_eq!(world.changes_at_nylas(), [""; 0]);
    assert!(
        WRITES.iter().all(|write| !world.log().contains(write)),
        "{}",
        world.log()
    );
}

/// The first step that needs a Worker is `secrets`, so it is there that a new account stops.
#[test]
fn a_cloudflare_account_that_never_had_a_worker_stops_at_the_secrets_and_is_told_where_to_go() {
    let world = World::empty();
    world.cloud.write("new-account", "");
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let stopped = world.setup(&relayctl, &[]);
    assert_eq!(stopped.code, 1, "{}", stopped.all());
    let said = stopped.json();
    assert!(
        said["error"]
            .as_str()
            .unwrap()
            .starts_with("step secrets: "),
        "{said}"
    );
    let fix = said["fix"].as_str().unwrap();
    assert!(
        fix.contains("https://dash.cloudflare.com/?to=/:account/workers/onboarding")
            && fix.contains("run setup again"),
        "{said}"
    );
    assert!(!world.has("tag"), "{}", world.log());
    // Opening that page makes the address.
    std::fs::remove_file(world.cloud.0.join("new-account")).unwrap();
    let done = world.setup(&relayctl, &[]);
    assert_eq!(done.code, 0, "{}", done.all());
}

#[test]
fn every_step_can_be_done_alone() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    for step in [
        "account", "settings", "storage", "queues", "secrets", "deploy", "webhook",
    ] {
        // As long as there is no webhook, the address has to come from the step deploy or from the operator.
        let url = ["--url", world.relay.url.as_str()];
        let more = if step == "webhook" { &url[..] } else { &[] };
        let ran = world.setup(&relayctl, &[&["--only", step], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.all());
        assert_eq!(states(&ran), [(step.to_owned(), "changed".to_owned())]);
    }
    for step in [
        "storage", "queues", "secrets", "deploy", "webhook", "clerk", "doctor",
    ] {
        let ran = world.setup(&relayctl, &["--only", step]);
        assert_eq!(
            states(&ran),
            [(step.to_owned(), "unchanged".to_owned())],
            "{}",
            ran.all()
        );
    }
}

#[test]
fn without_clerks_secret_the_rest_is_done_and_clerk_is_yours() {
    let world = World::empty();
    let ran = world.setup(&world.relayctl(), &[]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(
        states(&ran).contains(&("clerk".into(), "yours".into())),
        "{}",
        ran.all()
    );
    let document = ran.json();
    let says = |step: &str| {
        let mut steps = document["steps"].as_array().unwrap().iter();
        let found = steps.find(|done| done["step"] == step).unwrap();
        found["says"].as_str().unwrap().to_owned()
    };
    assert!(
        says("clerk").contains("no signing secret of Clerk's yet")
            && says("clerk").contains("secret put CLERK_WEBHOOK_SIGNING_SECRET`"),
        "{document}"
    );
    // The Worker itself reports what is missing.
    assert!(says("doctor").contains("worker-settings"), "{document}");
    let url = world.relay.url.as_str();
    let doctor = world
        .relayctl()
        .run(&["doctor", "--only", "worker", "--json", "--url", url]);
    assert_eq!(doctor.code, 1, "{}", doctor.all());
    assert!(
        doctor
            .out
            .contains("CLERK_WEBHOOK_SIGNING_SECRET is missing"),
        "{}",
        doctor.all()
    );
    let text = world.relayctl().run(&["setup", "--yes", "--only", "clerk"]);
    assert!(
        text.out.contains("/api/webhooks/clerk") && text.out.contains("email.created"),
        "{}",
        text.out
    );
    let later = world.setup(
        &world
            .relayctl()
            .env("CLERK_WEBHOOK_SIGNING_SECRET", OTHER_SECRET),
        &[],
    );
    assert_eq!(later.code, 0, "{}", later.all());
    assert_eq!(
        world.cloud.read("secret-CLERK_WEBHOOK_SIGNING_SECRET"),
        OTHER_SECRET
    );
}

/// The placeholder for a missing secret must not be a secret.
#[test]
fn every_signature_is_refused_until_clerks_secret_is_stored() {
    let world = World::empty();
    world.setup(&world.relayctl(), &[]);
    let stored = world.cloud.read("secret-CLERK_WEBHOOK_SIGNING_SECRET");
    assert_eq!(stored, clerk_nylas_relay::config::CLERK_SECRET_PENDING);
    for secret in [SECRET, PUBLIC_SIGNING_SECRETS[0]] {
        let signed = world
            .relayctl()
            .env("CLERK_WEBHOOK_SIGNING_SECRET", secret)
            .run(&["trigger", "--url", &world.relay.url]);
        assert!(signed.out.contains("503 misconfigured"), "{}", signed.all());
    }
}

/// One template first, its mail seen, then the others, asked each time.
#[cfg(unix)]
#[test]
fn setup_ends_with_clerks_templates() {
    let world = World::empty();
    let clerk = PlayedClerk::start(CLERK_KEY, &["verification_code"]);
    clerk.set("verification_code", true);
    let relayctl = world
        .relayctl()
        .env("CLERK_API_BASE", &clerk.url)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let (code, seen) = at_a_terminal(
        &relayctl,
        &[
            ("A token (ADMIN_TOKEN)", "no"),
            ("Where alerts go", ""),
            ("May Nylas limit what strangers send", ""),
            ("Clerk's secret key (dashboard.clerk.com", CLERK_KEY),
            ("deliver verification_code, and no other yet?", ""),
            ("Did the mail come?", "yes"),
            ("of_clerk_0, too?", ""),
            ("of_clerk_1, too?", "no"),
            ("of_clerk_2, too?", "no"),
            ("of_clerk_3, too?", "no"),
            ("of_clerk_4, too?", "no"),
            ("of_clerk_5, too?", "no"),
            ("of_clerk_6, too?", "no"),
            ("of_clerk_7, too?", "no"),
            ("of_clerk_8, too?", "no"),
            ("of_clerk_9, too?", "no"),
            ("of_clerk_10, too?", "no"),
            ("of_clerk_11, too?", "no"),
        ],
    );
    assert_eq!(code, 0, "{seen}");
    assert!(
        seen.contains("the relay delivers verification_code, of_clerk_0; 11 left"),
        "{seen}"
    );
    assert!(!seen.contains(CLERK_KEY), "{seen}");
    assert_eq!(clerk.left(), ["of_clerk_0", "verification_code"]);
    // The account was asked first whether it sends.
    let sends = world.changes_at_nylas();
    assert!(
        sends.iter().any(|path| path.ends_with("/messages/send")),
        "{sends:?}"
    );
}

/// With it the Worker hands templates back to Clerk while no account sends.
#[test]
fn clerks_secret_key_is_stored_if_it_is_given() {
    let world = World::empty();
    let relayctl = world
        .relayctl()
        .env("CLERK_SECRET_KEY", CLERK_KEY)
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let ran = world.setup(&relayctl, &["--only", "account,settings,secrets"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(world.cloud.read("secret-CLERK_SECRET_KEY"), CLERK_KEY);
    assert!(!ran.all().contains(CLERK_KEY) && !world.log().contains(CLERK_KEY));
}

#[cfg(unix)]
#[test]
fn enter_instead_of_clerks_secret_shows_how_to_continue() {
    let world = World::empty();
    let (code, seen) = at_a_terminal(
        &world.relayctl(),
        &[
            ("A token (ADMIN_TOKEN)", "no"),
            ("Where alerts go", ""),
            ("May Nylas limit what strangers send", ""),
            ("Enter if you do not have it yet", ""),
        ],
    );
    assert_eq!(code, 1, "{seen}");
    assert!(
        seen.contains("secret put CLERK_WEBHOOK_SIGNING_SECRET` in this folder"),
        "{seen}"
    );
    // Once the Worker has a secret, Enter does not change it.
    world
        .cloud
        .write("secret-CLERK_WEBHOOK_SIGNING_SECRET", OTHER_SECRET);
    let (code, seen) = at_a_terminal(
        &world.relayctl(),
        &[("Enter if you do not have it yet", "")],
    );
    assert_eq!(code, 1, "{seen}");
    assert!(seen.contains("the Worker has a signing secret"), "{seen}");
    assert_eq!(
        world.cloud.read("secret-CLERK_WEBHOOK_SIGNING_SECRET"),
        OTHER_SECRET
    );
}

#[test]
fn secrets_for_development_are_not_deployed() {
    let world = World::empty();
    // If setup read the last two, doctor would name them.
    world.project.write(
        ".dev.vars",
        format!(
            "CLERK_WEBHOOK_SIGNING_SECRET={OTHER_SECRET}\nNYLAS_API_KEY=nyk_development\n\
             NYLAS_WEBHOOK_SECRET=mock-webhook-secret\nTEMPLATES=email_code\n"
        ),
    );
    let nobody_to_ask = world.setup(&world.relayctl().env("NYLAS_API_KEY", ""), &[]);
    assert_eq!(nobody_to_ask.code, 2, "{}", nobody_to_ask.all());
    assert!(
        nobody_to_ask.out.contains("setup does not read .dev.vars"),
        "{}",
        nobody_to_ask.all()
    );
    let without_clerks = world.setup(&world.relayctl(), &[]);
    assert!(
        states(&without_clerks).contains(&("clerk".into(), "yours".into())),
        "{}",
        without_clerks.all()
    );
    assert_ne!(
        world.cloud.read("secret-CLERK_WEBHOOK_SIGNING_SECRET"),
        OTHER_SECRET
    );
    assert_eq!(world.cloud.read("secret-NYLAS_API_KEY"), API_KEY);
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let whole = world.setup(&relayctl, &[]);
    assert_eq!(whole.code, 0, "{}", whole.all());
    assert_eq!(
        world.cloud.read("secret-CLERK_WEBHOOK_SIGNING_SECRET"),
        SECRET
    );
}

#[test]
fn a_published_signing_secret_is_not_deployed() {
    let world = World::empty();
    let settings = world.setup(&world.relayctl(), &["--only", "settings"]);
    assert_eq!(settings.code, 0, "{}", settings.all());
    let url = world.relay.url.as_str();
    for public in PUBLIC_SIGNING_SECRETS {
        let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", public);
        for step in ["secrets", "clerk"] {
            let ran = world.setup(&relayctl, &["--only", step, "--region", "us", "--url", url]);
            assert_eq!(ran.code, 2, "{}", ran.all());
            assert!(ran.out.contains("a published example"), "{}", ran.all());
            assert!(!ran.all().contains(public), "{}", ran.all());
        }
    }
    assert!(!world.has("secret-CLERK_WEBHOOK_SIGNING_SECRET"));
}

#[test]
fn it_resumes_where_it_stopped() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    world.cloud.write("full", "");
    let stopped = world.setup(&relayctl, &[]);
    assert_eq!(stopped.code, 1);
    assert!(
        stopped.json()["error"]
            .as_str()
            .unwrap()
            .contains("step webhook"),
        "{}",
        stopped.all()
    );
    std::fs::remove_file(world.cloud.0.join("full")).unwrap();
    // The webhook was created and its secret lost. It gets a new secret and is not created twice.
    let again = world.setup(&relayctl, &[]);
    assert_eq!(again.code, 0, "{}", again.all());
    let made = world
        .changes_at_nylas()
        .iter()
        .filter(|path| *path == "/v3/webhooks")
        .count();
    let rotated = world
        .changes_at_nylas()
        .iter()
        .filter(|path| path.contains("rotate-secret"))
        .count();
    assert_eq!((made, rotated), (1, 1));
}

/// Wherever a run stops, the next one resumes, and nothing is created twice.
#[test]
fn it_resumes_after_a_stop_at_any_call_of_wrangler() {
    std::thread::scope(|scope| {
        for when in ["before", "after"] {
            scope.spawn(move || {
                let stops = (1..).take_while(|number| stopped_at(when, *number)).count();
                assert!(stops > 10, "it stopped {stops} times only");
            });
        }
    });
}

/// Stops at that call of wrangler, before or after its effect, and resumes. Returns whether there was such a call.
fn stopped_at(when: &str, number: u32) -> bool {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    world
        .cloud
        .write(&format!("fails-{when}"), number.to_string());
    let first = world.setup(&relayctl, &[]);
    let calls = u32::try_from(world.log().lines().count()).unwrap();
    if calls < number {
        assert_eq!(first.code, 0, "{}", first.all());
        return false;
    }
    let call = world.log().lines().last().unwrap_or_default().to_owned();
    std::fs::remove_file(world.cloud.0.join(format!("fails-{when}"))).unwrap();
    let second = world.setup(&relayctl, &[]);
    assert_eq!(second.code, 0, "{call}: {}", second.all());
    let third = world.setup(&relayctl, &[]);
    let changed: Vec<_> = states(&third)
        .into_iter()
        .filter(|(_, state)| state != "unchanged")
        .collect();
    assert_eq!(changed, [], "{call}: {}", third.all());
    let made = |path: &str| {
        let changes = world.changes_at_nylas();
        changes.into_iter().filter(|made| made == path).count()
    };
    assert_eq!(
        (made("/v3/connect/custom"), made("/v3/webhooks")),
        (1, 1),
        "{call}"
    );
    if when == "after" {
        let log = world.log();
        let mut creations: Vec<&str> = log.lines().filter(|line| line.contains("create")).collect();
        let all = creations.len();
        creations.dedup();
        assert_eq!((creations.len(), all), (4, 4), "{call}: {log}");
    }
    for name in [
        "CLERK_WEBHOOK_SIGNING_SECRET",
        "NYLAS_API_KEY",
        "NYLAS_WEBHOOK_SECRET",
    ] {
        assert!(world.has(&format!("secret-{name}")), "{call}: {name}");
    }
    true
}

/// A request to Nylas beside setup's; its answer's `data`.
fn at_nylas(world: &World, method: &str, path: &str, body: &Value) -> Value {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", world.nylas.base_url()))
        .header("authorization", format!("Bearer {API_KEY}"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .unwrap();
    let mut answer = ureq::run(request).unwrap();
    let body = answer.body_mut().read_to_string().unwrap();
    serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
}

fn protect(world: &World, relayctl: &Relayctl, more: &[&str]) -> (String, String) {
    let ran = world.setup(relayctl, &[&["--only", "protection"], more].concat());
    assert_eq!(ran.code, 0, "{}", ran.all());
    let says = ran.json()["steps"][0]["says"].as_str().unwrap().to_owned();
    (states(&ran)[0].1.clone(), says)
}

#[test]
fn nylas_limits_what_strangers_send() {
    let world = World::empty();
    let relayctl = world.relayctl();
    world.setup(&relayctl, &["--only", "account,settings"]);
    let before = world.changes_at_nylas();
    assert_eq!(protect(&world, &relayctl, &["--dry-run"]).0, "would_change");
    assert_eq!(world.changes_at_nylas(), before);
    assert_eq!(protect(&world, &relayctl, &[]).0, "changed");
    let policies = at_nylas(&world, "GET", "/v3/policies", &Value::Null);
    let limits = &policies[0]["limits"];
    assert_eq!(limits["limit_count_daily_message_received"], 500);
    assert_eq!(limits["limit_size_total_mime"], 10 * 1024 * 1024);
    // How many mails the account sends is the plan's business.
    assert_eq!(limits.get("limit_count_daily_email_sent"), None);
    assert_eq!(policies[0]["spam_detection"]["use_list_dnsbl"], true);
    let workspaces = at_nylas(&world, "GET", "/v3/workspaces", &Value::Null);
    assert_eq!(workspaces[0]["policy_id"], policies[0]["id"]);
    // Repeated, and after the operator changed a value, it does nothing.
    let path = format!("/v3/policies/{}", policies[0]["id"].as_str().unwrap());
    let changed = json!({"limits": {"limit_count_daily_message_received": 50}});
    at_nylas(&world, "PUT", &path, &changed);
    let done = world.changes_at_nylas();
    assert_eq!(protect(&world, &relayctl, &[]).0, "unchanged");
    assert_eq!(world.changes_at_nylas(), done);
}

#[test]
fn the_protection_resumes_where_it_stopped_and_can_be_undone() {
    let world = World::empty();
    let relayctl = world.relayctl();
    world.setup(&relayctl, &["--only", "account,settings"]);
    // An earlier run made the policy and did not come to attach it.
    let made = json!({"name": "clerk-nylas-relay"});
    let policy = at_nylas(&world, "POST", "/v3/policies", &made);
    assert_eq!(protect(&world, &relayctl, &[]).0, "changed");
    let policies = at_nylas(&world, "GET", "/v3/policies", &Value::Null);
    assert_eq!(policies.as_array().unwrap().len(), 1);
    let workspace = || at_nylas(&world, "GET", "/v3/workspaces", &Value::Null)[0].clone();
    assert_eq!(workspace()["policy_id"], policy["id"]);
    // As docs/deploy.md says.
    let path = format!(
        "/v3/workspaces/{}",
        workspace()["workspace_id"].as_str().unwrap()
    );
    at_nylas(&world, "PATCH", &path, &json!({"policy_id": null}));
    assert_eq!(workspace().get("policy_id"), None);
}

#[test]
fn a_policy_of_the_operators_own_stays() {
    let world = World::empty();
    let relayctl = world.relayctl();
    world.setup(&relayctl, &["--only", "account,settings"]);
    let policy = at_nylas(&world, "POST", "/v3/policies", &json!({"name": "ours"}));
    let workspaces = at_nylas(&world, "GET", "/v3/workspaces", &Value::Null);
    let path = format!(
        "/v3/workspaces/{}",
        workspaces[0]["workspace_id"].as_str().unwrap()
    );
    at_nylas(&world, "PATCH", &path, &json!({"policy_id": policy["id"]}));
    let (state, says) = protect(&world, &relayctl, &[]);
    assert_eq!(state, "unchanged");
    assert!(says.contains("of your own"), "{says}");
}

#[cfg(unix)]
#[test]
fn who_wants_no_protection_gets_none() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let no = [
        ("A token (ADMIN_TOKEN)", "no"),
        ("Where alerts go", ""),
        ("May Nylas limit what strangers send", "no"),
        ("Clerk's secret key (dashboard.clerk.com", ""),
    ];
    // It is asked each time; what else may be set, the first time.
    for questions in [&no[..], &no[2..]] {
        let (code, seen) = at_a_terminal(&relayctl, questions);
        assert_eq!(code, 0, "{seen}");
        assert!(seen.contains("no policy at Nylas, as you wish"), "{seen}");
    }
    let policies = at_nylas(&world, "GET", "/v3/policies", &Value::Null);
    assert_eq!(policies, json!([]));
}

#[test]
fn a_webhook_that_lacks_something_is_fixed() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    assert_eq!(world.setup(&relayctl, &[]).code, 0);
    // The operator changed the webhook by hand: fewer triggers, one of their own, and paused.
    let at_nylas = |method: &str, path: &str, body: Value| at_nylas(&world, method, path, &body);
    let webhook = || at_nylas("GET", "/v3/webhooks", Value::Null)[0].clone();
    let path = format!("/v3/webhooks/{}", webhook()["id"].as_str().unwrap());
    let theirs = json!({"trigger_types": ["message.created", "message.opened"], "status": "pause"});
    at_nylas("PUT", &path, theirs);
    let shown = world.setup(&relayctl, &["--only", "webhook", "--dry-run"]);
    assert_eq!(states(&shown), [("webhook".into(), "would_change".into())]);
    assert_eq!(webhook()["status"], "pause");
    let fixed = world.setup(&relayctl, &["--only", "webhook"]);
    assert_eq!(states(&fixed), [("webhook".into(), "changed".into())]);
    assert!(fixed.out.contains("message.send_failed"), "{}", fixed.out);
    let now = webhook();
    assert_eq!(now["status"], "active");
    for trigger in ["message.opened", "message.send_failed", "grant.expired"] {
        assert!(
            now["trigger_types"]
                .as_array()
                .unwrap()
                .contains(&json!(trigger)),
            "{now}"
        );
    }
    let again = world.setup(&relayctl, &["--only", "webhook"]);
    assert_eq!(states(&again), [("webhook".into(), "unchanged".into())]);
}

#[test]
fn an_account_that_is_there_is_recognised() {
    let world = World::empty();
    let relayctl = world.relayctl();
    let grant = |ran: &Ran| {
        assert_eq!(ran.code, 0, "{}", ran.all());
        world
            .project
            .read("wrangler.toml")
            .lines()
            .find(|line| line.starts_with("NYLAS_GRANT_ID"))
            .unwrap()
            .to_owned()
    };
    let first = grant(&world.setup(&relayctl, &["--only", "settings"]));
    std::fs::remove_file(world.project.0.join("wrangler.toml")).unwrap();
    assert_eq!(
        grant(&world.setup(&relayctl, &["--only", "settings"])),
        first
    );
}

#[test]
fn several_accounts_are_listed() {
    let world = World::empty();
    let relayctl = world
        .relayctl()
        .env("NYLAS_EMAIL", "login@acme.example,codes@acme.example");
    let ran = world.setup(
        &relayctl,
        &["--only", "account,settings", "--from-name", "Acme"],
    );
    assert_eq!(ran.code, 0, "{}", ran.all());
    let toml = world.project.read("wrangler.toml");
    assert!(
        toml.contains("NYLAS_GRANT_ID = \"\"") && toml.contains("codes@acme.example"),
        "{toml}"
    );
    let doctor = relayctl.run(&["doctor", "--only", "config", "--json"]);
    assert_eq!(doctor.code, 0, "{}", doctor.all());
    let again = world.setup(
        &relayctl,
        &["--only", "account,settings", "--from-name", "Acme"],
    );
    assert!(
        states(&again).iter().all(|(_, state)| state == "unchanged"),
        "{}",
        again.all()
    );
}

#[test]
fn a_changed_setting_is_deployed_again() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    assert_eq!(world.setup(&relayctl, &[]).code, 0);
    let renamed = world.setup(&relayctl, &["--from-name", "Acme Login"]);
    let changed: Vec<String> = states(&renamed)
        .into_iter()
        .filter(|(_, state)| state == "changed")
        .map(|(step, _)| step)
        .collect();
    assert_eq!(changed, ["settings", "deploy"], "{}", renamed.all());
}

#[test]
fn the_admin_token_is_made_in_a_private_file() {
    let world = World::empty();
    let ran = world.setup(
        &world.relayctl(),
        &[
            "--only",
            "settings,storage,secrets",
            "--admin-token-file",
            "token",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.all());
    let token = world.project.read("token").trim().to_owned();
    assert_eq!(world.cloud.read("secret-ADMIN_TOKEN"), token);
    assert!(token.len() == 64 && !ran.all().contains(&token) && !world.log().contains(&token));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(world.project.0.join("token"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn what_is_missing_is_said_with_its_remedy() {
    let world = World::empty();
    world.cloud.write("logged-out", "");
    let ran = world.setup(&world.relayctl(), &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.json()["fix"]
            .as_str()
            .unwrap()
            .contains("wrangler login"),
        "{}",
        ran.all()
    );
    assert!(ran.out.contains("is not logged in"), "{}", ran.all());
    world.cloud.write("offline", "");
    let offline = world.setup(&world.relayctl(), &[]);
    assert!(offline.out.contains("fetch failed"), "{}", offline.all());
    std::fs::remove_file(world.project.0.join("wrangler.toml")).unwrap();
    let no_email = world.setup(
        &world.relayctl().env("NYLAS_EMAIL", ""),
        &["--only", "account"],
    );
    assert_eq!(no_email.code, 2, "{}", no_email.all());
    let no_program = world.setup(
        &world.relayctl().env("RELAYCTL_WRANGLER", "no-such-program"),
        &["--only", "settings,storage"],
    );
    assert!(
        no_program.json()["fix"]
            .as_str()
            .unwrap()
            .contains("npm ci"),
        "{}",
        no_program.all()
    );
    let wrong_key = world.setup(
        &world.relayctl().env("NYLAS_API_KEY", "wrong"),
        &["--only", "account"],
    );
    assert!(
        wrong_key.json()["error"].as_str().unwrap().contains("401"),
        "{}",
        wrong_key.all()
    );
}

/// With `SMTP_HOST` in wrangler.toml the account gets an app password, once, even if this run made it. Nobody sees it.
#[test]
fn with_smtp_the_app_password_is_made_and_stored_and_never_shown() {
    let world = World::empty();
    let relayctl = world.relayctl().env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET);
    let only = |steps: &str| world.setup(&relayctl, &["--only", steps]);
    let toml = include_str!("../../wrangler.toml");
    let toml = toml.replace("[vars]\n", "[vars]\nSMTP_HOST = \"mail.example\"\n");
    world.project.write("wrangler.toml", &toml);
    let first = only("account,settings,storage,queues,secrets");
    assert_eq!(first.code, 0, "{}", first.all());
    assert_eq!(world.changes_at_nylas()[0], "/v3/connect/custom");
    let grant_id = world.nylas.requests().into_iter().rev();
    let patched = grant_id
        .filter(|request| request.method == "PATCH")
        .find_map(|request| request.grant_id)
        .unwrap();
    let password = world.nylas.app_password(&patched).unwrap();
    assert_eq!(world.cloud.read("secret-SMTP_PASSWORD").trim(), password);
    assert!(!first.all().contains(&password) && !world.log().contains(&password));
    assert!(first.all().contains("SMTP_PASSWORD"));
    let second = only("secrets");
    assert_eq!(second.code, 0);
    assert_eq!(world.nylas.app_password(&patched), Some(password));
    let patches = world.nylas.requests().into_iter();
    let patches = patches.filter(|request| request.method == "PATCH");
    assert_eq!(patches.count(), 1);
}
