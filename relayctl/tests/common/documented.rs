//! What `docs/relayctl.md` shows is compared with what was printed, with times, addresses and made-up ids masked. A
//! line `...` stands for any lines, ` ...` at the end of a line for the rest of it.

const DOCS: &str = include_str!("../../../docs/relayctl.md");

/// The sections' names, in their order.
pub fn sections() -> Vec<String> {
    let headings = DOCS.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(str::to_owned).collect()
}

fn section(name: &str) -> &'static str {
    let (_, rest) = DOCS
        .split_once(&format!("\n## {name}\n"))
        .unwrap_or_else(|| panic!("{name} is no section"));
    rest.split("\n## ").next().unwrap()
}

/// Whether a section says so, wherever its lines break.
pub fn says(name: &str, words: &str) -> bool {
    let text: Vec<&str> = section(name).split_whitespace().collect();
    text.join(" ").contains(words)
}

/// The outputs of a section, in their order.
pub fn blocks(name: &str) -> Vec<String> {
    let fenced = section(name).split("\n```\n").skip(1).step_by(2);
    fenced.map(str::to_owned).collect()
}

/// The grant id that a word ends in, or nothing.
fn uuid_at_the_end(word: &str) -> &str {
    let start = word.rfind('=').map_or(0, |at| at + 1);
    let lengths = word[start..].split('-').map(str::len);
    let is_uuid = lengths.eq([8, 4, 4, 4, 12]);
    if is_uuid { &word[start..] } else { "" }
}

/// A line without what differs from run to run; columns are one space apart.
fn masked(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut shown: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let bare = word.trim_end_matches([',', ';', ')', ':']);
        let end = &word[bare.len()..];
        let next = words.get(at + 1).copied().unwrap_or_default();
        let unit = next.trim_end_matches([',', ';', ')', ':']);
        let is_number = |text: &str| text.parse::<f64>().is_ok();
        let has_form = |form: &str| {
            bare.len() == form.len()
                && bare
                    .chars()
                    .zip(form.chars())
                    .all(|(is, should)| is == should || (should == '0' && is.is_ascii_digit()))
        };
        if is_number(word) && ["ms", "s", "min", "h", "d"].contains(&unit) {
            shown.push(format!("LONG{}", &next[unit.len()..]));
            at += 1;
        } else if bare.starts_with("http://") || bare.starts_with("https://") {
            shown.push(format!("URL{end}"));
        } else if bare.starts_with("msg_sample_") {
            shown.push(format!("msg_sample{end}"));
        } else if let Some(name) = bare.strip_suffix(uuid_at_the_end(bare))
            && name.len() < bare.len()
        {
            shown.push(format!("{name}UUID{end}"));
        } else if has_form("0000-00-00") || has_form("00:00:00Z") {
            shown.push(format!("TIME{end}"));
        } else {
            shown.push((*word).to_owned());
        }
        at += 1;
    }
    let indent = line.len() - line.trim_start().len();
    format!("{}{}", " ".repeat(indent), shown.join(" "))
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    // The command itself stands in some blocks.
    lines
        .filter(|line| !line.starts_with("$ "))
        .map(masked)
        .collect()
}

fn is_as(shown: &str, printed: &str) -> bool {
    match shown.strip_suffix(" ...") {
        Some(start) => printed.starts_with(start.trim_end_matches(',')),
        None => shown == printed,
    }
}

/// Panics unless the block is what was printed.
pub fn compare(block: &str, printed: &str) {
    let (shown, all) = (lines(block), lines(printed));
    let mut from = 0;
    let parts: Vec<&[String]> = shown.split(|line| line.trim() == "...").collect();
    for (number, part) in parts.iter().enumerate() {
        let fits = |at: usize| {
            part.len() + at <= all.len()
                && part
                    .iter()
                    .zip(&all[at..])
                    .all(|(shown, printed)| is_as(shown, printed))
        };
        let found = match number {
            0 => Some(0).filter(|_| fits(0)),
            _ if number + 1 == parts.len() => {
                let last = all.len().saturating_sub(part.len());
                Some(last).filter(|at| *at >= from && fits(*at))
            }
            _ => (from..=all.len()).find(|at| fits(*at)),
        };
        let at = found.unwrap_or_else(|| {
            panic!(
                "the docs show\n{}\n\nprinted is\n{}",
                shown.join("\n"),
                all.join("\n")
            )
        });
        from = at + part.len();
    }
    assert!(
        parts.len() > 1 || from == all.len(),
        "the docs leave out the end of\n{printed}"
    );
}
