//! The day in two pictures: how many mails an hour and what became of them, and how long users waited. They are inline
//! SVG, can be told apart without colour, and are there as a table, too. Coordinates are whole numbers.

use super::html::Html;
use crate::{
    model::time::{HOUR, UnixMillis, millis, words},
    operator::mails::{Mail, Tone, percentile, waits},
};

const HOURS: usize = 24;
const LEFT: usize = 500;
const STEP: usize = 128;
const TOP: usize = 110;
const BOTTOM: usize = 1230;

/// The patterns of the bars: a hatch for those that wait, a cross-hatch for those that were not received.
const PATTERNS: &str = "<defs><pattern id=pw width=60 height=60 patternUnits=userSpaceOnUse \
patternTransform='rotate(45)'><line class=ink-wait x1=0 y1=0 x2=0 y2=60 /></pattern>\
<pattern id=pb width=64 height=64 patternUnits=userSpaceOnUse patternTransform='rotate(45)'>\
<line class=ink-bad x1=0 y1=0 x2=0 y2=64 /><line class=ink-bad x1=0 y1=0 x2=64 y2=0 /></pattern></defs>";

/// One hour.
struct Bar<'a> {
    /// The hour of the day, UTC.
    hour: usize,
    mails: Vec<&'a Mail>,
    p50: Option<u64>,
    p95: Option<u64>,
}

impl Bar<'_> {
    fn count(&self, tone: Tone) -> usize {
        self.mails.iter().filter(|mail| mail.tone() == tone).count()
    }
}

fn bars(mails: &[Mail], now: UnixMillis) -> Vec<Bar<'_>> {
    let hour_of = |at: u64| at.checked_div(millis(HOUR)).unwrap_or_default();
    let this = hour_of(now.0);
    let hours = u64::try_from(HOURS).unwrap_or_default();
    let first = this.saturating_add(1).saturating_sub(hours);
    let bar = |hour: u64| {
        let mails: Vec<&Mail> = mails
            .iter()
            .filter(|mail| hour_of(mail.made_at()) == hour)
            .collect();
        let waits = waits(mails.iter().copied(), now);
        Bar {
            hour: usize::try_from(hour % 24).unwrap_or_default(),
            mails,
            p50: percentile(&waits, 50),
            p95: percentile(&waits, 95),
        }
    };
    (first..=this).map(bar).collect()
}

/// The day in pictures and numbers.
pub fn day(page: &mut Html, mails: &[Mail]) {
    let now = page.now;
    let bars = bars(mails, now);
    page.push("<section aria-labelledby=day><h2 id=day>The last 24 hours</h2><div class=pictures>");
    counted(page, &bars);
    waited(page, &bars, mails);
    page.push("</div>");
    as_table(page, &bars);
    page.push("</section>");
}

fn begin(page: &mut Html, label: &str) {
    page.push("<figure><svg viewBox='0 0 3600 1400' role=img aria-label=\"");
    page.text(label);
    page.push("\">");
}

/// A line at a height, and what it stands for.
fn grid(page: &mut Html, y: usize, label: &str) {
    let right = LEFT.saturating_add(STEP.saturating_mul(HOURS));
    page.push(&format!(
        "<line x1={LEFT} x2={right} y1={y} y2={y} /><text x={} y={} text-anchor=end>{label}</text>",
        LEFT.saturating_sub(40),
        y.saturating_add(40)
    ));
}

fn left_of(index: usize) -> usize {
    LEFT.saturating_add(STEP.saturating_mul(index))
}

/// Every sixth hour of the day.
fn hours(page: &mut Html, bars: &[Bar<'_>]) {
    for (index, bar) in bars.iter().enumerate() {
        if bar.hour % 6 == 0 {
            // Below the last bars there is no room to both sides.
            let (x, anchor) = match index {
                22.. => (left_of(HOURS), "end"),
                _ => (left_of(index).saturating_add(STEP / 2), "middle"),
            };
            page.push(&format!(
                "<text x={x} y=1370 text-anchor={anchor}>{:02}:00</text>",
                bar.hour
            ));
        }
    }
}

/// The height that `value` of `max` has in a picture.
fn height(value: usize, max: usize) -> usize {
    let all = BOTTOM.saturating_sub(TOP);
    value
        .saturating_mul(all)
        .checked_div(max)
        .unwrap_or_default()
}

/// The least even number of one digit and zeros, or so, that is not less.
fn round_up(max: usize) -> usize {
    let mut unit = 1_usize;
    loop {
        for digit in [2, 4, 10] {
            let round = unit.saturating_mul(digit);
            if round >= max || round == usize::MAX {
                return round;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

fn counted(page: &mut Html, bars: &[Bar<'_>]) {
    let all: usize = bars.iter().map(|bar| bar.mails.len()).sum();
    let of = |tone| bars.iter().map(|bar| bar.count(tone)).sum::<usize>();
    let most = bars.iter().map(|bar| bar.mails.len()).max();
    let max = round_up(most.unwrap_or_default());
    begin(
        page,
        &format!("{all} mails by hour; the table below has the numbers"),
    );
    page.push(PATTERNS);
    for value in [0, max / 2, max] {
        let y = BOTTOM.saturating_sub(height(value, max));
        grid(page, y, &value.to_string());
    }
    for (index, bar) in bars
        .iter()
        .enumerate()
        .filter(|(_, bar)| !bar.mails.is_empty())
    {
        page.push("<g><title>");
        page.text(&format!("from {:02}:00 UTC:", bar.hour));
        let mut y = BOTTOM;
        let mut rects = String::new();
        for tone in Tone::ALL.into_iter().filter(|tone| bar.count(*tone) > 0) {
            let count = bar.count(tone);
            page.text(&format!(" {count} {},", tone.title()));
            let height = height(count, max).max(14);
            y = y.saturating_sub(height);
            let x = left_of(index).saturating_add(18);
            rects.push_str(&format!(
                "<rect class='bar {}'{} x={x} y={y} width=92 height={height} />",
                tone.as_str(),
                fill(tone)
            ));
        }
        page.push("</title>");
        page.push(&rects);
        page.push("</g>");
    }
    hours(page, bars);
    page.push("</svg><figcaption>Mails an hour (UTC): ");
    for (index, tone) in Tone::ALL.into_iter().enumerate() {
        if of(tone) == 0 && tone == Tone::Neutral {
            continue;
        }
        page.push(if index > 0 { " &nbsp; " } else { "" });
        page.push(&format!(
            "<span class=one><svg class=key viewBox='0 0 200 160' aria-hidden=true><rect class='bar {}'{} \
             x=10 y=10 width=180 \
             height=140 /></svg> ",
            tone.as_str(),
            fill(tone)
        ));
        page.text(&format!("{} {}", of(tone), tone.title()));
        page.push("</span>");
    }
    page.push("</figcaption></figure>");
}

fn fill(tone: Tone) -> &'static str {
    match tone {
        Tone::Waiting => " fill=url(#pw)",
        Tone::Bad => " fill=url(#pb)",
        Tone::Good | Tone::Neutral => "",
    }
}

/// What the lines of the second picture stand for. Each is about ten times the one below.
const TICKS: [u64; 8] = [
    100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 21_600_000, 86_400_000,
];

/// Where a wait is between the ticks, in thousandths of a step.
fn place(ms: u64) -> u64 {
    let mut below = 0_u64;
    for pair in TICKS.windows(2) {
        let &[low, high] = pair else { continue };
        if ms < high {
            let part = ms.saturating_sub(low).saturating_mul(1000);
            let part = part.checked_div(high.saturating_sub(low));
            return below.saturating_add(part.unwrap_or_default());
        }
        below = below.saturating_add(1000);
    }
    below
}

fn waited(page: &mut Html, bars: &[Bar<'_>], mails: &[Mail]) {
    let longest = bars.iter().filter_map(|bar| bar.p95).max();
    let steps = place(longest.unwrap_or_default()).div_ceil(1000).max(2);
    let steps = usize::try_from(steps).unwrap_or(2);
    let y_of = |ms: u64| {
        let place = usize::try_from(place(ms)).unwrap_or_default();
        BOTTOM.saturating_sub(height(place, steps.saturating_mul(1000)))
    };
    begin(
        page,
        "How long users waited, by hour; the table below has the numbers",
    );
    for tick in TICKS.into_iter().take(steps.saturating_add(1)) {
        grid(page, y_of(tick), &tick_label(tick));
    }
    for (values, class) in [
        (
            bars.iter().map(|bar| bar.p95).collect::<Vec<_>>(),
            "line dash",
        ),
        (bars.iter().map(|bar| bar.p50).collect(), "line"),
    ] {
        let mut path = String::new();
        let mut joins = false;
        for (index, value) in values.iter().enumerate() {
            if let Some(ms) = value {
                let x = left_of(index).saturating_add(STEP / 2);
                let command = if joins { 'L' } else { 'M' };
                path.push_str(&format!("{command}{x} {}", y_of(*ms)));
            }
            joins = value.is_some();
        }
        page.push(&format!("<path class='{class}' d='{path}'/>"));
    }
    for (index, bar) in bars.iter().enumerate() {
        let (Some(p50), Some(p95)) = (bar.p50, bar.p95) else {
            continue;
        };
        let x = left_of(index).saturating_add(STEP / 2);
        page.push(&format!(
            "<g><title>from {:02}:00 UTC: half at most {}, 95 % at most {}</title>\
             <rect class=p95 x={} y={} width=70 height=70 /><circle class=p50 cx={x} cy={} r=34 /></g>",
            bar.hour,
            words(p50),
            words(p95),
            x.saturating_sub(35),
            y_of(p95).saturating_sub(35),
            y_of(p50)
        ));
    }
    hours(page, bars);
    page.push("</svg><figcaption>");
    waited_in_words(page, mails);
    page.push("</figcaption></figure>");
}

fn waited_in_words(page: &mut Html, mails: &[Mail]) {
    let now = page.now;
    let all = waits(mails.iter().filter(|mail| mail.is_of_today(now)), now);
    match (percentile(&all, 50), percentile(&all, 95)) {
        (Some(p50), Some(p95)) => {
            page.push(
                "Waited: <span class=one><svg class=key viewBox='0 0 200 160' aria-hidden=true>\
                 <circle class=p50 cx=100 cy=80 r=60 /></svg> half at most <b>",
            );
            page.text(&words(p50));
            page.push("</b></span> &nbsp; <span class=one><svg class=key viewBox='0 0 200 160' aria-hidden=true>\
                 <rect class=p95 x=40 y=20 width=120 height=120 /></svg> 95 % at most <b>");
            page.text(&words(p95));
            page.push("</b></span> &nbsp; who still waits counts");
        }
        _ => page.push("How long users waited: nobody did."),
    }
}

fn tick_label(ms: u64) -> String {
    match ms {
        100 => "0.1 s".to_owned(),
        1_000 => "1 s".to_owned(),
        60_000 => "1 min".to_owned(),
        3_600_000 => "1 h".to_owned(),
        86_400_000 => "1 day".to_owned(),
        ms => words(ms),
    }
}

fn as_table(page: &mut Html, bars: &[Bar<'_>]) {
    page.push("<details><summary>The same as a table</summary>");
    let titles = Tone::ALL.map(Tone::title);
    let columns = [
        &["from (UTC)"],
        &titles[..],
        &["half waited", "95 % waited"],
    ]
    .concat();
    page.table("The last 24 hours, by hour", &columns);
    for bar in bars.iter().rev().filter(|bar| !bar.mails.is_empty()) {
        page.row();
        page.text_cell("", &format!("{:02}:00", bar.hour));
        for tone in Tone::ALL {
            page.text_cell(tone.title(), &bar.count(tone).to_string());
        }
        for (label, wait) in [("half", bar.p50), ("95 %", bar.p95)] {
            page.text_cell(label, &wait.map(words).unwrap_or_default());
        }
    }
    page.end_table();
    page.push("</details>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_even_number() {
        for (most, end) in [
            (0, 2),
            (2, 2),
            (3, 4),
            (7, 10),
            (11, 20),
            (150, 200),
            (401, 1000),
        ] {
            assert_eq!(round_up(most), end, "{most}");
        }
    }

    #[test]
    fn ten_times_the_wait_is_one_line_higher() {
        for (ms, place) in [
            (0, 0),
            (100, 0),
            (550, 500),
            (1_000, 1000),
            (60_000, 3000),
            (86_400_000, 7000),
            (u64::MAX, 7000),
        ] {
            assert_eq!(super::place(ms), place, "{ms}");
        }
    }
}
