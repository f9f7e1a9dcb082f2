//! Taking templates with a person at the terminal: one first, its mail seen, then the others, asked each time.

use super::clerk::{Clerk, Template};
use crate::{failure::Failure, ui::Ui};
use clerk_nylas_relay::model::mail::Slug;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guided {
    /// Nothing is with Clerk that the relay could take.
    Nothing,
    /// These were taken. Those that are left were not wanted.
    Taken { taken: Vec<String>, left: usize },
    /// The first mail was not seen, and its template was given back.
    NotSeen(String),
}

/// Takes templates. `ask` returns what was typed, and `None` for Enter alone.
pub fn take(
    clerk: &Clerk<'_>,
    is_relayed: impl Fn(&str) -> bool,
    ask: &mut dyn FnMut(&str) -> Option<String>,
    ui: &Ui,
) -> Result<Guided, Failure> {
    let all = clerk.templates()?;
    let mut with_clerk: Vec<&Template> = all
        .iter()
        .filter(|template| template.delivered_by_clerk && is_relayed(&template.slug))
        .collect();
    // Those first that users wait for: the first one is tried at once.
    with_clerk.sort_by_key(|template| {
        let is_code = template.slug == "verification_code";
        (!is_code, Slug::new(Some(&template.slug)).ttl())
    });
    let has_none = all.iter().all(|template| template.delivered_by_clerk);
    let mut taken = Vec::new();
    let mut left = with_clerk.into_iter();
    if has_none {
        let Some(first) = left.next() else {
            return Ok(Guided::Nothing);
        };
        let slug = &first.slug;
        if is_no(ask(&format!(
            "Shall the relay deliver {slug}, and no other yet? (Enter: yes; no)"
        ))) {
            let left = left.len().saturating_add(1);
            return Ok(Guided::Taken { taken, left });
        }
        clerk.deliver(slug, false)?;
        let question = format!(
            "{slug} is the relay's. Have it sent now, as by signing in with a test user. Did the mail come? (yes; \
             anything else gives it back to Clerk)"
        );
        if !is_yes(ask(&question)) {
            clerk.deliver(slug, true)?;
            return Ok(Guided::NotSeen(slug.clone()));
        }
        taken.push(slug.clone());
    } else if left.len() == 0 {
        return Ok(Guided::Nothing);
    }
    let mut kept = 0_usize;
    for template in left {
        let slug = &template.slug;
        if is_no(ask(&format!("{slug}, too? (Enter: yes; no)"))) {
            kept = kept.saturating_add(1);
            continue;
        }
        clerk.deliver(slug, false)?;
        ui.note(format!("{slug} is the relay's"));
        taken.push(slug.clone());
    }
    Ok(Guided::Taken { taken, left: kept })
}

fn begins_with(answer: Option<String>, letter: char) -> bool {
    answer.is_some_and(|answer| answer.to_ascii_lowercase().starts_with(letter))
}

fn is_no(answer: Option<String>) -> bool {
    begins_with(answer, 'n')
}

fn is_yes(answer: Option<String>) -> bool {
    begins_with(answer, 'y')
}
