//! Clerk takes over: the built Worker in workerd, an account that is paused, and a Clerk that is played as strictly as
//! its specification.

#[path = "../../relayctl/tests/common/clerk.rs"]
#[allow(dead_code)]
mod played_clerk;

use crate::{
    NINTH, Stage,
    clerk::{Event, MARKER},
    relay::{API_KEY, Relay},
    relayctl::Relayctl,
    tests::SOON,
};
use nylas_stand_in::AccountState;
use played_clerk::PlayedClerk;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

type Test = fn(&Stage);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, Test)] = &[$((stringify!($name), $name)),*];
    };
}

tests![a_paused_account_hands_the_templates_back_to_clerk_and_relayctl_takes_them_again,];

const KEY: &str = "sk_test_marker";
/// Clerk is asked again after 10 and 20 s.
const LATER: Duration = Duration::from_secs(90);

/// The records of the hand-back, from the first that is about it.
fn wait_for_hand_back(relay: &Relay, outcome: &str) -> Value {
    for _ in 0..600 {
        let mut records = relay.records().into_iter();
        let is_meant =
            |record: &Value| record["event"] == "hand_back" && record["outcome"] == outcome;
        if let Some(record) = records.find(is_meant) {
            return record;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no hand-back is {outcome}:\n{}", relay.log());
}

fn a_paused_account_hands_the_templates_back_to_clerk_and_relayctl_takes_them_again(stage: &Stage) {
    // Ten templates are a page, and the relay's come after it.
    let clerk = PlayedClerk::start(KEY, &["invitation", "verification_code"]);
    let settings = stage
        .settings()
        .var("NYLAS_GRANT_ID", NINTH)
        .var("CLERK_API_BASE", &clerk.url)
        .var("ALERT_WEBHOOK_URL", &stage.alerts.url)
        // `wrangler dev` takes only the required secrets from its file.
        .var("CLERK_SECRET_KEY", KEY);
    let relay = Relay::start("handback", settings);
    let before = Event::code();
    assert_eq!(before.deliver(&relay).answer(), (200, "sent".to_owned()));
    assert_eq!(
        clerk.requests(),
        0,
        "Clerk is left alone while the account sends"
    );

    // The second mail that meets the pause has the templates handed back. Clerk is throttling, then one is locked.
    stage.nylas.set_account_state(NINTH, AccountState::Paused);
    clerk.fails("/v1/templates/email", 429, 1);
    clerk.fails("invitation/toggle_delivery", 423, 1);
    let waiting = [Event::code(), Event::code()];
    for event in &waiting {
        assert_eq!(event.deliver(&relay).answer(), (200, "queued".to_owned()));
    }
    assert!(clerk.wait_until_it_delivers_all(LATER), "{}", relay.log());
    let switched = [("verification_code", true), ("invitation", true)];
    let switched = switched.map(|(slug, by_clerk)| (slug.to_owned(), by_clerk));
    assert_eq!(clerk.switched(), switched);
    let record = wait_for_hand_back(&relay, "handed_back");
    assert_eq!(record["reason"], "account_paused");
    assert_eq!(
        record["templates"],
        json!(["verification_code", "invitation"])
    );
    let alert = stage
        .alerts
        .wait_for("Clerk delivers these mails itself now")
        .payload();
    let text = alert["text"].as_str().unwrap();
    for part in [
        "verification_code, invitation",
        "account_paused",
        "relayctl templates take --all",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(alert["templates"], record["templates"]);

    // Clerk's webhook still comes, and is left alone. Another mail of before is no second hand-back.
    let theirs = Event::code().with("delivered_by_clerk", json!(true));
    assert_eq!(
        theirs.deliver(&relay).answer(),
        (200, "delivered_by_clerk".to_owned())
    );
    let late = Event::code();
    assert_eq!(late.deliver(&relay).answer(), (200, "queued".to_owned()));

    // The templates are taken only once the account sends. The mails that waited are sent, once.
    let relayctl = Relayctl::new(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .env("CLERK_API_BASE", &clerk.url)
        .env("CLERK_SECRET_KEY", KEY)
        .env("NYLAS_API_BASE", stage.nylas.base_url())
        .env("NYLAS_API_KEY", API_KEY)
        .env("NYLAS_GRANT_ID", NINTH)
        .env("RELAY_URL", relay.url(""));
    let take = [
        "templates",
        "take",
        "invitation",
        "verification_code",
        "--json",
    ];
    let refused = relayctl.run(&take);
    assert_eq!(refused.code, 1, "{}", refused.all());
    assert_eq!(clerk.left(), [""; 0]);
    stage.nylas.set_account_state(NINTH, AccountState::Healthy);
    let taken = relayctl.run(&take).well().json();
    assert_eq!(
        taken["switched"],
        json!(["invitation", "verification_code"])
    );
    assert_eq!(clerk.left(), ["invitation", "verification_code"]);
    for event in waiting.iter().chain([&late]) {
        let mail = stage.nylas.wait_for_mail(&event.to, LATER);
        assert!(mail.is_some(), "{}", relay.log());
    }
    let after = Event::code();
    assert_eq!(after.deliver(&relay).answer(), (200, "sent".to_owned()));
    assert!(stage.nylas.wait_for_mail(&after.to, SOON).is_some());
    assert!(
        stage
            .nylas
            .wait_for_mail(&theirs.to, Duration::ZERO)
            .is_none()
    );
    let handed_back = relay.records().into_iter();
    let handed_back = handed_back.filter(|record| record["outcome"] == "handed_back");
    assert_eq!(handed_back.count(), 1);
    // wrangler itself prints the variables, so only the Worker's own records are looked through.
    for record in relay.records() {
        assert!(!record.to_string().contains(MARKER), "{record}");
    }
}
