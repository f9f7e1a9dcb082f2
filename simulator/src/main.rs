//! The simulator's commands.
//!
//! - `simulator seed N` plays one run and prints its trace.
//! - `simulator soak MESSAGES [FIRST_SEED]` plays one seed after the other, until so many messages were played.
//! - `simulator explore FAULTS` plays every path of one message with up to so many faults.

use simulator::{
    replies::Writer,
    scenario::{Stage, all_stages, explore, run, run_seed, shrink},
};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    match (arguments.first().map(String::as_str), number(1)) {
        (Some("seed"), Some(seed)) => one(seed),
        (Some("soak"), Some(messages)) => soak(messages, number(2).unwrap_or(1)),
        (Some("explore"), Some(faults)) => paths(faults),
        _ => {
            eprintln!("usage: simulator seed N | soak MESSAGES [FIRST_SEED] | explore FAULTS");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64) -> ExitCode {
    let mut outcome = run_seed(seed, None, true);
    if !outcome.violations.is_empty() {
        let faults = outcome.faults.len();
        outcome = shrink(seed, None);
        println!("of {faults} faults {} are needed:", outcome.faults.len());
    }
    for line in &outcome.trace {
        println!("{line}");
    }
    println!(
        "{} violations, residual {}",
        outcome.violations.len(),
        outcome.residual
    );
    ExitCode::from(u8::from(!outcome.violations.is_empty()))
}

fn soak(messages: u64, first_seed: u64) -> ExitCode {
    let (mut played, mut sent, mut expired, mut calls_max) = (0, 0, 0, 0);
    let (mut residual, mut changed, mut hung_up) = (0, 0, 0);
    let (mut overlapping, mut blind) = (0, 0);
    let mut seed = first_seed;
    while played < messages {
        let outcome = run_seed(seed, None, false);
        played += u64::from(outcome.messages);
        sent += u64::from(outcome.sent);
        expired += u64::from(outcome.expired);
        residual += u64::from(outcome.residual);
        changed += u64::from(outcome.changed);
        hung_up += u64::from(outcome.hung_up);
        overlapping += u64::from(outcome.overlapping);
        blind += u64::from(outcome.blind);
        calls_max = calls_max.max(outcome.calls_max);
        if !outcome.violations.is_empty() {
            for violation in &outcome.violations {
                println!("seed {seed}: {violation}");
            }
            println!("replay it with: cargo run --release -p simulator -- seed {seed}");
            return ExitCode::FAILURE;
        }
        seed += 1;
        if seed.is_multiple_of(100_000) {
            println!("{played} messages, seed {seed}");
        }
    }
    println!(
        "{played} messages in {} runs: {sent} sent, {expired} expired; twice: {residual} after a \
         refusal that was not kept, {changed} after a change of accounts, {hung_up} after a freed key, \
         over SMTP {overlapping} at the same moment and {blind} blindly; at most {calls_max} requests for one",
        seed - first_seed
    );
    ExitCode::SUCCESS
}

fn paths(faults: u64) -> ExitCode {
    let faults = usize::try_from(faults).unwrap();
    let mut total = 0;
    let mut stages = all_stages("verification_code");
    stages.extend(Writer::ALL.map(Stage::incoming));
    stages.extend([1, 2].map(|accounts| Stage::hearing(accounts, true)));
    stages.extend([1, 2].map(|accounts| Stage::hearing(accounts, false)));
    for stage in stages {
        let explored = explore(&stage, faults);
        total += explored.paths;
        println!(
            "{:?}, {} accounts: {} paths, {} residual",
            stage.rules, stage.accounts, explored.paths, explored.residual
        );
        if let Some((ways, violations)) = explored.first_violation {
            let outcome = run(&stage, simulator::choices::Choices::scripted(ways), true);
            for line in outcome.trace {
                println!("{line}");
            }
            println!("{violations:?}");
            return ExitCode::FAILURE;
        }
    }
    println!("{total} paths with at most {faults} faults");
    ExitCode::SUCCESS
}
