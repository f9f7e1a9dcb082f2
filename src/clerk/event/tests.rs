use super::*;
use crate::{
    model::time::{DAY, MINUTE},
    signature::{SignatureHeaders, SigningSecret, verify_clerk},
};
use serde_json::json;

const SIGNED_AT: u64 = 1_716_883_205;

fn event() -> Value {
    json!({
        "object": "event", "type": "email.created", "instance_id": "ins_1", "timestamp": 1_716_883_200,
        "data": {
            "id": "ema_1", "object": "email", "slug": "verification_code",
            "from_email_name": "notifications", "reply_to_email_name": null,
            "to_email_address": "Jane.Doe@Example.com", "user_id": "user_1",
            "subject": "123456 is your code\n", "body": "<p>123456</p>", "body_plain": "123456\n",
            "status": "queued", "data": {"otp_code": "123456"}, "delivered_by_clerk": false
        }
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut event = event();
    match event.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            event.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    event
}

fn without(parent: &str, field: &str) -> Value {
    let mut event = event();
    event
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(field);
    event
}

fn read(event: &Value) -> Result<(Email, Content), NotForUs> {
    read_bytes(event.to_string().as_bytes())
}

fn read_bytes(body: &[u8]) -> Result<(Email, Content), NotForUs> {
    read_under("msg_1", body).2
}

fn read_under(id: &str, body: &[u8]) -> Read {
    // Only a verified webhook can be read, so the test signs it.
    let secret = SigningSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
    let now = UnixMillis::from_seconds(SIGNED_AT);
    let headers = SignatureHeaders::pick(|name| match name {
        "svix-id" => Some(id.to_owned()),
        "svix-timestamp" => Some(SIGNED_AT.to_string()),
        "svix-signature" => Some(secret.sign(id, now, body)),
        _ => None,
    });
    let webhook = verify_clerk(&headers, body, std::slice::from_ref(&secret), now).unwrap();
    read_email(&webhook, false)
}

fn email(event: &Value) -> Email {
    read(event).unwrap_or_else(|why| panic!("{why:?}")).0
}

#[test]
fn an_email_is_read_as_clerk_wrote_it() {
    let (email, content) = read(&event()).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(email.to, "Jane.Doe@Example.com");
    assert_eq!(email.subject, "123456 is your code");
    assert_eq!(email.user_id.as_deref(), Some("user_1"));
    assert_eq!(email.reply_to_local_part, None);
    assert!(content == Content::Html("<p>123456</p>".into()));
}

#[test]
fn both_spellings_of_the_event_are_ours_and_no_other() {
    assert!(read(&with("/type", json!("emails.created"))).is_ok());
    for other in [
        "sms.created",
        "user.created",
        "Email.created",
        "email.created.v2",
        "",
    ] {
        assert_eq!(
            read(&with("/type", json!(other))).err(),
            Some(NotForUs::Ignored),
            "{other}"
        );
    }
}

#[test]
fn only_an_explicit_false_is_ours_to_deliver() {
    for value in [json!(true), json!(null), json!("false"), json!(0)] {
        assert!(matches!(
            read(&with("/data/delivered_by_clerk", value)),
            Err(NotForUs::DeliveredByClerk { .. })
        ));
    }
    assert!(matches!(
        read(&without("/data", "delivered_by_clerk")),
        Err(NotForUs::DeliveredByClerk { .. })
    ));
}

#[test]
fn unknown_fields_and_unknown_slugs_pass() {
    assert!(read(&with("/data/brand_new", json!({"deep": [1, 2]}))).is_ok());
    let email = email(&with("/data/slug", json!("some_future_template")));
    assert_eq!(email.slug.as_str(), Some("some_future_template"));
}

#[test]
fn optional_fields_may_be_null_or_absent() {
    for field in [
        "slug",
        "reply_to_email_name",
        "user_id",
        "email_address_id",
        "body_plain",
        "data",
        "status",
        "id",
    ] {
        assert!(
            read(&with(&format!("/data/{field}"), Value::Null)).is_ok(),
            "{field} null"
        );
        if event()["data"].get(field).is_some() {
            assert!(read(&without("/data", field)).is_ok(), "{field} absent");
        }
    }
}

#[test]
fn a_mail_without_html_is_sent_as_text() {
    for html in [Value::Null, json!(""), json!("  \n")] {
        let (_, content) = read(&with("/data/body", html)).unwrap_or_else(|why| panic!("{why:?}"));
        assert!(content == Content::Text("123456\n".into()));
    }
}

#[test]
fn what_cannot_be_sent_is_named() {
    let cases = [
        (
            with("/data/to_email_address", Value::Null),
            Reason::RecipientMissing,
        ),
        (
            with("/data/to_email_address", json!(" ")),
            Reason::RecipientMissing,
        ),
        (
            with("/data/to_email_address", json!("jane")),
            Reason::RecipientMalformed,
        ),
        (
            with("/data/to_email_address", json!("a@b.c, d@e.f")),
            Reason::RecipientMalformed,
        ),
        (
            with("/data/to_email_address", json!("a@b.c\r\nBcc: d@e.f")),
            Reason::RecipientMalformed,
        ),
        (
            with("/data/to_email_address", json!("Jane <a@b.c>")),
            Reason::RecipientMalformed,
        ),
        (with("/data/subject", json!("\n")), Reason::SubjectMissing),
        (without("/data", "subject"), Reason::SubjectMissing),
        (with("/type", json!(7)), Reason::TypeMissing),
    ];
    for (event, reason) in cases {
        assert_eq!(read(&event).err(), Some(NotForUs::Unusable { reason }));
    }
    let mut empty = with("/data/body", Value::Null);
    empty["data"]["body_plain"] = Value::Null;
    assert_eq!(
        read(&empty).err(),
        Some(NotForUs::Unusable {
            reason: Reason::BodyMissing
        })
    );
    for body in [
        &b""[..],
        b"{",
        b"\xff",
        b"[]",
        "[".repeat(200_000).as_bytes(),
    ] {
        assert!(matches!(read_bytes(body), Err(NotForUs::Unusable { .. })));
    }
}

#[test]
fn a_subject_is_one_line() {
    let email = email(&with("/data/subject", json!("  Code\r\nBcc: x@y.z\0 1 ")));
    assert_eq!(email.subject, "Code  Bcc: x@y.z  1");
}

#[test]
fn the_events_time_is_in_seconds_or_milliseconds() {
    let expected = UnixMillis(1_716_883_200_000);
    assert_eq!(email(&event()).created_at, expected);
    let milliseconds = with("/timestamp", json!(1_716_883_200_000_u64));
    assert_eq!(email(&milliseconds).created_at, expected);
    // Without one, this attempt's time is the best there is.
    for unusable in [Value::Null, json!("yesterday"), json!(-1), json!(0)] {
        let email = email(&with("/timestamp", unusable));
        assert_eq!(email.created_at, UnixMillis::from_seconds(SIGNED_AT));
    }
}

#[test]
fn a_reply_to_is_a_local_part_or_nothing() {
    let reply_to =
        |name: &str| email(&with("/data/reply_to_email_name", json!(name))).reply_to_local_part;
    assert_eq!(reply_to("support").as_deref(), Some("support"));
    for name in ["", "a@b.c", "a b", "a\r\nBcc: x", "a..b", ".a", "a."] {
        assert_eq!(reply_to(name), None, "{name:?}");
    }
}

#[test]
fn content_lives_as_long_as_it_is_of_use() {
    let minutes = |slug: &str| Slug::new(Some(slug)).ttl().as_secs() / 60;
    for slug in [
        "verification_code",
        "reset_password_code",
        "magic_link_sign_in",
        "magic_link_sign_up",
        "magic_link_user_profile",
    ] {
        assert_eq!(minutes(slug), 10, "{slug}");
    }
    for slug in [
        "invitation",
        "waitlist_invitation",
        "organization_invitation",
    ] {
        assert_eq!(minutes(slug), 7 * 24 * 60, "{slug}");
    }
    for slug in [
        "organization_invitation_accepted",
        "password_changed",
        "new_device_sign_in",
        "billing_receipt",
        "waitlist_confirmation",
    ] {
        assert_eq!(minutes(slug), 24 * 60, "{slug}");
    }
    assert_eq!(Slug::default().ttl(), DAY);
}

#[test]
fn a_mail_expires_when_its_life_is_over() {
    let email = email(&event());
    let end = email.created_at.plus(MINUTE * 10);
    assert!(!email.is_expired(UnixMillis(end.0 - 1)));
    assert!(email.is_expired(end));
}

#[test]
fn a_slug_that_could_hold_anything_else_is_not_logged() {
    for name in ["", "a b", "jane@example.com", &"x".repeat(65)] {
        assert_eq!(Slug::new(Some(name)).as_str(), None);
    }
}

#[test]
fn debug_shows_nothing_private() {
    let shown = format!("{:?}", email(&event()));
    for private in ["123456", "Jane", "Example", "user_1"] {
        assert!(!shown.contains(private), "{shown}");
    }
}

/// An id that Svix made at that moment.
fn id_of(seconds: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // The time is the first 32 of 160 bits; the others are 0.
    let mut number = [0_u8; 20];
    let since = u32::try_from(seconds - 1_400_000_000).unwrap();
    number[..4].copy_from_slice(&since.to_be_bytes());
    let mut letters = [b'0'; 27];
    for letter in letters.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            rest = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(rest / 62).unwrap();
            rest %= 62;
        }
        *letter = DIGITS[rest as usize];
    }
    format!("msg_{}", str::from_utf8(&letters).unwrap())
}

/// No document says what `timestamp` is of. If it were too early, every code would count as expired.
#[test]
fn the_later_of_the_events_time_and_its_ids_counts() {
    let made_at = |of_event: u64, id: &str| {
        let event = with("/timestamp", json!(of_event * 1000));
        let (_, differ, read) = read_under(id, event.to_string().as_bytes());
        let (email, _) = read.unwrap_or_else(|why| panic!("{why:?}"));
        (email.created_at.seconds(), differ)
    };
    let seconds = Duration::from_secs;
    let hour_ago = SIGNED_AT - 3600;
    // The event's time is too early: the id's counts. Too late an id is none.
    assert_eq!(
        made_at(hour_ago, &id_of(SIGNED_AT - 5)),
        (SIGNED_AT - 5, Some(seconds(3595)))
    );
    assert_eq!(made_at(hour_ago, &id_of(SIGNED_AT + 1)), (hour_ago, None));
    assert_eq!(made_at(hour_ago, "msg_1"), (hour_ago, None));
    // The id's is earlier, as of an event that waited to be handed to Svix never is.
    assert_eq!(
        made_at(SIGNED_AT, &id_of(hour_ago)),
        (SIGNED_AT, Some(seconds(3600)))
    );
    // What is within a minute is no difference.
    assert_eq!(
        made_at(SIGNED_AT - 70, &id_of(SIGNED_AT - 10)),
        (SIGNED_AT - 10, None)
    );
    let (at, differ) = made_at(SIGNED_AT - 71, &id_of(SIGNED_AT - 10));
    assert_eq!((at, differ), (SIGNED_AT - 10, Some(seconds(61))));
}
