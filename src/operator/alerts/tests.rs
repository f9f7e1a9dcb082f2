use super::*;
use crate::model::id::{GrantId, SvixId};

const NOW: UnixMillis = UnixMillis(1_764_000_000_000);

fn alert(kind: AlertKind, event: Event, outcome: Outcome, reason: Reason) -> Alert {
    Alert {
        kind,
        event,
        outcome,
        reason,
        account: None,
        svix_id: None,
        settings: Vec::new(),
        receiver: None,
        templates: Vec::new(),
    }
}

#[test]
fn an_alert_is_known_by_what_it_says_of_which_account() {
    let alert = Alert {
        account: GrantId::parse("g1"),
        svix_id: SvixId::parse("msg_1"),
        ..alert(
            AlertKind::AccountDown,
            Event::AccountDown,
            Outcome::Down,
            Reason::AccountPaused,
        )
    };
    assert_eq!(
        key(&alert, None, NOW),
        "account_down.down.account_paused.g1"
    );
}

#[test]
fn the_same_thing_about_another_mail_is_the_same_alert() {
    let about = |id: &str| Alert {
        svix_id: SvixId::parse(id),
        ..alert(
            AlertKind::DeadLettered,
            Event::DeadLetter,
            Outcome::DeadLettered,
            Reason::RetriesUsedUp,
        )
    };
    assert_eq!(
        key(&about("msg_1"), None, NOW),
        key(&about("msg_2"), None, NOW)
    );
}

/// Each day has a cap of its own, so yesterday's alert does not hold back today's; nor last month's this month's.
#[test]
fn an_alert_about_a_cap_is_another_one_the_next_day_or_month() {
    let key_of = |kind, outcome, now| {
        let alert = alert(kind, Event::Check, outcome, Reason::AllOfTheCap);
        key(&alert, None, now)
    };
    for (kind, outcome, begins) in [
        (AlertKind::CapNear, Outcome::Cap, NOW.plus(DAY).midnight()),
        (
            AlertKind::MonthlyCapNear,
            Outcome::MonthlyCap,
            NOW.plus(DAY * 10).month(),
        ),
    ] {
        let before = begins.minus(Duration::from_millis(1));
        assert_eq!(key_of(kind, outcome, NOW), key_of(kind, outcome, before));
        assert_ne!(key_of(kind, outcome, NOW), key_of(kind, outcome, begins));
    }
}
