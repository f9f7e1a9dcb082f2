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

/// Every command, and every command of a command: its words, and its definition.
fn commands() -> Vec<(String, clap::Command)> {
    fn below(words: &str, command: &clap::Command) -> Vec<(String, clap::Command)> {
        let commands = command.get_subcommands();
        let each = commands.flat_map(|one| {
            let words = format!("{words} {}", one.get_name()).trim().to_owned();
            let own = below(&words, one);
            std::iter::once((words, one.clone())).chain(own)
        });
        each.collect()
    }
    let all = below("", &relayctl::cli::Cli::command());
    let has = |words: &str| all.iter().any(|(known, _)| known == words);
    assert!(has("suppression add") && has("guard lift") && has("templates take"));
    all
}

#[test]
fn every_command_has_examples_that_the_command_line_accepts() {
    for (name, command) in commands() {
        let help = command
            .get_after_help()
            .unwrap_or_else(|| panic!("{name} has no examples"))
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
            let is_of_it = typed.starts_with(&format!("relayctl {name}"));
            assert!(is_of_it, "{name}: {example}");
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
        for (name, _) in commands() {
            let word = name.rsplit(' ').next().unwrap();
            assert!(script.contains(word), "{shell}: {name}");
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
    for (name, _) in commands() {
        let name = name.replace(' ', "-");
        let page = folder.read(&format!("pages/relayctl-{name}.1"));
        assert!(page.contains("Examples:"), "{name}: {page}");
        let title = format!(".TH relayctl-{name} 1");
        assert!(page.contains(&title), "{title}: {page}");
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
