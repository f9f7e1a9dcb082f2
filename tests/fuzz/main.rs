//! What strangers send, in more forms than anybody can think of: nothing panics, and what must hold holds.
//!
//! `make test` executes the corpus and a few thousand inputs more of each target; `make fuzz` as many as one likes,
//! with a build that counts the relay's steps, so that inputs which reach new code are kept and changed further.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod choices;
mod coverage;
mod event;
mod fuzzer;
mod html;
mod notification;
mod redaction;
mod webhook;

use fuzzer::Target;
use std::{env, path::Path};

const TARGETS: &[Target] = &[
    Target {
        name: "webhook",
        execute: webhook::execute,
        grows: None,
        words: webhook::WORDS,
    },
    Target {
        name: "event",
        execute: event::execute,
        grows: None,
        words: event::WORDS,
    },
    Target {
        name: "notification",
        execute: notification::execute,
        grows: None,
        words: notification::WORDS,
    },
    Target {
        name: "redaction",
        execute: redaction::execute,
        grows: Some(redaction::body),
        words: redaction::WORDS,
    },
    Target {
        name: "html",
        execute: html::execute,
        grows: Some(html::body),
        words: html::WORDS,
    },
];

fn main() {
    let setting = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let number = |name: &str| setting(name).map(|value| value.parse().expect(name));
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let only = setting("FUZZ_TARGET");
    let more = setting("FUZZ_CORPUS");
    let mut targets = TARGETS
        .iter()
        .filter(|target| only.as_deref().is_none_or(|only| only == target.name))
        .peekable();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert!(
        targets.peek().is_some(),
        "FUZZ_TARGET is one of {}",
        names.join(", ")
    );
    for target in targets {
        match setting("FUZZ_INPUT") {
            Some(file) => fuzzer::replay(target, Path::new(&file)),
            None => fuzzer::run(
                target,
                number("FUZZ_EXECUTIONS").unwrap_or(20_000),
                seed,
                more.as_deref().map(Path::new),
            ),
        }
    }
}
