use super::*;
use serde_json::json;

#[test]
fn the_token_lets_in_as_bearer_or_as_a_browsers_password() {
    let token = Secret::new("0123456789abcdef");
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    assert!(is_let_in("Bearer 0123456789abcdef", &token));
    assert!(is_let_in(&basic("anybody:0123456789abcdef"), &token));
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcdeg",
        "Bearer 0123456789abcdef0",
        "bearer 0123456789abcdef",
        "0123456789abcdef",
        "Basic !!!",
        &basic("0123456789abcdef"),
        &basic("0123456789abcdef:"),
    ] {
        assert!(!is_let_in(wrong, &token), "{wrong}");
    }
}

#[test]
fn what_is_shown_cannot_become_html() {
    let mut page = Page {
        html: String::new(),
        now: 200_000,
    };
    let rows = [json!({"id": "<script>\"'&", "at": 80_000})];
    page.table("T", &rows, &["id", "at"], Some("redrive"));
    assert!(!page.html.contains("<script"), "{}", page.html);
    assert!(
        page.html
            .contains("value=\"&lt;script&gt;&quot;&#39;&amp;\"")
    );
    assert!(page.html.contains("2 min ago"), "{}", page.html);
}
