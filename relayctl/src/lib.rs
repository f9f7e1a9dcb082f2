//! `relayctl`: sets up, checks, tries out and repairs a clerk-nylas-relay. See `docs/relayctl.md`.
//!
//! Each command has a module. The commands share [`http`] (outgoing requests), [`secrets`] (where secrets come from),
//! [`ui`] (what is printed) and [`failure`] (errors).

// Outside tests it is denied: see `[workspace.lints]`.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod admin;
pub mod cli;
pub mod clock;
pub mod dns;
pub mod doctor;
mod examples;
pub mod failure;
pub mod http;
pub mod local;
pub mod near;
pub mod nylas;
pub mod places;
pub mod project;
pub mod protection;
pub mod prove;
pub mod recipients;
pub mod roundtrip;
pub mod sample;
pub mod secrets;
pub mod setup;
pub mod shell;
pub mod sign;
pub mod smtp;
pub mod templates;
pub mod trigger;
pub mod ui;
pub mod verify;
pub mod wait;
pub mod wrangler;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use failure::Failure;
use http::Http;
use std::time::Duration;
use ui::Ui;

/// Runs the command line of this process and returns its exit code.
pub fn run() -> u8 {
    if let Some(code) = local::rerun() {
        return code;
    }
    let cli = Cli::parse();
    let ui = Ui { json: cli.json };
    let http = Http::new(Duration::from_secs(cli.timeout));
    let done = match &cli.command {
        Command::Setup(_) if local::is_local() => Err(Failure::usage(
            "setup makes a relay at Cloudflare; the one of `make dev` is there already",
            "leave out --local",
        )),
        Command::Setup(args) => setup::run(args, &http, &ui),
        Command::Roundtrip(args) => roundtrip::run(args, &http, &ui),
        Command::Trigger(args) => trigger::run(args, &http, &ui),
        Command::Verify(args) => verify::run(args, &ui),
        Command::Doctor(args) => doctor::run(args, &http, &ui),
        Command::Prove(args) => prove::run(args, &http, &ui),
        Command::Templates(args) => templates::run(args, &http, &ui),
        Command::Status(args) => admin::status(args, &http, &ui),
        Command::List(args) => admin::run_list(args, &http, &ui),
        Command::Tail(args) => admin::tail(args, &http, &ui),
        Command::Redrive(args) => admin::redrive(args, &http, &ui),
        Command::Suppression(args) => recipients::suppression(args, &http, &ui),
        Command::Guard(args) => recipients::guard(args, &http, &ui),
        Command::Inspect(args) => admin::inspect(args, &http, &ui),
        Command::Completions(args) => shell::completions(args, Cli::command()),
        Command::Man(args) => shell::man(args, Cli::command(), &ui),
    };
    match done {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(failure) => {
            ui.failure(&failure);
            failure.exit_code()
        }
    }
}
