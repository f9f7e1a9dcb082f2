//! What the HTML standard says of elements, by their names.

/// The tags that HTML mails have. Other mails hold addresses in angle brackets, which are no tags.
pub fn is_known(name: &str) -> bool {
    const NAMES: [&str; 38] = [
        "html",
        "head",
        "body",
        "title",
        "meta",
        "style",
        "table",
        "tbody",
        "tr",
        "td",
        "th",
        "div",
        "span",
        "p",
        "br",
        "a",
        "b",
        "i",
        "u",
        "em",
        "strong",
        "font",
        "center",
        "section",
        "h1",
        "h2",
        "h3",
        "h4",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "pre",
        "hr",
        "img",
        "blockquote",
    ];
    NAMES.contains(&name)
}

/// Elements without content.
pub fn is_void(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input",
        "link", "meta", "param", "source", "track", "wbr",
    ];
    NAMES.contains(&name)
}

/// Elements whose content browsers do not show as text, whatever their style.
pub fn is_never_shown(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "head", "title", "script", "style", "noscript", "template", "svg", "iframe", "noembed",
        "noframes", "audio", "video", "canvas", "datalist",
    ];
    NAMES.contains(&name)
}

/// Elements that begin and end a line.
pub fn ends_line(name: &str) -> bool {
    const NAMES: [&str; 34] = [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tr",
        "ul",
    ];
    NAMES.contains(&name)
}

/// Elements that may stand in a head; any other ends it.
pub fn belongs_to_head(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "base", "basefont", "bgsound", "head", "html", "link", "meta", "noframes", "noscript",
        "script", "style", "template", "title",
    ];
    NAMES.contains(&name)
}

/// Start tags that end a paragraph.
pub fn ends_paragraph(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "dialog",
        "dir",
        "hgroup",
        "listing",
        "menu",
        "plaintext",
        "search",
        "xmp",
    ];
    NAMES.contains(&name) || ends_line(name) && !matches!(name, "br" | "tr")
}

/// Elements of text, whose end tags end them alone and not what was opened inside.
pub fn is_formatting(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt",
        "u",
    ];
    NAMES.contains(&name)
}

/// Start tags that end a drawing.
pub fn ends_drawing(name: &str) -> bool {
    const NAMES: [&str; 8] = ["body", "head", "img", "meta", "span", "sub", "sup", "var"];
    NAMES.contains(&name) || ends_line(name) || is_formatting(name)
}

/// Elements that end tags of others do not reach over.
pub fn is_scope(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "applet", "caption", "html", "marquee", "object", "table", "td", "template", "th",
    ];
    NAMES.contains(&name)
}

/// The standard's "special" elements: the end tag of one that is not does not reach over them.
pub fn is_special(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "body", "button", "colgroup", "frameset", "select", "tbody", "textarea", "tfoot", "thead",
        "tr",
    ];
    NAMES.contains(&name) || is_scope(name) || ends_paragraph(name) || is_never_shown(name)
}

type Ended = (&'static [&'static str], fn(&str) -> bool);

/// Which open elements a start tag ends, and which it does not reach over. Paragraphs are apart.
pub fn ended_by(name: &str) -> Option<Ended> {
    const ITEM: &[&str] = &["li"];
    const TERM: &[&str] = &["dd", "dt"];
    const CELL: &[&str] = &["td", "th"];
    const ROW: &[&str] = &["tr"];
    const GROUP: &[&str] = &["thead", "tbody", "tfoot", "caption", "colgroup"];
    const OPTION: &[&str] = &["option"];
    const LINK: &[&str] = &["a"];
    let is_list = |name: &str| is_special(name) && !matches!(name, "address" | "div" | "p");
    let is_table = |name: &str| matches!(name, "table" | "template" | "html");
    match name {
        "li" => Some((ITEM, is_list)),
        "dd" | "dt" => Some((TERM, is_list)),
        "td" | "th" => Some((CELL, is_table)),
        "tr" => Some((ROW, is_table)),
        "thead" | "tbody" | "tfoot" => Some((GROUP, is_table)),
        "option" => Some((OPTION, is_special)),
        "a" => Some((LINK, is_scope)),
        _ => None,
    }
}
