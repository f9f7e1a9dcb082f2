use super::{Evidence::*, Settled::*, *};
use crate::model::time::UnixMillis;

const LATER: Duration = Duration::from_secs(60);

fn of(is_code: bool, is_blind: bool, evidence: Evidence, waited_s: u64) -> Settled {
    let doubt = Doubt {
        account: None,
        since: UnixMillis(0),
        is_blind,
    };
    settle(is_code, &doubt, evidence, Duration::from_secs(waited_s))
}

fn ask(seconds: u64) -> Settled {
    Ask(Duration::from_secs(seconds))
}

#[test]
fn a_mail_that_is_found_was_sent() {
    for (is_code, is_blind) in [(true, true), (true, false), (false, true), (false, false)] {
        let found = Found(SentMail::default());
        assert_eq!(of(is_code, is_blind, found, 0), Sent(SentMail::default()));
    }
}

#[test]
fn an_absent_mail_is_sent_once_it_would_be_visible() {
    for is_blind in [true, false] {
        assert_eq!(of(true, is_blind, Absent, 0), ask(20));
        assert_eq!(of(true, is_blind, Absent, 19), ask(1));
        assert_eq!(of(true, is_blind, Absent, 20), Send);
        assert_eq!(of(false, is_blind, Absent, 20), ask(130));
        assert_eq!(of(false, is_blind, Absent, 150), Send);
    }
}

#[test]
fn where_nobody_can_tell_a_code_is_sent_once_more_and_a_notice_is_not() {
    assert_eq!(of(true, false, Undecidable, 19), ask(1));
    assert_eq!(of(true, false, Undecidable, 20), SendBlindly);
    assert_eq!(of(true, true, Undecidable, 19), ask(1));
    assert_eq!(of(true, true, Undecidable, 20), GiveUp);
    assert_eq!(of(false, false, Undecidable, 149), ask(1));
    assert_eq!(of(false, false, Undecidable, 150), GiveUp);
}

#[test]
fn a_mailbox_that_does_not_answer_is_asked_for_a_minute_about_a_code_and_until_it_does_about_a_notice()
 {
    assert_eq!(of(true, false, NoAnswer, 20), ask(40));
    assert_eq!(of(true, false, NoAnswer, 60), SendBlindly);
    assert_eq!(of(true, true, NoAnswer, 60), GiveUp);
    assert_eq!(of(false, false, NoAnswer, 3_600), ask(150));
    assert_eq!(PATIENCE, LATER);
}
