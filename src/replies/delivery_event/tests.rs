//! What to do when Nylas reports that it could not send a mail it had accepted.

use super::*;
use crate::model::{
    account::Account,
    id::GrantId,
    mail::{Content, Email},
    message::QueuedMail,
    route::Route,
    time::MINUTE,
};

const MADE: UnixMillis = UnixMillis(1_764_000_000_000);

fn email() -> Email {
    Email {
        created_at: MADE,
        ..Email::sample()
    }
}

fn pending(message_id: &str) -> Pending {
    Pending {
        message_id: Some(message_id.to_owned()),
        mail: QueuedMail {
            email: email(),
            content: QueuedContent::Here(Content::Text("1".into())),
            queued_at: MADE,
            is_oldest: false,
            route: Route::default(),
        },
    }
}

fn sent(message_id: &str, route: Route) -> MailRecord {
    MailRecord {
        message_id: Some(message_id.to_owned()),
        route,
        ..MailRecord::new(&email(), MailState::Sent, MADE)
    }
}

fn resent(message_id: &str) -> Route {
    let accounts = [Account {
        grant_id: GrantId::parse("g1").unwrap(),
        email: None,
        name: None,
    }];
    let order = order(&accounts, &Email::sample());
    let mut route = Route::default();
    route.start(&order, MADE);
    route.fail(Some(message_id), &order);
    route
}

fn decided(
    pending: Option<&Pending>,
    known: Option<&MailRecord>,
    may_be_stale: bool,
    age: Duration,
) -> AfterSendFailed {
    after_send_failed(&SendFailed {
        message_id: Some("m-1"),
        pending,
        known,
        may_be_stale,
        now: MADE.plus(age),
    })
}

#[test]
fn a_fresh_mail_is_sent_again() {
    let (pending, known) = (pending("m-1"), sent("m-1", Route::default()));
    for known in [None, Some(&known)] {
        assert_eq!(
            decided(Some(&pending), known, true, MINUTE),
            AfterSendFailed::SendAgain
        );
    }
}

#[test]
fn a_mail_that_is_too_old_is_not() {
    let (pending, known) = (pending("m-1"), sent("m-1", Route::default()));
    assert_eq!(
        decided(Some(&pending), Some(&known), true, MINUTE * 10),
        AfterSendFailed::Expired
    );
}

#[test]
fn a_mail_that_went_out_as_another_message_is_left_alone() {
    let (pending, known) = (pending("m-1"), sent("m-2", Route::default()));
    assert_eq!(
        decided(Some(&pending), Some(&known), true, MINUTE),
        AfterSendFailed::Nothing(Reason::SentElsewhere)
    );
}

#[test]
fn what_the_ledger_does_not_show_yet_is_waited_for_and_then_lost() {
    let other = pending("m-9");
    for pending in [None, Some(&other)] {
        assert_eq!(decided(pending, None, true, MINUTE), AfterSendFailed::Wait);
        assert_eq!(decided(pending, None, false, MINUTE), AfterSendFailed::Lost);
    }
}

#[test]
fn a_failure_that_was_acted_on_before_changes_nothing() {
    let known = sent("m-2", resent("m-1"));
    assert_eq!(
        decided(None, Some(&known), false, MINUTE),
        AfterSendFailed::Nothing(Reason::ResentBefore)
    );
}
