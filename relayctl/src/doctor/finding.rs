//! The result of a check.

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The check needs something that is not known here.
    Skip,
    /// All well.
    Pass,
    /// It works, but somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
}

impl State {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The id of the check, one of [`CHECKS`](super::CHECKS).
    pub id: &'static str,
    /// How it ended.
    pub state: State,
    /// What was seen.
    pub cause: String,
    /// How to fix it; empty when all is well.
    pub fix: String,
    /// The secrets that would have to be known here for the check.
    pub lacks: Vec<&'static str>,
}

impl Finding {
    fn new(
        id: &'static str,
        state: State,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            id,
            state,
            cause: cause.into(),
            fix: fix.into(),
            lacks: Vec::new(),
        }
    }

    /// A check that was left out because these secrets are not known here.
    pub fn lacking(mut self, names: &[&'static str]) -> Self {
        self.lacks = names.to_vec();
        self
    }

    pub fn document(&self) -> Value {
        json!({
            "id": self.id, "state": self.state.name(), "cause": self.cause, "fix": self.fix,
            "docs": format!("docs/doctor.md#{}", self.id),
        })
    }
}

pub fn pass(id: &'static str, cause: impl Into<String>) -> Finding {
    Finding::new(id, State::Pass, cause, "")
}

pub fn skip(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::new(id, State::Skip, cause, fix)
}

pub fn warn(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::new(id, State::Warn, cause, fix)
}

pub fn fail(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::new(id, State::Fail, cause, fix)
}

/// One line for all that was skipped: how many, why, and what to set. `None`: nothing was.
pub fn skipped(findings: &[Finding]) -> Option<String> {
    let skipped: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.state == State::Skip)
        .collect();
    let count = match skipped.len() {
        0 => return None,
        1 => "1 check".to_owned(),
        count => format!("{count} checks"),
    };
    let mut names: Vec<&str> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    for finding in &skipped {
        // What only follows from another that was skipped is no reason of its own.
        let see = finding.fix.strip_prefix("see ");
        if see.is_some_and(|see| skipped.iter().any(|other| other.id == see)) {
            continue;
        }
        names.extend(&finding.lacks);
        if finding.lacks.is_empty() {
            reasons.push(reason(finding));
        }
    }
    names.sort_unstable();
    names.dedup();
    reasons.sort_unstable();
    reasons.dedup();
    if !names.is_empty() {
        let (are, them) = match names.len() {
            1 => ("is", "it"),
            _ => ("are", "them"),
        };
        let set = format!("set {them} in the environment or .dev.vars");
        reasons.insert(0, format!("{} {are} not known ({set})", names.join(", ")));
    }
    Some(format!(
        "{count}, because {}; --json lists {}",
        reasons.join("; "),
        if skipped.len() == 1 { "it" } else { "them" }
    ))
}

/// The first clause of the cause and of the fix.
fn reason(finding: &Finding) -> String {
    let first = |text: &str| {
        let ends = [": ", "; ", ". "].into_iter();
        let end = ends.filter_map(|end| text.find(end)).min();
        text.get(..end.unwrap_or(text.len()))
            .unwrap_or(text)
            .to_owned()
    };
    match first(&finding.fix) {
        fix if fix.is_empty() => first(&finding.cause),
        fix => format!("{} ({fix})", first(&finding.cause)),
    }
}

/// At most `at_most` of the texts, separated by commas.
pub fn some_of<Text: AsRef<str>>(texts: &[Text], at_most: usize) -> String {
    let shown: Vec<&str> = texts.iter().take(at_most).map(AsRef::as_ref).collect();
    match texts.len().saturating_sub(at_most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
