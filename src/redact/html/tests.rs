//! What is seen of an HTML body.

use super::{Page, elements::Kind, read, tree::Tree};

fn page(body: &str) -> Page {
    read(body).unwrap_or_default()
}

fn text(body: &str) -> String {
    page(body).text.trim().to_owned()
}

#[test]
fn only_a_body_with_tags_that_mails_have_is_html() {
    for plain in [
        "1 < 2 & 3 > x",
        "Acme <auth@acme.example> wrote:",
        "<3",
        "a <https://x.example> b",
        "x<y>z",
        "x <!important> y",
    ] {
        assert!(read(plain).is_none(), "{plain}");
    }
    for html in [
        "<p>x",
        "a<br>b",
        "<!doctype html>x",
        "<!DOCTYPE html>x",
        "x</div>",
        "<DIV class=x>y",
    ] {
        assert!(read(html).is_some(), "{html}");
    }
}

#[test]
fn blocks_become_lines_and_cells_become_words() {
    let body = "<p>One&nbsp;&amp;&#32;two&hellip;</p><ul><li>a</li><li>b</li></ul>\
        <table><tr><td>x</td><td>y</td></tr></table>a<br>b &bogus; &#x41;";
    assert_eq!(
        text(body),
        "One & two…\n\n- a\n\n- b\n\nx y\n\na\nb &bogus; A"
    );
}

#[test]
fn entities_without_a_semicolon_and_of_two_characters_are_read_as_browsers_do() {
    assert_eq!(
        text("<p>a&ampb &#65 &NotEqualTilde; &Zopf;</p>"),
        "a&b A ≂̸ ℤ"
    );
}

#[test]
fn lines_of_preformatted_text_stay_lines() {
    assert_eq!(text("<pre>one\ntwo</pre>"), "one\ntwo");
    assert_eq!(
        text("<div style=\"white-space:pre-wrap\">one\ntwo</div>"),
        "one\ntwo"
    );
    assert_eq!(text("<div>one\ntwo</div>"), "one two");
}

#[test]
fn the_lines_of_the_source_are_kept_where_a_style_says_so() {
    for style in [
        "white-space:pre",
        "white-space:pre-wrap",
        "white-space:break-spaces",
    ] {
        for inside in ["one\ntwo", "<b>one\ntwo</b>"] {
            let shown = text(&format!("<div style=\"{style}\">{inside}</div>"));
            assert_eq!(shown, "one\ntwo", "{style} {inside}");
        }
    }
    assert_eq!(
        text("<div style=\"white-space:normal\">one\ntwo</div>"),
        "one two"
    );
}

#[test]
fn quoted_elements_are_marked_line_by_line() {
    assert_eq!(
        text("<p>new<blockquote>old<br>older</blockquote>new"),
        "new\n\n> old\n> older\nnew"
    );
    assert_eq!(
        text("<div class=\"gmail_quote\">a<blockquote>b</blockquote>c</div>d"),
        "> a\n> b\n> c\nd"
    );
}

#[test]
fn what_cannot_be_seen_is_left_out() {
    for hidden in [
        "<span style=\"DISPLAY : none !important\">x</span>",
        "<span style=\"font-size:0px\">x</span>",
        "<span style=\"font-size: 1px\">x</span>",
        "<span style=\"font-size: .0em\">x</span>",
        "<span style=\"font:0/0 a\">x</span>",
        "<span style=\"font:700 1px a\">x</span>",
        "<div style=\"font-size:0\"><b>x</b></div>",
        "<div style=\"font-size:0\"><b style=\"font-size:inherit\">x</b></div>",
        "<div style=\"font-size:0\"><b style=\"font-size:2em\">x</b></div>",
        "<div style=\"visibility:hidden\"><b>x</b></div>",
        "<b hidden>x</b>",
        "<b style=\"display:none\" style=\"display:block\">x</b>",
        "<b style='opacity: 0.0;'>x</b>",
        "<b style=\"visibility:hidden\">x</b>",
        "<div style=\"max-height:0;overflow:hidden\">x</div>",
        "<div style=\"height:0;overflow:hidden\">x</div>",
        "<div style=\"display:none\"><p>x<p>x<table><tr><td>x</table></div>",
        "<!-- x -->",
        "<!--[if mso]>x<![endif]-->",
        "<script>x('</p>')</script>",
        "<style>x</style>",
        "<title>x</title>",
        "<svg><text>x</text></svg>",
        "<template>x</template>",
        "<img alt=\"x\" src=\"https://spy.example/1.gif\">",
    ] {
        let page = page(&format!("<p>before{hidden}after</p>"));
        let text: String = page.text.split_whitespace().collect();
        assert_eq!(text, "beforeafter", "{hidden}");
        assert!(page.has_more, "{hidden}");
    }
}

#[test]
fn what_can_be_seen_is_not_left_out() {
    for shown in [
        // A cell of MJML: the size is there against gaps between cells, and the text has its own.
        "<table><tr><td style=\"font-size:0px;padding:10px\"><div style=\"font-size:13px\">x</div></td></tr></table>",
        "<div style=\"font-size:0\"><p style=\"font:700 16px/20px Arial\">x</p></div>",
        "<div style=\"visibility:hidden\"><b style=\"visibility:visible\">x</b></div>",
        "<span style=\"font-size:0.9em\">x</span>",
        "<span style=\"opacity:0.5\">x</span>",
        "<span style=\"font-weight:400;mso-hide:all\">x</span>",
        "<div style=\"max-height:0\">x</div>",
        "<div style=\"display:none;display:block\">x</div>",
        "<table><tr><td style=\"height:0;overflow:hidden\">x</td></tr></table>",
        "<table style=\"width:1px;overflow:hidden\"><tr><td>x</table>",
        "<p style=\"display:none\">gone<p>x",
        "<ul><li hidden>gone<li>x</ul>",
        "<ul><li hidden><b>gone<li>x</ul>",
        "<dl><dt hidden>gone<dd>x</dl>",
        "<table><tr hidden><td>gone<tr><td>x</table>",
        "<table><tr><td hidden>gone<td>x</table>",
        "<b style=\"display:none\">gone</b>x",
        "<b hidden><i>gone</b></i>x",
        "<b hidden><p>gone</b>x</p>",
        "<p hidden><b>gone<p>x",
        "<ul><li hidden><div>gone<li>x</ul>",
        "<table><thead hidden><tr><td>gone<tbody><tr><td>x</table>",
        "<p><select><option hidden>gone<option>x</select></p>",
        "<a hidden>gone<a>x</a>",
        "<img hidden>x",
        "<p><br style=\"display:none\">x",
        "<svg><path><p>x",
        "<div><textarea>x</textarea></div>",
    ] {
        let text = text(shown);
        assert!(text.contains('x'), "{shown}");
        assert!(!text.contains("gone"), "{shown}");
    }
}

#[test]
fn what_is_no_text_is_said_to_be_there() {
    for body in [
        "<p><img src=x></p>",
        "<p><video src=x></video></p>",
        "<p><svg><path d=x></svg></p>",
        "<p><iframe src=x></iframe></p>",
        "<p><input type=button value=x></p>",
        "<p><embed src=x></p>",
        "<p><object data=x></object></p>",
    ] {
        let page = page(body);
        assert!(page.text.is_empty() && page.has_more, "{body}");
    }
    for empty in [
        "<p></p>",
        "<html><head><meta charset=utf-8></head><body><div><br></div></body></html>",
    ] {
        assert!(!page(empty).has_more, "{empty}");
    }
}

#[test]
fn a_head_without_its_end_hides_nothing() {
    assert_eq!(text("<html><head><meta charset=utf-8><body>x"), "x");
    assert_eq!(text("<head><style>a{}</style><p>x</p>"), "x");
    assert_eq!(text("<head><title>t</title>x<br>y"), "x\ny");
    assert_eq!(text("<div>x</div><head><div>y</div>"), "x\n\ny");
}

#[test]
fn an_end_tag_ends_only_what_browsers_end_with_it() {
    // `</span>` does not reach over a block, nor `</div>` over a cell.
    assert_eq!(text("<span hidden><div></span>gone</div></span>x"), "x");
    assert_eq!(
        text("<div hidden><table><tr><td></div>gone</table></div>x"),
        "x"
    );
    assert_eq!(text("<b><p hidden></b>gone</p>x"), "x");
    assert_eq!(text("<b><i hidden></b>gone</i>x"), "x");
    assert_eq!(text("<div>a</blockquote></div>b"), "a\n\nb");
}

#[test]
fn a_start_tag_ends_only_what_browsers_end_with_it() {
    // An item of a list inside an item, a paragraph in a button or in an object.
    for inside in [
        "<ul><li hidden>gone<ul><li>gone</ul></ul>x",
        "<p hidden><button><p>gone</button></p>x",
        "<p hidden><object><p>gone</object></p>x",
    ] {
        assert_eq!(text(inside), "x", "{inside}");
    }
}

#[test]
fn the_body_of_a_quoted_mail_does_not_end_the_quote() {
    let quoted = "<html><head><title>t</title></head><body>old</body></html>older";
    let body = &format!("<div>new<blockquote>{quoted}</blockquote>new</div>");
    assert_eq!(text(body), "new\n\n> oldolder\nnew");
}

#[test]
fn text_behind_a_tag_that_does_not_end_is_known_to_be_missing() {
    for broken in [
        "<p>x</p><p title=\"y>z</p>",
        "<p>x</p><!-- y",
        "<p>x</p><span",
    ] {
        let page = page(broken);
        assert_eq!(page.text.trim(), "x", "{broken}");
        assert!(page.is_broken, "{broken}");
    }
    assert_eq!(text("<p>a < b <c and > d</p>"), "a < b d");
}

#[test]
fn elements_deeper_than_any_mail_are_counted_and_not_kept() {
    let deep = |hidden: &str, depth: usize| {
        format!(
            "{hidden}{}x{}</div>y",
            "<div>".repeat(depth),
            "</div>".repeat(depth)
        )
    };
    assert_eq!(text(&deep("<div hidden>", 10_000)), "y");
    assert_eq!(text(&deep("<div>", 10_000)), "x\n\ny");
    let mut tree = Tree::default();
    for _ in 0..10_000 {
        tree.start("div", Kind::of("div"), super::Look::default(), false);
    }
    assert!(tree.depth() <= 256);
}

/// Too deep to be kept one by one, they are counted, so that the end of each is not taken for the end of another.
#[test]
fn what_is_hidden_stays_so_after_elements_too_deep_to_be_kept() {
    let (starts, ends) = ("<div>".repeat(300), "</div>".repeat(300));
    let page = text(&format!("<div hidden>{starts}{ends}gone</div>x"));
    assert_eq!(page, "x");
}
