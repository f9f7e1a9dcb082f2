//! Who lacks a setting, or has a wrong one, is told where it is found, in the words of one table.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{API_KEY, CLERK_KEY, Folder, Relayctl, clerk::PlayedClerk};
use nylas_stand_in::{Account, Options, StandIn};
use relayctl::places::{PLACES, place};

#[test]
fn who_lacks_a_setting_is_told_where_it_is() {
    let folder = Folder::new();
    folder.write("headers.txt", "");
    folder.write("body.json", "{}");
    let clerk = PlayedClerk::start(CLERK_KEY, &[]);
    let verify = ["verify", "--headers", "headers.txt", "--body", "body.json"];
    let with_key = [("NYLAS_API_KEY", API_KEY)];
    let with_account = [("NYLAS_GRANT_ID", "g1")];
    let with_clerk = [
        ("CLERK_SECRET_KEY", CLERK_KEY),
        ("CLERK_API_BASE", clerk.url.as_str()),
    ];
    let with_both = [with_clerk[0], with_clerk[1], with_key[0]];
    for (name, command, env) in [
        ("CLERK_WEBHOOK_SIGNING_SECRET", &["trigger"][..], &[][..]),
        ("CLERK_WEBHOOK_SIGNING_SECRET", &verify, &[]),
        ("CLERK_SECRET_KEY", &["templates"], &[]),
        (
            "NYLAS_API_KEY",
            &["templates", "take", "--all"],
            &with_clerk,
        ),
        (
            "NYLAS_GRANT_ID",
            &["templates", "take", "--all"],
            &with_both,
        ),
        ("NYLAS_GRANT_ID", &["roundtrip"], &with_key),
        ("NYLAS_API_KEY", &["roundtrip"], &with_account),
        ("NYLAS_GRANT_ID", &["prove"], &with_key),
        ("NYLAS_API_KEY", &["prove"], &with_account),
        ("NYLAS_API_KEY", &["setup", "--yes"], &[]),
        ("NYLAS_EMAIL", &["setup", "--yes"], &with_key),
        ("ADMIN_TOKEN", &["status"], &[]),
    ] {
        let mut relayctl = Relayctl::new(&folder.0);
        for (name, value) in env {
            relayctl = relayctl.env(name, *value);
        }
        let ran = relayctl.run(command);
        assert_eq!(ran.code, 2, "{command:?}: {}", ran.all());
        assert!(ran.err.contains(place(name)), "{name}: {}", ran.err);
    }
}

#[test]
fn who_has_a_wrong_one_is_told_where_the_right_one_is() {
    let account = Account {
        grant_id: "g1".into(),
        email: "login@acme.example".into(),
        name: None,
    };
    let nylas = StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap();
    let (folder, clerk) = (Folder::new(), PlayedClerk::start(CLERK_KEY, &[]));
    folder.write("wrangler.toml", include_str!("../../wrangler.toml"));
    let relayctl = || {
        Relayctl::new(&folder.0)
            .env("NYLAS_API_BASE", nylas.base_url())
            .env("NYLAS_API_KEY", API_KEY)
            .env("NYLAS_GRANT_ID", "g1")
            .env("RELAYCTL_OTHER_REGION", "http://127.0.0.1:1")
            .env("CLERK_API_BASE", &clerk.url)
    };
    for (name, value, command) in [
        ("NYLAS_API_KEY", "wrong", &["roundtrip"][..]),
        ("NYLAS_API_KEY", "wrong", &["doctor", "--only", "nylas"]),
        ("NYLAS_GRANT_ID", "g9", &["roundtrip"]),
        ("NYLAS_GRANT_ID", "g9", &["doctor", "--only", "nylas"]),
        ("NYLAS_GRANT_ID", "", &["doctor", "--only", "config"]),
        (
            "NYLAS_API_KEY",
            "two words",
            &["doctor", "--only", "config"],
        ),
        ("CLERK_SECRET_KEY", "wrong", &["templates"]),
        ("CLERK_SECRET_KEY", "wrong", &["doctor", "--only", "clerk"]),
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_a b", &["trigger"]),
    ] {
        let ran = relayctl().env(name, value).run(command);
        assert_ne!(ran.code, 0, "{command:?}: {}", ran.all());
        let said = ran.all();
        assert!(said.contains(place(name)), "{name} {command:?}: {said}");
    }
}

#[test]
fn a_domain_that_has_mail_is_no_place_for_the_account() {
    let says = place("NYLAS_EMAIL");
    assert!(says.contains("a subdomain") && says.contains("MX record"));
    let dashboards = ["dashboard.nylas.com", "dashboard.clerk.com"];
    for (name, place) in &PLACES[..5] {
        let is_named = dashboards.iter().any(|dashboard| place.contains(dashboard));
        assert!(is_named, "{name}: {place}");
    }
}
