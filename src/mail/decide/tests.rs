//! The tables of `docs/design.md`, row by row.

use super::*;
use crate::model::{account::Account, id::GrantId, mail::Slug, route::order};

const MADE: UnixMillis = UnixMillis(1_764_000_000_000);

fn code() -> Email {
    Email {
        created_at: MADE,
        ..Email::sample()
    }
}

fn known(state: MailState) -> MailRecord {
    MailRecord {
        message_id: Some("m-1".into()),
        ..MailRecord::new(&code(), state, MADE)
    }
}

fn received(state: Option<MailState>, age: Duration) -> Receive {
    let (email, known) = (code(), state.map(known));
    receive(&Received {
        email: &email,
        now: MADE.plus(age),
        known: known.as_ref(),
        is_suppressed: false,
        is_held_back: false,
    })
}

#[test]
fn a_fresh_event_is_judged_by_what_is_known_of_its_id() {
    let duplicate = |reason| Receive::Answer(Ending::quiet(Outcome::Duplicate, reason));
    for (state, expected) in [
        (None, Receive::Attempt),
        (Some(MailState::Sent), duplicate(Reason::SentBefore)),
        (Some(MailState::Queued), duplicate(Reason::QueuedBefore)),
        (Some(MailState::Waiting), Receive::Attempt),
        (Some(MailState::Rejected), Receive::Attempt),
        (Some(MailState::Expired), Receive::Attempt),
        (Some(MailState::DeadLettered), Receive::Attempt),
        (
            Some(MailState::Superseded),
            Receive::Answer(Ending::quiet(Outcome::Superseded, Reason::NewerCodeQueued)),
        ),
    ] {
        assert_eq!(received(state, MINUTE), expected, "{state:?}");
    }
}

#[test]
fn an_old_event_is_a_loss_only_if_nobody_had_it() {
    let (outcome, reason) = (Outcome::Expired, Reason::OlderThanItsTtl);
    let ending = Ending::lost(outcome, reason, AlertKind::Expired);
    let lost = Receive::GiveUp(MailState::Expired, ending);
    let quiet = Receive::Answer(Ending::quiet(outcome, reason));
    for (state, expected) in [
        (None, lost),
        (Some(MailState::Waiting), lost),
        (Some(MailState::Sent), quiet),
        (Some(MailState::Queued), quiet),
        (Some(MailState::Superseded), quiet),
        (Some(MailState::Rejected), quiet),
        (Some(MailState::Expired), quiet),
        (Some(MailState::DeadLettered), quiet),
    ] {
        assert_eq!(received(state, MINUTE * 10), expected, "{state:?}");
    }
}

#[test]
fn who_must_not_be_written_to_is_not_whatever_is_known_of_the_mail() {
    let email = code();
    for state in MailState::ALL {
        let known = known(state);
        let facts = Received {
            email: &email,
            now: MADE,
            known: Some(&known),
            is_suppressed: true,
            is_held_back: false,
        };
        let (outcome, reason) = (Outcome::Suppressed, Reason::RecipientBouncedOrComplained);
        let ending = Ending::quiet(outcome, reason);
        assert_eq!(receive(&facts), Receive::Answer(ending));
    }
}

#[test]
fn a_mail_that_the_guard_holds_back_is_given_up_and_an_alert() {
    let email = code();
    let (outcome, reason) = (Outcome::Suppressed, Reason::HeldBackByGuard);
    let ending = Ending::lost(outcome, reason, AlertKind::HeldBack);
    let given_up = Receive::GiveUp(MailState::Rejected, ending);
    let duplicate = |reason| Receive::Answer(Ending::quiet(Outcome::Duplicate, reason));
    for (state, expected) in [
        (None, given_up),
        (Some(MailState::Rejected), given_up),
        (Some(MailState::Expired), given_up),
        (Some(MailState::DeadLettered), given_up),
        // What may have been sent goes on as if there were no guard.
        (Some(MailState::Sent), duplicate(Reason::SentBefore)),
        (Some(MailState::Queued), duplicate(Reason::QueuedBefore)),
        (Some(MailState::Waiting), Receive::Attempt),
    ] {
        let known = state.map(known);
        let facts = Received {
            email: &email,
            now: MADE,
            known: known.as_ref(),
            is_suppressed: false,
            is_held_back: true,
        };
        assert_eq!(receive(&facts), expected, "{state:?}");
    }
}

#[test]
fn only_listed_templates_are_relayed() {
    let invitations = ["invitation".to_owned()];
    let codes = ["invitation".to_owned(), "verification_code".to_owned()];
    assert!(is_relayed(&code(), None));
    assert!(is_relayed(&code(), Some(&codes)));
    assert!(!is_relayed(&code(), Some(&invitations)));
    let nameless = Email {
        slug: Slug::default(),
        ..code()
    };
    assert!(!is_relayed(&nameless, Some(&codes)));
}

fn judged(state: Option<MailState>, queued_at: UnixMillis, age: Duration, route: &Route) -> Job {
    let known = state.map(known);
    job(&code(), route, queued_at, known.as_ref(), MADE.plus(age))
}

#[test]
fn a_queued_mail_is_judged_by_what_is_known_of_it() {
    let nowhere = Route::default();
    let given_up = |outcome, alert| Job::Done(Ending::lost(outcome, Reason::GivenUpBefore, alert));
    let (earlier, later) = (MADE, MADE.plus(Duration::from_secs(1)));
    let sent = Job::Done(Ending::quiet(Outcome::Duplicate, Reason::SentBefore));
    for (state, queued_at, expected) in [
        (None, earlier, Job::Attempt),
        (Some(MailState::Sent), earlier, sent),
        (Some(MailState::Sent), later, sent),
        (Some(MailState::Queued), earlier, Job::Attempt),
        (Some(MailState::Waiting), earlier, Job::Attempt),
        (Some(MailState::DeadLettered), earlier, Job::Attempt),
        // Given up after it was queued: this is another delivery of the same message.
        (
            Some(MailState::Rejected),
            earlier,
            given_up(Outcome::Rejected, AlertKind::Rejected),
        ),
        (
            Some(MailState::Expired),
            earlier,
            given_up(Outcome::Expired, AlertKind::Expired),
        ),
        // Given up before it was queued: somebody pressed Resend.
        (Some(MailState::Rejected), later, Job::Attempt),
        (Some(MailState::Expired), later, Job::Attempt),
    ] {
        let job = judged(state, queued_at, MINUTE, &nowhere);
        assert_eq!(job, expected, "{state:?} {queued_at:?}");
    }
    assert_eq!(
        judged(None, earlier, MINUTE * 10, &nowhere),
        Job::Expire(expired())
    );
}

#[test]
fn a_sent_mail_that_nylas_reported_as_failed_is_attempted_again() {
    let account = Account {
        grant_id: GrantId::parse("g1").unwrap(),
        email: None,
        name: None,
    };
    let accounts = [account];
    let order = order(&accounts, &Email::sample());
    let mut route = Route::default();
    route.start(&order, MADE);
    route.fail(Some("m-1"), &order);
    let state = Some(MailState::Sent);
    assert_eq!(judged(state, MADE, MINUTE, &route), Job::Attempt);
}

#[test]
fn a_mail_that_was_sent_but_not_recorded_comes_back_a_few_times() {
    for attempt in 1..RECORDING_TRIES {
        let (ending, retry) = job_sent(false, false, attempt);
        assert_eq!(ending, Ending::sent(Reason::SentButNotRecorded, false));
        assert_eq!(retry, Some(RECORD_RETRY_IN));
    }
    let (ending, retry) = job_sent(false, false, RECORDING_TRIES);
    assert_eq!(ending, Ending::sent(Reason::AcceptedByNylas, false));
    assert_eq!(retry, None);
    assert_eq!(job_sent(true, true, 1).0.alert, Some(AlertKind::FailedOver));
}

#[test]
fn a_message_is_replaced_when_the_route_went_on_or_the_queue_may_drop_it() {
    let (before, mut after) = (Route::default(), Route::default());
    assert!(!must_replace(&before, &after, MADE, MADE.plus(MINUTE)));
    assert!(must_replace(&before, &after, MADE, MADE.plus(RENEW_AFTER)));
    after.require_look_up();
    assert!(must_replace(&before, &after, MADE, MADE.plus(MINUTE)));
}

#[test]
fn waiting_is_an_alert_from_a_minute_on() {
    let waits = |age, is_replaced| {
        let reason = Reason::NylasError;
        let ending = job_deferred(&code(), reason, is_replaced, MADE.plus(age));
        (ending.outcome, ending.alert)
    };
    let short = Duration::from_secs(59);
    assert_eq!(waits(short, false), (Outcome::Retry, None));
    assert_eq!(waits(short, true), (Outcome::Requeued, None));
    let alert = Some(AlertKind::Waiting);
    assert_eq!(waits(MINUTE, false), (Outcome::Retry, alert));
    assert_eq!(waits(MINUTE, true), (Outcome::Requeued, alert));
}

/// The other tests compare whole endings, so this one says what is in them.
#[test]
fn an_ending_is_as_serious_as_its_name_and_an_alert_where_somebody_must_look() {
    let reason = Reason::AcceptedByNylas;
    let rejected = AlertKind::Rejected;
    for (ending, level, alert) in [
        (Ending::quiet(Outcome::Queued, reason), Level::Info, None),
        (
            Ending::warning(Outcome::Retry, reason),
            Level::Warning,
            None,
        ),
        (
            Ending::lost(Outcome::Rejected, reason, rejected),
            Level::Error,
            Some(rejected),
        ),
        (Ending::sent(reason, false), Level::Info, None),
        (
            Ending::sent(reason, true),
            Level::Warning,
            Some(AlertKind::FailedOver),
        ),
    ] {
        assert_eq!((ending.level, ending.alert), (level, alert));
    }
}

#[test]
fn an_address_that_nobody_reads_is_a_test_recipient() {
    for address in [
        "jane+clerk_test@acme.com",
        "Jane+Clerk_Test@Acme.com",
        "jane+signup+clerk_test@acme.com",
        "jane@example.com",
        "jane@EXAMPLE.net",
        "jane@mail.example.org",
        "jane@acme.test",
        "jane@acme.invalid",
        "jane@localhost",
        "jane@acme.localhost",
        "jane@acme.example",
    ] {
        assert!(is_test_recipient(address), "{address}");
    }
    for address in [
        "jane@acme.com",
        "clerk_test@acme.com",
        "jane+clerk_testing@acme.com",
        "jane@example.com.acme.com",
        "jane@notexample.com",
        "jane@example.co.uk",
        "jane@acme.tested",
        "jane@contest",
        "example.com",
    ] {
        assert!(!is_test_recipient(address), "{address}");
    }
}
