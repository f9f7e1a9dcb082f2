use super::*;
use crate::{
    model::time::UnixMillis,
    operator::page::html::{Html, short},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

fn empty() -> Html {
    Html {
        html: String::new(),
        now: UnixMillis(10_000_200_000),
    }
}

#[test]
fn what_is_shown_cannot_become_html() {
    let mut page = empty();
    let wrong = "<script>\"'&";
    lists::dead_table(
        &mut page,
        &[json!({"id": wrong, "kind": wrong, "slug": wrong, "at": 10_000_080_000_u64})],
    );
    page.mail_link(wrong);
    page.link(wrong, wrong, true);
    page.state(wrong, Tone::Good);
    assert!(!page.html.contains("<script"), "{}", page.html);
    assert!(
        page.html
            .contains("value=\"&lt;script&gt;&quot;&#39;&amp;\"")
    );
    assert!(page.html.contains(">2 min ago<"), "{}", page.html);
}

#[test]
fn an_id_is_shortened_to_its_end_which_tells_mails_apart() {
    assert_eq!(
        short("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
        "msg_\u{2026}vzRbpk"
    );
    assert_eq!(short("msg_1"), "msg_1");
}

#[test]
fn the_policy_names_the_style_and_allows_nothing_else_but_the_pages_own_forms() {
    let hash = STANDARD.encode(Sha256::digest(style::STYLE));
    let expected = [
        "default-src 'none'".to_owned(),
        format!("style-src 'sha256-{hash}'"),
        "form-action 'self'".to_owned(),
        "base-uri 'none'".to_owned(),
        "frame-ancestors 'none'".to_owned(),
    ];
    assert_eq!(policy(), expected.join("; "));
}
