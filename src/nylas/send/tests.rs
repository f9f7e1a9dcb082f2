use super::*;
use serde_json::json;

fn email() -> Email {
    Email {
        to: "Jane@Example.com".into(),
        reply_to_local_part: Some("support".into()),
        ..Email::sample()
    }
}

fn response(status: u16, body: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("retry-after".into(), "7".into())],
        body: body.to_owned(),
        is_truncated: false,
    }
}

fn outcome(status: u16, error_type: &str, message: &str) -> SendOutcome {
    let body = json!({"request_id": "r", "error": {"type": error_type, "message": message}});
    classify_send(&response(status, &body.to_string()))
}

fn rejected(reason: Reason) -> SendOutcome {
    SendOutcome::Rejected { reason }
}

fn at_fault(fault: AccountFault) -> SendOutcome {
    SendOutcome::AccountAtFault(fault)
}

#[test]
fn a_success_is_sent_whatever_its_body_is() {
    let body = r#"{"request_id":"r","grant_id":"g","data":{"id":"m1","thread_id":"t1"}}"#;
    for status in [200, 201, 202] {
        let expected = SentMail {
            message_id: Some("m1".into()),
            thread_id: Some("t1".into()),
            is_queued: status == 202,
        };
        assert_eq!(
            classify_send(&response(status, body)),
            SendOutcome::Sent(expected)
        );
        // Nylas' schema requires neither id, and a body may be cut.
        for body in ["", "{", r#"{"data":{}}"#] {
            assert_eq!(
                classify_send(&response(status, body)),
                SendOutcome::Sent(SentMail {
                    is_queued: status == 202,
                    ..SentMail::default()
                })
            );
        }
    }
}

#[test]
fn the_two_conflicts_differ_by_type_with_and_without_the_prefix() {
    for prefix in ["", "api."] {
        let kind = |name: &str| outcome(409, &format!("{prefix}{name}"), "");
        assert_eq!(kind("concurrent_idempotent_request"), SendOutcome::InFlight);
        assert_eq!(kind("invalid_idempotent_request"), SendOutcome::KeyConflict);
    }
    assert_eq!(classify_send(&response(409, "")), SendOutcome::InFlight);
}

#[test]
fn a_429_is_throttling_unless_the_daily_quota_is_used_up() {
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(
        outcome(
            429,
            "rate_limit_error",
            "Too many requests, please try again shortly."
        ),
        SendOutcome::Throttled { retry_after }
    );
    assert_eq!(
        outcome(429, "api.rate_limit_error", "Daily send limit exceeded"),
        at_fault(AccountFault::DailyQuota)
    );
}

#[test]
fn what_may_have_been_sent_is_ambiguous() {
    for status in [408, 500, 502, 503, 504, 520, 302, 100] {
        assert!(
            matches!(
                outcome(status, "api.provider_error", ""),
                SendOutcome::Ambiguous { .. }
            ),
            "{status}"
        );
    }
    assert!(matches!(
        classify_send(&response(503, "<html>")),
        SendOutcome::Ambiguous { .. }
    ));
}

#[test]
fn a_refusal_of_the_mail_is_final() {
    assert_eq!(
        outcome(400, "invalid_request_error", "error parsing request body"),
        rejected(Reason::NylasRefusedMail)
    );
    assert_eq!(
        outcome(402, "", "Sending to at least one recipient failed"),
        rejected(Reason::NylasRefusedRecipient)
    );
    assert_eq!(outcome(413, "", ""), rejected(Reason::NylasTooLarge));
    assert_eq!(
        outcome(422, "", "mail provider error"),
        rejected(Reason::NylasProviderRefused)
    );
    assert_eq!(outcome(418, "", ""), rejected(Reason::NylasRefusedMail));
}

#[test]
fn a_refusal_of_the_account_is_not_the_mails() {
    assert_eq!(
        outcome(401, "token.unauthorized_access", "Bearer token invalid"),
        at_fault(AccountFault::Unauthorized)
    );
    assert_eq!(
        outcome(400, "token.unauthorized_access", ""),
        at_fault(AccountFault::Unauthorized)
    );
    assert_eq!(
        outcome(403, "insufficient_scopes", ""),
        at_fault(AccountFault::Forbidden)
    );
    assert_eq!(
        outcome(404, "not_found_error", ""),
        at_fault(AccountFault::Gone)
    );
    assert_eq!(
        outcome(423, "api.resource_blocked", ""),
        at_fault(AccountFault::Paused)
    );
    assert_eq!(
        outcome(400, "", "Sending is paused for this account"),
        at_fault(AccountFault::Paused)
    );
    assert_eq!(
        outcome(403, "", "sending paused"),
        at_fault(AccountFault::Paused)
    );
    assert_eq!(
        outcome(400, "", "domain is not verified"),
        at_fault(AccountFault::DomainNotVerified)
    );
}

#[test]
fn an_error_may_stand_without_the_object_around_it() {
    let bare = r#"{"type":"api.invalid_idempotent_request","message":"x"}"#;
    assert_eq!(
        classify_send(&response(409, bare)),
        SendOutcome::KeyConflict
    );
}

#[test]
fn what_is_sent_is_exactly_this() {
    let identity = Identity {
        email: "auth@mail.acme.com".into(),
        name: Some("Acme".into()),
    };
    let body = send_body(&email(), &Content::Html("<p>1</p>".into()), &identity).unwrap();
    // The exact bytes, because Nylas compares the requests of a key.
    assert_eq!(
        body,
        concat!(
            r#"{"to":[{"email":"Jane@Example.com"}],"from":[{"email":"auth@mail.acme.com","#,
            r#""name":"Acme"}],"reply_to":[{"email":"support@mail.acme.com"}],"subject":"Code","#,
            r#""body":"<p>1</p>","metadata":{"key1":"msg_1"},"custom_headers":[{"name":"Auto-Submitted","#,
            r#""value":"auto-generated"}]}"#,
        )
    );
    let text = send_body(&email(), &Content::Text("1".into()), &identity).unwrap();
    assert!(text.contains(r#""body":"1","is_plaintext":true"#));
}

#[test]
fn no_two_mails_share_a_key() {
    let id = SvixId::parse("msg_1").unwrap();
    assert_eq!(idempotency_key(&id, 0), "msg_1");
    assert_eq!(idempotency_key(&id, 2), "msg_1:2");
    let longest = SvixId::parse(&"a".repeat(SvixId::LENGTH_MAX)).unwrap();
    assert!(idempotency_key(&longest, u32::MAX).len() <= 256);
}

#[test]
fn a_reply_to_that_nylas_would_refuse_is_left_out() {
    for (reply_to, sent) in [("jane@example.com", true), ("Jane, or so", false)] {
        let email = Email {
            reply_to: Some(reply_to.into()),
            reply_to_local_part: None,
            ..email()
        };
        let identity = Identity {
            email: "auth@mail.acme.com".into(),
            name: None,
        };
        let body = send_body(&email, &Content::Text("x".into()), &identity).unwrap();
        assert_eq!(body.contains("reply_to"), sent, "{body}");
    }
}
