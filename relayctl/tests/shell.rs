//! What makes `relayctl` at home in a shell: completions, manual pages, examples, and the relay of `make dev`.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use clap::CommandFactory;
use common::{ADMIN_TOKEN, Answer, FakeRelay, Folder, Relayctl, SECRET};
use serde_json::json;
use std::sync::Arc;

fn commands() -> Vec<String> {
    let command = relayctl::cli::Cli::command();
    let names = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned());
    names.collect()
}

#[test]
fn every_command_has_examples_that_the_command_line_accepts() {
    for name in commands() {
        let command = relayctl::cli::Cli::command();
        let help = command
            .get_subcommands()
            .find(|one| one.get_name() == name)
            .and_then(|one| one.get_after_help())
            .unwrap()
            .to_string();
        let examples: Vec<&str> = help
            .lines()
            .skip(1)
            .take_while(|line| !line.is_empty())
            .collect();
        assert!(!examples.is_empty(), "{name}: {help}");
        for example in examples {
            // What follows three spaces explains it; what follows a pipe or `>` is the shell's.
            let typed = example.trim().split("   ").next().unwrap();
            let typed = typed.split(['|', '>']).next().unwrap();
            let words = typed.split_whitespace().map(|word| word.trim_matches('\''));
            if typed.contains("-H '") {
                continue; // Quoted words.
            }
            let parsed = relayctl::cli::Cli::command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn each_shell_gets_a_script_that_knows_every_command() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = Relayctl::new(&folder.0)
            .run(&["completions", shell])
            .well()
            .out;
        for name in commands() {
            assert!(script.contains(&name), "{shell}: {name}");
        }
        assert!(script.contains("hostile"), "{shell}");
    }
    let script = Relayctl::new(&folder.0).run(&["completions", "bash"]).out;
    let file = folder.write("relayctl.bash", script);
    let bash = std::process::Command::new("bash")
        .arg("-n")
        .arg(file)
        .status();
    assert!(bash.is_ok_and(|status| status.success()));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    let first = Relayctl::new(&folder.0).run(&["man"]).well().out;
    assert!(first.contains(".TH relayctl 1"), "{first}");
    let ran = Relayctl::new(&folder.0)
        .run(&["man", "--out", "pages", "--json"])
        .well();
    let pages = ran.json()["pages"].as_array().unwrap().len();
    assert_eq!(pages, commands().len() + 1);
    for name in commands() {
        let page = folder.read(&format!("pages/relayctl-{name}.1"));
        assert!(page.contains("Examples:"), "{name}: {page}");
    }
}

#[test]
fn local_is_the_relay_of_make_dev() {
    let folder = Folder::new();
    let nobody = Relayctl::new(&folder.0).run(&["--local", "status"]);
    assert_eq!(nobody.code, 2, "{}", nobody.all());
    assert!(nobody.err.contains("make dev"), "{}", nobody.err);

    let relay = FakeRelay {
        admin: Some(Arc::new(|_: &common::Asked| {
            Answer::json(200, &json!({"version": "0.3.0", "deliveries": {"sent": 3}}))
        })),
        ..FakeRelay::default()
    }
    .start();
    let profile = format!(
        "RELAY_URL={}\nADMIN_TOKEN={ADMIN_TOKEN}\nCLERK_WEBHOOK_SIGNING_SECRET={SECRET}\n",
        relay.url
    );
    folder.write(".wrangler/relay-local.env", profile);
    // From a folder below, too, and in place of what else is set.
    std::fs::create_dir_all(folder.0.join("below")).unwrap();
    let relayctl = Relayctl::new(&folder.0.join("below")).env("RELAY_URL", "http://127.0.0.1:1");
    for arguments in [&["--local", "status"][..], &["status", "--local"]] {
        let ran = relayctl.run(arguments).well();
        assert!(ran.out.contains("3 sent"), "{}", ran.out);
    }
    relayctl.run(&["trigger", "--local"]).well();
    assert_eq!(
        relayctl.run(&["status"]).code,
        2,
        "without it there is no token"
    );
    let setup = relayctl.run(&["--local", "setup"]);
    assert_eq!(setup.code, 2, "{}", setup.all());
}
