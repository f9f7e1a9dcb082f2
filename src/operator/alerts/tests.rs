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
fn an_alert_says_what_happened_what_it_means_and_what_to_do() {
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
    let body = body(&alert);
    let text = body["text"].as_str().unwrap();
    assert!(
        text.starts_with("clerk-nylas-relay: an account cannot send. Account g1. Other accounts"),
        "{text}"
    );
    assert!(text.ends_with("(account_paused, msg_1)"), "{text}");
    assert_eq!(body["content"], body["text"]);
    assert_eq!(key(&alert), "account_down.down.account_paused.g1");
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
    assert_eq!(key(&about("msg_1")), key(&about("msg_2")));
}
