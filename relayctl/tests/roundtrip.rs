//! `relayctl roundtrip`: one mail from the account to itself.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{API_KEY, Folder, Relayctl};
use nylas_stand_in::{Account, AccountState, Action, Options, RequestKind, Rule, StandIn};
use serde_json::json;

const ADDRESS: &str = "login@acme.example";

fn nylas() -> StandIn {
    let account = Account {
        grant_id: "g1".into(),
        email: ADDRESS.into(),
        name: Some("Acme".into()),
    };
    StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap()
}

fn relayctl(folder: &Folder, nylas: &StandIn) -> Relayctl {
    Relayctl::new(&folder.0)
        .env("NYLAS_API_BASE", nylas.base_url())
        .env("NYLAS_API_KEY", API_KEY)
        .env("NYLAS_GRANT_ID", "g1")
}

#[test]
fn a_mail_comes_back_and_is_in_sent() {
    let (folder, nylas) = (Folder::new(), nylas());
    let ran = relayctl(&folder, &nylas).run(&["roundtrip", "--json", "--wait", "20"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let document = ran.json();
    assert_eq!(document["address"], ADDRESS);
    assert!(
        document["sent_ms"].is_number() && document["inbox_ms"].is_number(),
        "{document}"
    );
}

#[test]
fn the_key_of_dev_vars_goes_to_the_address_beside_it() {
    let (folder, nylas) = (Folder::new(), nylas());
    // Nobody listens there: what is asked there fails.
    let elsewhere = "[vars]\nNYLAS_API_BASE = \"http://127.0.0.1:1\"\nNYLAS_GRANT_ID = \"g2\"\n";
    let beside = format!(
        "NYLAS_API_KEY=\"{API_KEY}\"\nNYLAS_API_BASE=\"{}\"\nNYLAS_GRANT_ID=g1\n",
        nylas.base_url()
    );
    folder.write(".dev.vars", &beside);
    let roundtrip = ["roundtrip", "--json", "--wait", "20"];
    Relayctl::new(&folder.0).run(&roundtrip).well();
    folder.write("wrangler.toml", elsewhere);
    Relayctl::new(&folder.0).run(&roundtrip).well();
    let doctor = Relayctl::new(&folder.0).run(&["doctor", "--only", "config,nylas"]);
    assert!(
        doctor.out.contains(&format!("g1 is {ADDRESS}"))
            && doctor.out.contains("NYLAS_GRANT_ID=g1 from .dev.vars"),
        "{}",
        doctor.all()
    );
    // The environment comes first, as it does for the key.
    let refused = Relayctl::new(&folder.0)
        .env("NYLAS_API_BASE", "http://127.0.0.1:1")
        .run(&roundtrip);
    assert!(
        refused.out.contains("nothing listens at 127.0.0.1:1"),
        "{}",
        refused.all()
    );
}

#[test]
fn a_mail_that_does_not_come_back_is_a_failure() {
    let (folder, nylas) = (Folder::new(), nylas());
    // Nylas accepts the mail and loses it.
    nylas.script(Rule {
        grant_id: None,
        recipient: Some(ADDRESS.into()),
        key_prefix: None,
        kind: RequestKind::Send,
        times: None,
        action: Action::Answer {
            status: 200,
            body: json!({"data": {}}),
            headers: Vec::new(),
            accept_mail: false,
            keep: true,
        },
    });
    let ran = relayctl(&folder, &nylas).run(&["roundtrip", "--wait", "1"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("in Sent after")
            && ran.out.contains("in inbox after 1 s")
            && ran.out.contains("fix:"),
        "{}",
        ran.out
    );
}

#[test]
fn nylas_refusals_are_said() {
    let (folder, nylas) = (Folder::new(), nylas());
    nylas.set_account_state("g1", AccountState::Paused);
    let paused = relayctl(&folder, &nylas).run(&["roundtrip"]);
    assert_eq!(paused.code, 1);
    assert!(paused.err.contains("paused"), "{}", paused.err);
    for (from, args) in [
        ("the environment", &["roundtrip"][..]),
        (".dev.vars", &["roundtrip"]),
        ("key.txt", &["roundtrip", "--key-file", "key.txt"]),
        (".dev.vars", &["doctor", "--only", "nylas"]),
    ] {
        let mut relayctl = relayctl(&folder, &nylas);
        let folder = Folder::new();
        relayctl.folder = folder.0.clone();
        match from {
            "the environment" => relayctl = relayctl.env("NYLAS_API_KEY", "wrong"),
            file => {
                relayctl.env.remove("NYLAS_API_KEY");
                folder.write(file, "NYLAS_API_KEY=wrong\n");
            }
        }
        let wrong = relayctl.run(args);
        let said = wrong.all();
        assert!(
            wrong.code == 1 && said.contains("401") && !said.contains("wrong"),
            "{said}"
        );
        let key = format!("the NYLAS_API_KEY from {from}");
        assert!(said.contains(&key), "{key}: {said}");
    }
    assert_eq!(
        Relayctl::new(&folder.0)
            .env("NYLAS_API_KEY", API_KEY)
            .run(&["roundtrip"])
            .code,
        2
    );
}
