use super::*;
use crate::model::mail::Slug;

fn email(slug: &str, created_at: UnixMillis) -> Email {
    Email {
        created_at,
        slug: Slug::new(Some(slug)),
        ..Email::sample()
    }
}

fn seconds_after(age: u64, at_least: Option<u64>, random: u32) -> u64 {
    let email = email("verification_code", UnixMillis::from_seconds(1_000));
    let at_least = at_least.map(Duration::from_secs);
    retry_delay(
        &email,
        UnixMillis::from_seconds(1_000 + age),
        at_least,
        random,
    )
    .as_secs()
}

/// The middle of the jitter.
const NO_JITTER: u32 = 20;

#[test]
fn tries_thin_out_with_the_mails_age() {
    assert_eq!(seconds_after(0, None, NO_JITTER), 2);
    assert_eq!(seconds_after(4, None, NO_JITTER), 3);
    assert_eq!(seconds_after(40, None, NO_JITTER), 30);
    assert_eq!(seconds_after(200, None, NO_JITTER), 150);
}

#[test]
fn jitter_is_a_fifth_either_way() {
    let delays = (0..1_000)
        .map(|random| seconds_after(100, None, random))
        .collect::<Vec<_>>();
    assert_eq!(delays.iter().min(), Some(&60));
    assert_eq!(delays.iter().max(), Some(&90));
}

#[test]
fn nylas_is_left_alone_for_as_long_as_it_asks_within_reason() {
    assert_eq!(seconds_after(0, Some(30), NO_JITTER), 30);
    assert_eq!(seconds_after(0, Some(u64::MAX), NO_JITTER), 10 * 60 - 5);
    let invitation = email("invitation", UnixMillis(0));
    let delay = retry_delay(&invitation, UnixMillis(0), Some(HOUR * 2), NO_JITTER);
    assert_eq!(delay, HOUR);
}

#[test]
fn the_last_try_is_shortly_before_the_mail_expires() {
    assert_eq!(seconds_after(400, None, NO_JITTER), 195);
    assert_eq!(seconds_after(598, None, NO_JITTER), 1);
    assert_eq!(seconds_after(10_000, None, NO_JITTER), 1);
}

/// Nobody waits for these: a delivery costs an operation of the queue, so they become rare.
#[test]
fn what_nobody_waits_for_is_retried_ever_more_rarely_up_to_hourly() {
    let delays: Vec<u64> = (1..PATIENT_TRIES)
        .map(|attempt| patient_delay(attempt).as_secs())
        .collect();
    assert_eq!(delays[..4], [10, 20, 40, 80]);
    assert!(delays.is_sorted());
    assert_eq!(delays.iter().max(), Some(&3600));
    assert_eq!(delays.iter().sum::<u64>() / 3600, 22);
    assert_eq!(patient_delay(u32::MAX), HOUR);
}
