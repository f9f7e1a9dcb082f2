use super::*;
use crate::{config::GrantId, webhook::SvixId};

#[test]
fn an_alert_says_what_happened_what_it_means_and_what_to_do() {
    let record = Record {
        event: Event::AccountDown,
        outcome: "down",
        reason: "account_paused",
        account: GrantId::parse("g1"),
        svix_id: SvixId::parse("msg_1"),
        ..Record::default()
    };
    let body = body(&record);
    let text = body["text"].as_str().unwrap();
    assert!(
        text.starts_with("clerk-nylas-relay: an account cannot send. Account g1. Other accounts"),
        "{text}"
    );
    assert!(text.ends_with("(account_paused, msg_1)"), "{text}");
    assert_eq!(body["content"], body["text"]);
    assert_eq!(key(&record), "account_down.down.account_paused.g1");
}

#[test]
fn the_same_thing_about_another_mail_is_the_same_alert() {
    let about = |id: &str| Record {
        event: Event::DeadLetter,
        outcome: "dead_lettered",
        reason: "retries_used_up",
        svix_id: SvixId::parse(id),
        ..Record::default()
    };
    assert_eq!(key(&about("msg_1")), key(&about("msg_2")));
}
