//! Somebody signs up every second with made-up addresses, at one company's domain or at a thousand, while people sign
//! in. Under 0.2.0 five such bounces stopped every mail to the company. With each bounce come bounces and complaints
//! that are out of place: they name somebody who signs in, and no mail to them. Under 0.2.0 those locked people out.

use simulator::{
    choices::{Choices, Exhaustive},
    sabotage::Sabotage,
    scenario::{Outcome, Stage, run},
};

fn undisturbed(stage: &Stage) -> Outcome {
    let path = Exhaustive::new(0).script().cloned().unwrap();
    run(stage, Choices::scripted(path), false)
}

#[test]
fn whoever_had_a_mail_delivered_gets_every_code_whatever_others_sign_up_with() {
    for domains in [1, 1000] {
        let outcome = undisturbed(&Stage::sign_ups(domains, 3));
        assert_eq!(outcome.violations, Vec::<String>::new());
        let (regulars, sent) = outcome.sign_ups["regular"];
        assert_eq!((regulars, sent), (1900, 1900));
        let (attempts, bounces) = outcome.sign_ups["made-up"];
        let (newcomers, welcomed) = outcome.sign_ups["newcomer"];
        println!(
            "{domains} domains: {bounces} of {attempts} made-up addresses got a mail, and {welcomed} of {newcomers} \
             newcomers"
        );
        assert!(bounces < 200, "{bounces} bounces");
        assert!(welcomed >= 75, "{welcomed} newcomers");
    }
}

/// With either mistake the same attack locks people out, so the test above can fail.
#[test]
fn without_proofs_or_if_a_bounce_counts_whomever_it_names_people_are_refused() {
    for sabotage in [Sabotage::NoProofs, Sabotage::AnyRecipientCounts] {
        let stage = Stage {
            sabotage: Some(sabotage),
            ..Stage::sign_ups(1, 3)
        };
        let (regulars, sent) = undisturbed(&stage).sign_ups["regular"];
        assert!(sent < regulars, "{sabotage:?}: {sent} of {regulars}");
    }
}

/// Late reads, lost writes, crashes: the guard is a count without a lock, and nobody proven pays for that.
#[test]
fn whatever_fails_nobody_proven_is_refused() {
    for seed in 0..3 {
        let mut stage = Stage::sign_ups(1000, 3);
        stage.calm_after = 60 * 3_600_000;
        let outcome = run(&stage, Choices::random(seed, 10), false);
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        let (_, bounces) = outcome.sign_ups["made-up"];
        println!("seed {seed}: {bounces} bounces, {:?}", outcome.sign_ups);
        assert!(bounces < 350, "{bounces} bounces");
    }
}
