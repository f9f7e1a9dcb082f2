//! The pieces. The rule as a whole is the simulator's to judge.

use super::*;

const NOW: UnixMillis = UnixMillis(1_764_000_000_000);

fn accounts(names: &[&str]) -> Vec<Account> {
    names
        .iter()
        .map(|name| Account {
            grant_id: GrantId::parse(name).unwrap(),
            email: Some(format!("auth@{name}.example")),
            name: None,
        })
        .collect()
}

fn first(accounts: &[Account], recipient: u32) -> &GrantId {
    order(accounts, &format!("user{recipient}@example.com"))[0]
}

#[test]
fn a_recipients_order_is_its_own_and_the_case_does_not_matter() {
    let three = accounts(&["g1", "g2", "g3"]);
    assert_eq!(order(&three, "a@b.c"), order(&three, "A@B.C"));
    let share = (0..3_000)
        .filter(|user| first(&three, *user).as_str() == "g1")
        .count();
    assert!((900..1_100).contains(&share), "g1 has {share} of 3000");
}

#[test]
fn the_order_of_the_setting_does_not_matter() {
    let (one, other) = (accounts(&["g1", "g2", "g3"]), accounts(&["g3", "g1", "g2"]));
    for user in 0..100 {
        assert_eq!(first(&one, user), first(&other, user));
    }
}

#[test]
fn a_new_account_takes_only_what_becomes_its_own() {
    let (before, after) = (accounts(&["g1", "g2"]), accounts(&["g1", "g2", "g3"]));
    for user in 0..1_000 {
        let now = first(&after, user);
        assert!(now == first(&before, user) || now.as_str() == "g3");
    }
}

fn walk(trail: &Trail) -> Vec<(&str, u32)> {
    let slots = trail.slots().iter();
    slots
        .map(|slot| (slot.account.as_str(), slot.generation))
        .collect()
}

fn ids(accounts: &[Account]) -> Vec<&GrantId> {
    accounts.iter().map(|account| &account.grant_id).collect()
}

#[test]
fn a_trail_goes_through_all_accounts_before_the_next_generation() {
    let two = accounts(&["g1", "g2"]);
    let mut trail = Trail::default();
    trail.begin(&ids(&two), NOW);
    trail.begin(&ids(&two), NOW);
    for _ in 0..3 {
        assert!(trail.step(&ids(&two)));
    }
    assert_eq!(walk(&trail), [("g1", 0), ("g2", 0), ("g1", 1), ("g2", 1)]);
}

#[test]
fn a_trail_avoids_accounts_at_fault_while_there_are_others() {
    let two = accounts(&["g1", "g2"]);
    let mut trail = Trail::default();
    trail.begin(&ids(&two), NOW);
    assert!(trail.step_off_account(&ids(&two)) && trail.step(&ids(&two)));
    assert_eq!(walk(&trail), [("g1", 0), ("g2", 0), ("g2", 1)]);
    assert!(!trail.step_off_account(&ids(&two)), "nobody else is left");
    assert!(trail.step_anywhere(&ids(&two)));
    assert_eq!(walk(&trail).last(), Some(&("g1", 1)));
}

#[test]
fn a_change_of_the_configuration_does_not_part_two_trails() {
    let (before, after) = (accounts(&["g1", "g2"]), accounts(&["g3", "g2"]));
    let mut trail = Trail::default();
    trail.begin(&ids(&before), NOW);
    for _ in 0..3 {
        trail.step(&ids(&after));
    }
    // g1 is left after one question; g3 is for mails to come.
    assert_eq!(walk(&trail), [("g1", 0), ("g2", 0), ("g2", 1), ("g2", 2)]);
}

#[test]
fn settling_begins_once() {
    let mut trail = Trail::default();
    trail.begin(&ids(&accounts(&["g1"])), NOW);
    trail.settle_from(UnixMillis(5));
    trail.settle_from(UnixMillis(9));
    assert_eq!(trail.current().unwrap().settling_since, Some(UnixMillis(5)));
}

#[test]
fn a_mail_whose_accounts_are_all_gone_goes_to_those_configured_since() {
    let mut trail = Trail::default();
    trail.begin(&ids(&accounts(&["g1"])), NOW);
    assert!(trail.step(&ids(&accounts(&["g2"]))));
    assert_eq!(walk(&trail), [("g1", 0), ("g2", 0)]);
}

#[test]
fn a_trail_whose_keys_may_be_forgotten_sets_out_anew() {
    let two = accounts(&["g1", "g2"]);
    let mut trail = Trail::default();
    trail.begin(&ids(&two), NOW);
    trail.step(&ids(&two));
    trail.begin(&ids(&two), NOW.plus(MINUTE * 54));
    assert_eq!(trail.slots().len(), 2);
    for minutes in [55, 56, 120] {
        trail.begin(&ids(&two), NOW.plus(MINUTE * minutes));
        assert_eq!(walk(&trail), [("g1", 0)]);
        trail.step(&ids(&two));
    }
}
