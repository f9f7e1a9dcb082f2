//! The queue of sign-in mails: what it does when it stands still, when people press "resend", and when everybody signs
//! in at once.

use simulator::{
    choices::{Choices, Exhaustive},
    sabotage::Sabotage,
    scenario::{Outcome, Stage, run},
};

/// Plays it without a fault.
fn undisturbed(stage: &Stage) -> Outcome {
    let path = Exhaustive::new(0).script().cloned().unwrap();
    run(stage, Choices::scripted(path), false)
}

fn with(sabotage: Sabotage, stage: Stage) -> Outcome {
    undisturbed(&Stage {
        sabotage: Some(sabotage),
        ..stage
    })
}

/// Users who sign in during the first minute of it may not get their code. All others do: at once where Nylas accepts
/// it, or when Clerk repeats the webhook.
#[test]
fn a_queue_that_stands_still_costs_no_code_that_is_answered_after_the_first_minute() {
    let outcome = undisturbed(&Stage::standstill());
    assert_eq!(outcome.violations, Vec::<String>::new());
    let lost = outcome.messages - outcome.sent;
    println!("{lost} of {} codes are lost", outcome.messages);
    assert!((1..=7).contains(&lost), "{lost} codes are lost");
    assert_eq!(outcome.expired, lost);
}

/// Without the marker every code is answered 200 `queued` and lost, so the test above can fail.
#[test]
fn a_queue_that_stands_still_unnoticed_costs_every_code_that_goes_through_it() {
    let outcome = with(Sabotage::NoStandstill, Stage::standstill());
    assert!(!outcome.violations.is_empty());
    assert!(outcome.messages - outcome.sent >= 17, "{outcome:?}");
}

#[test]
fn of_the_codes_of_one_user_that_wait_only_the_newest_is_sent() {
    let outcome = undisturbed(&Stage::resends());
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!((outcome.sent, outcome.superseded), (1, 5));
    assert!(outcome.is_newest_sent);
}

/// Reads are stale, writes are lost, messages come twice and late, instances crash.
#[test]
fn whatever_fails_nobody_is_left_without_the_newest_code() {
    let (mut superseded, mut sent, mut newest_sent) = (0, 0, 0);
    for seed in 0..2_000 {
        let outcome = run(&Stage::resends(), Choices::random(seed, 30), false);
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        superseded += outcome.superseded;
        sent += outcome.sent;
        newest_sent += u32::from(outcome.is_newest_sent);
    }
    println!("{sent} codes were sent, {superseded} superseded, the newest in {newest_sent} runs");
    assert!(superseded > 2_000, "{superseded}");
    // In the others an account refused it, or a fault kept it until it had expired; each has such an end.
    assert!(newest_sent > 1_900, "{newest_sent}");
    let outcome = with(Sabotage::SupersedeAll, Stage::resends());
    assert!(!outcome.violations.is_empty(), "the mistake is not seen");
}

/// Cloudflare opens six connections for a batch. An older `wrangler.toml` asks for batches of ten.
#[test]
fn a_batch_never_asks_for_a_seventh_connection() {
    for over_smtp in [false, true] {
        for batch_size in [6, 10, 40] {
            let stage = Stage::rush(batch_size, over_smtp);
            let outcome = undisturbed(&stage);
            assert_eq!(outcome.violations, Vec::<String>::new());
            assert_eq!(outcome.sent, 40);
            for seed in 0..50 {
                let outcome = run(&stage, Choices::random(seed, 30), false);
                assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
            }
        }
        let outcome = with(Sabotage::WholeBatchAtOnce, Stage::rush(10, over_smtp));
        assert!(!outcome.violations.is_empty(), "the mistake is not seen");
    }
}
