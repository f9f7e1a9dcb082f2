//! Strangers write to the mailbox, whose address is public, while users sign in. In 0.2.0 two hundred of their mails
//! used up the account's day by being forwarded.

use simulator::{
    choices::{Choices, Exhaustive},
    sabotage::Sabotage,
    scenario::{Outcome, Stage, run},
};

/// Instances of the Worker that work at the same time, each with its own memory.
const INSTANCES: u32 = 3;

/// Plays it without a fault.
fn undisturbed(stage: &Stage) -> Outcome {
    let path = Exhaustive::new(0).script().cloned().unwrap();
    run(stage, Choices::scripted(path), false)
}

/// Every sign-in mail is sent, and within its usual time.
fn assert_unharmed(outcome: &Outcome) {
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!((outcome.sent, outcome.messages), (50, 50));
    assert!(outcome.slowest < 2_000, "{} ms", outcome.slowest);
}

#[test]
fn a_flood_of_one_sender_reaches_people_five_times() {
    for accounts in [1, 2] {
        let outcome = undisturbed(&Stage::flood(1, accounts, INSTANCES));
        assert_unharmed(&outcome);
        assert_eq!((outcome.forwarded, outcome.handed_on), (5, 5));
        assert_eq!(outcome.alerts, 1);
    }
}

/// Ten in an hour. The flood begins in one hour and ends in the next.
#[test]
fn a_flood_of_many_senders_reaches_people_ten_times_an_hour() {
    for accounts in [1, 2] {
        let outcome = undisturbed(&Stage::flood(200, accounts, INSTANCES));
        assert_unharmed(&outcome);
        assert!((10..=20).contains(&outcome.forwarded), "{outcome:?}");
        assert_eq!(outcome.forwarded, outcome.handed_on);
        assert_eq!(outcome.alerts, 1);
    }
}

/// The ledger shows a minute late what was counted, misses it, or refuses to store it; instances crash. Each instance
/// alone stays within the budget, so the bound is one budget for each that works at the same time.
#[test]
fn whatever_fails_a_flood_is_bounded_by_one_budget_for_each_instance() {
    let (mut most, mut alerts) = (0, 0);
    for seed in 0..40 {
        for senders in [1, 200] {
            let budget = if senders == 1 { 5 } else { 20 };
            let stage = Stage::flood(senders, 2, INSTANCES);
            let outcome = run(&stage, Choices::random(seed, 30), false);
            assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
            let worst = outcome.forwarded.max(outcome.handed_on);
            assert!(worst <= budget * INSTANCES, "seed {seed}: {worst}");
            assert!(outcome.alerts <= INSTANCES, "seed {seed}");
            most = most.max(outcome.forwarded);
            alerts = alerts.max(outcome.alerts);
        }
    }
    println!("with faults: at most {most} forwards, and {alerts} records of the same alert");
}

/// Without budgets the same flood leaves users without their codes, so these tests can fail.
#[test]
fn without_budgets_a_flood_uses_up_the_day() {
    let stage = Stage {
        sabotage: Some(Sabotage::NoBudgets),
        ..Stage::flood(200, 1, INSTANCES)
    };
    let outcome = undisturbed(&stage);
    assert!(outcome.forwarded > 40 && outcome.sent < 50, "{outcome:?}");
}
