use super::*;
use serde_json::json;

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
