//! Clerk takes over: a stream of codes, accounts that are paused, and a relay that hands the templates back. One Svix
//! id is one mail over both senders, whatever fails in between; `scenario::run` checks that.

use simulator::{
    choices::{Choices, Exhaustive},
    executor::Millis,
    scenario::{ClerkApi, Outcome, Stage, explore, run},
};

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
/// When the accounts are paused.
const PAUSED_AT: Millis = MINUTE;

/// Clerk's API, well, and three templates that are left to the relay.
fn clerk() -> Option<ClerkApi> {
    Some(ClerkApi {
        templates: vec!["verification_code", "invitation", "password_changed"],
        outage: None,
    })
}

fn clerk_is_out(from: Millis, to: Millis) -> Option<ClerkApi> {
    let outage = Some((PAUSED_AT + from, PAUSED_AT + to));
    clerk().map(|clerk| ClerkApi { outage, ..clerk })
}

fn undisturbed(stage: &Stage) -> Outcome {
    let path = Exhaustive::new(0).script().cloned().unwrap();
    let outcome = run(stage, Choices::scripted(path), false);
    assert_eq!(outcome.violations, Vec::<String>::new());
    outcome
}

/// When the last template was switched, after the first code that met the pause.
fn switched_after(outcome: &Outcome, every: Millis) -> Millis {
    assert_eq!(outcome.switched.len(), 3, "{:?}", outcome.switched);
    let (last, _) = outcome.switched.last().unwrap();
    last - PAUSED_AT.next_multiple_of(every)
}

/// The figures of `docs/ways-out.md`: codes of one paused hour that nobody sent.
#[test]
fn a_pause_costs_the_first_codes_and_not_all() {
    for (every, lost_without, lost_with, switched_after_s) in [
        (10 * SECOND, 301, 2, [10, 10]),
        (45 * SECOND, 67, 2, [45, 45]),
        // Before there is a second mail, the first has met the pause for a minute.
        (5 * MINUTE, 10, 1, [80, 107]),
    ] {
        for accounts in [1, 2] {
            let without = undisturbed(&Stage::paused(every, HOUR, accounts, None));
            let with = undisturbed(&Stage::paused(every, HOUR, accounts, clerk()));
            println!(
                "a code every {} s, {accounts} accounts: of {} codes of the hour {} are lost without, {} with; the \
                 last \
                 template was switched {} s after the first of them",
                every / SECOND,
                HOUR / every,
                without.expired,
                with.expired,
                switched_after(&with, every) / SECOND,
            );
            // Those of the last ten minutes still live when the account is back.
            assert_eq!((without.expired, with.expired), (lost_without, lost_with));
            let after_s = switched_after(&with, every) / SECOND;
            assert!(after_s.abs_diff(switched_after_s[accounts as usize - 1]) <= 1);
            assert_eq!(with.sent + with.expired + with.by_clerk, with.messages);
        }
    }
}

/// Both instances queue a hand-back before the ledger shows either's; Clerk is told once.
#[test]
fn a_relay_of_many_instances_hands_back_once_or_twice() {
    for instances in [0, 1, 2, 5] {
        let mut stage = Stage::paused(SECOND, 5 * MINUTE, 1, clerk());
        stage.rules.instances = instances;
        let outcome = undisturbed(&stage);
        assert!(
            (1..=2).contains(&outcome.hand_backs),
            "{}",
            outcome.hand_backs
        );
        assert_eq!(outcome.switched.len(), 3, "each template once");
    }
}

#[test]
fn a_clerk_that_is_out_is_told_when_it_is_back() {
    let out = undisturbed(&Stage::paused(
        10 * SECOND,
        HOUR,
        1,
        clerk_is_out(0, 20 * MINUTE),
    ));
    let after = switched_after(&out, 10 * SECOND);
    assert!((20 * MINUTE..24 * MINUTE).contains(&after), "{after}");
    let codes = u32::try_from(after / (10 * SECOND)).unwrap();
    assert!(out.expired.abs_diff(codes) <= 2, "{} lost", out.expired);
}

/// Where the account is well before Clerk could be told, the mails that waited are sent, and the templates stay.
#[test]
fn an_account_that_is_back_first_keeps_the_templates() {
    let stage = Stage::paused(10 * SECOND, 4 * MINUTE, 1, clerk_is_out(0, 8 * MINUTE));
    let back = undisturbed(&stage);
    assert_eq!((back.expired, back.by_clerk), (0, 0));
    assert_eq!(back.switched, []);
    // After the mails that began it have expired, too.
    for pause in [11, 15, 19, 25] {
        let (pause, outage) = (pause * MINUTE, clerk_is_out(0, (pause + 5) * MINUTE));
        let back = undisturbed(&Stage::paused(10 * SECOND, pause, 1, outage));
        assert_eq!((back.by_clerk, back.switched), (0, Vec::new()));
    }
}

/// Clerk has the templates, and the account is back within the mails' TTL: those that waited are sent here, once.
#[test]
fn mails_under_way_at_the_switch_are_sent_here_if_the_account_is_back_in_time() {
    let back = undisturbed(&Stage::paused(10 * SECOND, 5 * MINUTE, 1, clerk()));
    assert_eq!(back.expired, 0);
    assert!(back.by_clerk >= 40, "{} by Clerk", back.by_clerk);
}

/// Four codes of a minute: every path with up to two faults, among them crashes between two templates, a Clerk that
/// fails having done it, messages delivered twice, and stale reads.
#[test]
fn every_path_with_up_to_two_faults_is_one_mail_from_one_side() {
    let mut paths = 0;
    for (length, codes, faults) in [(20 * SECOND, 4, 1), (HOUR, 4, 1), (20 * SECOND, 2, 2)] {
        let mut stage = Stage::paused(MINUTE, length, 1, clerk());
        stage.messages = [0, 5, 12, 100][..codes]
            .iter()
            .map(|second| ("verification_code", PAUSED_AT + second * SECOND))
            .collect();
        let explored = explore(&stage, faults);
        assert_eq!(explored.first_violation, None);
        paths += explored.paths;
    }
    println!("{paths} paths with up to two faults around a hand-back");
    assert!(paths > 100_000, "only {paths} paths: the search has shrunk");
}

/// Streams with many faults at once, pauses of any length, and a Clerk that is out for some of it.
#[test]
fn three_hundred_seeds_are_one_mail_from_one_side() {
    let (mut handed_back, mut by_clerk, mut expired, mut sent) = (0, 0, 0, 0);
    for seed in 0..300_u64 {
        let length = [20 * SECOND, 2 * MINUTE, 8 * MINUTE, 2 * HOUR][(seed % 4) as usize];
        let accounts = 1 + (seed / 4 % 2) as u32;
        let api = match seed / 8 % 3 {
            0 => clerk(),
            1 => clerk_is_out(0, 5 * MINUTE),
            _ => clerk_is_out(2 * SECOND, HOUR),
        };
        let mut stage = Stage::paused(40 * SECOND, length, accounts, api);
        stage.messages.truncate(40);
        stage.rules.instances = (seed % 3) as u32;
        let faults = [5, 30, 120][(seed / 5 % 3) as usize];
        let outcome = run(&stage, Choices::random(seed, faults), false);
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        handed_back += u32::from(outcome.switched.len() == 3);
        by_clerk += outcome.by_clerk;
        expired += outcome.expired;
        sent += outcome.sent;
    }
    println!(
        "{handed_back} hand-backs; {sent} codes sent here, {by_clerk} by Clerk, {expired} lost"
    );
    assert!(handed_back > 80, "{handed_back} hand-backs");
}
