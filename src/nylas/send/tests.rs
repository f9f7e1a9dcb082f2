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
    classified(&response(status, &body.to_string()))
}

fn content() -> Content {
    Content::Text("x".into())
}

fn classified(response: &HttpResponse) -> SendOutcome {
    classify_send(response, &email(), &content())
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
            classified(&response(status, body)),
            SendOutcome::Sent(expected)
        );
        // Nylas' schema requires neither id, and a body may be cut.
        for body in ["", "{", r#"{"data":{}}"#] {
            assert_eq!(
                classified(&response(status, body)),
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
    assert_eq!(classified(&response(409, "")), SendOutcome::InFlight);
}

/// The rate is the organization's, so it is no account's fault. `docs/production.md`.
#[test]
fn a_429_of_the_rate_is_throttling() {
    let retry_after = Some(Duration::from_secs(7));
    for message in [
        "Too many requests, please try again shortly.",
        "Rate limit exceeded",
        "Rate limit of your plan exceeded: 5 requests per second",
        "",
    ] {
        assert_eq!(
            outcome(429, "rate_limit_error", message),
            SendOutcome::Throttled { retry_after },
            "{message}"
        );
    }
}

/// No document has the words.
#[test]
fn a_quota_of_the_day_the_month_or_the_plan_is_the_accounts_fault() {
    for (message, fault) in [
        ("Daily send limit exceeded", AccountFault::DailyQuota),
        (
            "You can send 200 emails per day: limit reached",
            AccountFault::DailyQuota,
        ),
        ("Monthly send limit exceeded", AccountFault::MonthlyQuota),
        ("Monthly rate limit exceeded", AccountFault::MonthlyQuota),
        ("3000 emails per month exceeded", AccountFault::MonthlyQuota),
        ("Quota exceeded", AccountFault::PlanLimit),
        (
            "The organization's send limit was reached",
            AccountFault::PlanLimit,
        ),
        ("Upgrade your plan to send more", AccountFault::PlanLimit),
    ] {
        for status in [400, 402, 403, 422, 429] {
            assert_eq!(
                outcome(status, "api.rate_limit_error", message),
                at_fault(fault),
                "{status} {message}"
            );
        }
    }
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
        classified(&response(503, "<html>")),
        SendOutcome::Ambiguous { .. }
    ));
}

#[test]
fn a_refusal_of_the_mail_is_final() {
    let recipient = rejected(Reason::NylasRefusedRecipient);
    assert_eq!(
        outcome(402, "", "Sending to at least one recipient failed"),
        recipient
    );
    assert_eq!(
        outcome(400, "invalid_request_error", "to: invalid email"),
        recipient
    );
    assert_eq!(outcome(413, "", ""), rejected(Reason::NylasTooLarge));
    assert_eq!(
        outcome(400, "api.invalid_idempotency_key", ""),
        rejected(Reason::NylasRefusedMail)
    );
}

/// To call it the mail's would lose every mail, should it be about something that every mail has.
#[test]
fn an_unexplained_refusal_of_an_unremarkable_mail_is_the_accounts() {
    let html = |bytes: usize| Content::Html("x".repeat(bytes));
    let code = email();
    assert!(is_unremarkable(&code, &html(100_000)));
    let remarkable = [
        ("jané@example.com", "Code", 1),
        ("jane@example.com", &*"x".repeat(501), 1),
        ("jane@example.com", "Code", 600_000),
    ];
    for (to, subject, bytes) in remarkable {
        let (to, subject) = (to.to_owned(), subject.to_owned());
        let mail = Email {
            to,
            subject,
            ..code.clone()
        };
        assert!(!is_unremarkable(&mail, &html(bytes)));
    }
    // Strangers write what is forwarded.
    let forward = Email {
        only_account: GrantId::parse("g1"),
        ..code
    };
    assert!(!is_unremarkable(&forward, &html(1)));
    for (status, kind, message, reason) in [
        (
            400,
            "invalid_request_error",
            "error parsing request body",
            Reason::NylasRefusedMail,
        ),
        (418, "", "", Reason::NylasRefusedMail),
        (422, "", "mail provider error", Reason::NylasProviderRefused),
    ] {
        let body = json!({"error": {"type": kind, "message": message}}).to_string();
        assert_eq!(
            classified(&response(status, &body)),
            at_fault(AccountFault::Unexplained)
        );
        let forward = Email {
            only_account: GrantId::parse("g1"),
            ..email()
        };
        assert_eq!(
            classify_send(&response(status, &body), &forward, &content()),
            rejected(reason)
        );
    }
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
    assert_eq!(classified(&response(409, bare)), SendOutcome::KeyConflict);
}

/// Nylas may repeat the address, and whoever signs up chooses it.
#[test]
fn an_address_makes_no_account_look_at_fault() {
    for to in ["paused@x.example", "daily.quota@monthly-plan.example"] {
        let message = format!(
            "Invalid email: {to} could not be reached ({})",
            to.to_uppercase()
        );
        let body =
            json!({"error": {"type": "invalid_request_error", "message": message}}).to_string();
        let email = Email {
            to: to.into(),
            ..email()
        };
        let outcome = classify_send(&response(400, &body), &email, &content());
        assert_eq!(outcome, rejected(Reason::NylasRefusedRecipient), "{to}");
    }
    // What Nylas says by itself counts for these recipients, too.
    let email = Email {
        to: "daily@x.example".into(),
        ..email()
    };
    let body = r#"{"error":{"type":"forbidden","message":"Sending to daily@x.example: account is paused"}}"#;
    let outcome = classify_send(&response(403, body), &email, &content());
    assert_eq!(outcome, at_fault(AccountFault::Paused));
}

#[test]
fn what_is_sent_is_exactly_this() {
    let identity = Identity {
        email: "auth@mail.acme.com".into(),
        name: Some("Acme".into()),
    };
    let body = send_body(&email(), &Content::Html("<p>1</p>".into()), &identity, 0).unwrap();
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
    let text = send_body(&email(), &Content::Text("1".into()), &identity, 0).unwrap();
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
        let body = send_body(&email, &Content::Text("x".into()), &identity, 0).unwrap();
        assert_eq!(body.contains("reply_to"), sent, "{body}");
        let next = send_body(&email, &Content::Text("x".into()), &identity, 1).unwrap();
        assert!(!next.contains("reply_to"), "{next}");
    }
}
