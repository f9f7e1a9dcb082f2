use super::*;

#[test]
fn a_plain_address_is_one_that_every_mail_system_takes() {
    for address in [
        "jane@example.com",
        "Jane.Doe+x@mail.example.co.uk",
        "o'neil_2@xn--mnchen-3ya.example",
        "a@b.c",
    ] {
        assert!(is_plain_address(address), "{address}");
    }
    let long = format!("{}@example.com", "x".repeat(65));
    let far = format!("jane@{}.example", "x".repeat(64));
    for text in [
        "",
        "jane",
        "@example.com",
        "jane@",
        "jane@localhost",
        "Jane <jane@example.com>",
        "<jane@example.com>",
        "jane@example.com, eve@example.com",
        "jane@eve@example.com",
        "\"jane doe\"@example.com",
        ".jane@example.com",
        "jane.@example.com",
        "ja..ne@example.com",
        "jane@example..com",
        "jane@-example.com",
        "jane@example.com.",
        "jane@exa_mple.com",
        "jane@[192.0.2.1]",
        "jane@example.com\r\nBcc: eve@example.com",
        "jane@example.com\0",
        "jane\u{200b}@example.com",
        "jane@ex\u{430}mple.com",
        &long,
        &far,
    ] {
        assert!(!is_plain_address(text), "{text}");
    }
}
