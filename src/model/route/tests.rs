//! The parts of the rule. The simulator tests the rule as a whole.

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

fn to(recipient: &str) -> Email {
    Email {
        to: recipient.to_owned(),
        ..Email::sample()
    }
}

fn first(accounts: &[Account], recipient: u32) -> &GrantId {
    order(accounts, &to(&format!("user{recipient}@example.com")))[0]
}

#[test]
fn a_recipients_order_is_its_own_and_the_case_does_not_matter() {
    let three = accounts(&["g1", "g2", "g3"]);
    assert_eq!(order(&three, &to("a@b.c")), order(&three, &to("A@B.C")));
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

fn walk(route: &Route) -> Vec<(&str, u32)> {
    let hops = route.hops().iter();
    hops.map(|hop| (hop.account.as_str(), hop.generation))
        .collect()
}

fn ids(accounts: &[Account]) -> Vec<&GrantId> {
    accounts.iter().map(|account| &account.grant_id).collect()
}

#[test]
fn a_route_goes_through_all_accounts_before_the_next_generation() {
    let two = accounts(&["g1", "g2"]);
    let mut route = Route::default();
    route.start(&ids(&two), NOW);
    route.start(&ids(&two), NOW);
    for _ in 0..3 {
        assert!(route.advance(&ids(&two)));
    }
    assert_eq!(walk(&route), [("g1", 0), ("g2", 0), ("g1", 1), ("g2", 1)]);
}

#[test]
fn a_route_avoids_accounts_at_fault_while_there_are_others() {
    let two = accounts(&["g1", "g2"]);
    let mut route = Route::default();
    route.start(&ids(&two), NOW);
    assert!(route.leave_account(&ids(&two)) && route.advance(&ids(&two)));
    assert_eq!(walk(&route), [("g1", 0), ("g2", 0), ("g2", 1)]);
    assert!(!route.leave_account(&ids(&two)), "nobody else is left");
    assert!(route.advance_anywhere(&ids(&two)));
    assert_eq!(walk(&route).last(), Some(&("g1", 1)));
}

#[test]
fn a_change_of_the_configuration_does_not_part_two_routes() {
    let (before, after) = (accounts(&["g1", "g2"]), accounts(&["g3", "g2"]));
    let mut route = Route::default();
    route.start(&ids(&before), NOW);
    for _ in 0..3 {
        route.advance(&ids(&after));
    }
    // g1 was removed, so it has no later generation; g3 was added, so it is for new mails.
    assert_eq!(walk(&route), [("g1", 0), ("g2", 0), ("g2", 1), ("g2", 2)]);
}

#[test]
fn reconciling_begins_once() {
    let mut route = Route::default();
    route.start(&ids(&accounts(&["g1"])), NOW);
    route.reconcile_from(UnixMillis(5));
    route.reconcile_from(UnixMillis(9));
    assert_eq!(
        route.current().unwrap().reconciling_since,
        Some(UnixMillis(5))
    );
}

#[test]
fn a_mail_whose_accounts_are_all_gone_goes_to_those_configured_since() {
    let mut route = Route::default();
    route.start(&ids(&accounts(&["g1"])), NOW);
    assert!(route.advance(&ids(&accounts(&["g2"]))));
    assert_eq!(walk(&route), [("g1", 0), ("g2", 0)]);
}

#[test]
fn a_route_whose_keys_may_be_forgotten_begins_again() {
    let two = accounts(&["g1", "g2"]);
    let mut route = Route::default();
    route.start(&ids(&two), NOW);
    route.advance(&ids(&two));
    route.start(&ids(&two), NOW.plus(MINUTE * 54));
    assert_eq!(route.hops().len(), 2);
    for minutes in [55, 56, 120] {
        route.start(&ids(&two), NOW.plus(MINUTE * minutes));
        assert_eq!(walk(&route), [("g1", 0)]);
        route.advance(&ids(&two));
    }
}

#[test]
fn throttling_goes_to_the_accounts_own_next_generation() {
    let two = accounts(&["g1", "g2"]);
    let email = to("jane@example.com");
    let order = order(&two, &email);
    let (first, second) = (order[0].as_str(), order[1].as_str());
    let mut route = Route::default();
    assert!(!route.advance_generation());
    route.start(&order, NOW);
    assert!(route.advance_generation() && route.advance_generation());
    assert_eq!(walk(&route), [(first, 0), (first, 1), (first, 2)]);
    // Every other way goes on where the order has a hop left.
    assert!(route.advance(&order));
    assert_eq!(route.current().unwrap().account.as_str(), second);
    let mut last = Route::default();
    last.start(&order, NOW);
    for _ in 1..GENERATIONS_MAX {
        assert!(last.advance_generation());
    }
    assert!(!last.advance_generation());
}
