use super::*;
use crate::model::id::{GrantId, SvixId};

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
    assert_eq!(key(&alert, None), "account_down.down.account_paused.g1");
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
    assert_eq!(key(&about("msg_1"), None), key(&about("msg_2"), None));
}
