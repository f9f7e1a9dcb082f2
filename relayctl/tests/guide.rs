//! The commands in the pages that people follow are ones that `relayctl` accepts, with what the pages say they need.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use clap::{CommandFactory, error::ErrorKind};
use common::{API_KEY, CLERK_KEY, FakeRelay, Folder, Relayctl, clerk::PlayedClerk};
use nylas_stand_in::{Account, Options, StandIn};

const DEPLOY: &str = include_str!("../../docs/deploy.md");
/// How a command is refused that lacks its end.
const LEFT_OUT: [ErrorKind; 3] = [
    ErrorKind::MissingRequiredArgument,
    ErrorKind::MissingSubcommand,
    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
];
/// Each with a command that is in it, so that a page which is not read is noticed.
const PAGES: [(&str, &str, &str); 6] = [
    (
        "README.md",
        include_str!("../../README.md"),
        "relayctl setup",
    ),
    (
        "docs/deploy.md",
        DEPLOY,
        "relayctl templates take verification_code",
    ),
    (
        "docs/faq.md",
        include_str!("../../docs/faq.md"),
        "relayctl suppression check ADDRESS",
    ),
    (
        "docs/operations.md",
        include_str!("../../docs/operations.md"),
        "relayctl templates give-back --all",
    ),
    (
        "docs/replies.md",
        include_str!("../../docs/replies.md"),
        "relayctl setup --only webhook",
    ),
    (
        "docs/security.md",
        include_str!("../../docs/security.md"),
        "relayctl setup",
    ),
];

/// The commands of `relayctl` in a page, without comments: those in its blocks, and those that its sentences name.
fn commands(page: &str) -> (Vec<String>, Vec<String>) {
    let (mut typed, mut named) = (Vec::new(), Vec::new());
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            typed.extend(part.lines().filter_map(command));
        } else {
            named.extend(part.split('`').skip(1).step_by(2).filter_map(command));
        }
    }
    (typed, named)
}

fn command(code: &str) -> Option<String> {
    let words: Vec<&str> = code
        .split("  #")
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let command = words
        .join(" ")
        .replacen("cargo run -p relayctl --", "relayctl", 1);
    command.starts_with("relayctl ").then_some(command)
}

fn refusal(command: &str) -> Option<clap::Error> {
    let parsed = relayctl::cli::Cli::command().try_get_matches_from(command.split(' '));
    parsed.err()
}

#[test]
fn every_command_of_the_guides_is_one_that_relayctl_accepts() {
    for (name, page, one) in PAGES {
        let (typed, named) = commands(page);
        let has = |command: &String| command == one;
        assert!(
            typed.iter().chain(&named).any(has),
            "{name}: {typed:?} {named:?}"
        );
        for command in typed {
            let refusal = refusal(&command);
            assert!(refusal.is_none(), "{name}: {command}: {}", refusal.unwrap());
        }
        for command in named {
            // A sentence may leave out what follows: `relayctl redrive`.
            let refusal = refusal(&command).filter(|error| !LEFT_OUT.contains(&error.kind()));
            assert!(refusal.is_none(), "{name}: {command}: {}", refusal.unwrap());
        }
    }
}

#[test]
fn a_slip_in_a_guide_is_found() {
    let (typed, named) =
        commands("Run `relayctl guard lfit G`:\n```sh\nrelayctl redrive  # all\n```\n`make dev`");
    assert_eq!(typed, ["relayctl redrive"]);
    assert_eq!(named, ["relayctl guard lfit G"]);
    assert!(refusal(&typed[0]).is_some());
    assert!(!LEFT_OUT.contains(&refusal(&named[0]).unwrap().kind()));
}

/// The first template: as the guide has it, in the folder that was deployed, with the settings that it exports.
#[test]
fn taking_a_template_needs_what_the_guide_exports_and_no_more() {
    let (_, exported) = DEPLOY.split_once("   export ").unwrap();
    let exported = exported.lines().next().unwrap().split(' ');
    let names: Vec<&str> = exported.map(|one| one.split_once('=').unwrap().0).collect();
    assert_eq!(names.len(), 3);
    let account = Account {
        grant_id: "g1".into(),
        email: "login@acme.example".into(),
        name: None,
    };
    let nylas = StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap();
    let relay = FakeRelay::default().start();
    let value = |name: &str| match name {
        "CLERK_SECRET_KEY" => CLERK_KEY.to_owned(),
        "NYLAS_API_KEY" => API_KEY.to_owned(),
        "RELAY_URL" => relay.url.clone(),
        other => panic!("{other} is not known here"),
    };
    for left_out in names.iter().copied().map(Some).chain([None]) {
        let (folder, clerk) = (Folder::new(), PlayedClerk::start(CLERK_KEY, &[]));
        folder.write("wrangler.toml", "[vars]\nNYLAS_GRANT_ID = \"g1\"\n");
        let mut relayctl = Relayctl::new(&folder.0)
            .env("CLERK_API_BASE", &clerk.url)
            .env("NYLAS_API_BASE", nylas.base_url());
        for name in names.iter().filter(|name| Some(**name) != left_out) {
            relayctl = relayctl.env(name, value(name));
        }
        // Clerk is played with templates of other names.
        let ran = relayctl.run(&["templates", "take", "of_clerk_1"]);
        match left_out {
            None => assert!(ran.well().out.contains("of_clerk_1")),
            Some(name) => assert!(
                ran.code == 2 && ran.err.contains(name),
                "{name}: {}",
                ran.all()
            ),
        }
    }
}
