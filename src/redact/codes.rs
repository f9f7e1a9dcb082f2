//! Codes of letters and digits, and codes of capitals alone.

use super::{
    CODE_REMOVED,
    normal::is_between,
    words::{Word, is_address, replace_ranges, split_words},
};
use std::ops::Range;

/// No code that Clerk makes is shorter, and shorter ones are words like "B12" and "24h".
const LENGTH_MIN: usize = 6;
/// A spaced code may touch a word at its first character: "code:K 7 F 2 Q 9".
const SPACED_MIN: usize = 5;
/// A word of more capitals is a word.
const CAPITALS_MAX: usize = 10;

/// Removes codes. The text keeps its number of lines.
pub fn redact_codes(text: &str) -> String {
    let words = split_words(text);
    let mut codes = Codes::default();
    for (at, word) in words.iter().enumerate() {
        codes.found.push(if is_address(word.text) {
            Vec::new()
        } else {
            codes_in(word.text, || is_shouted(&words, at))
        });
    }
    codes.find_spaced(&words);
    codes.write(&words)
}

/// Letters and digits in a row.
#[derive(Clone)]
struct Group {
    at: Range<usize>,
    has_small: bool,
    has_capital: bool,
    has_digit: bool,
    is_code: bool,
}

impl Group {
    fn new(at: Range<usize>, text: &str) -> Self {
        let has = |is_it: fn(&u8) -> bool| text.as_bytes().iter().any(is_it);
        Self {
            at,
            has_small: has(u8::is_ascii_lowercase),
            has_capital: has(u8::is_ascii_uppercase),
            has_digit: has(u8::is_ascii_digit),
            is_code: false,
        }
    }

    fn is_mixed(&self) -> bool {
        self.has_digit && (self.has_small || self.has_capital)
    }
}

/// The groups of a word that only punctuation separates. Letters other than ASCII's belong to no code, and part them.
fn chains(word: &str) -> Vec<Vec<Group>> {
    let mut chains = vec![Vec::new()];
    let mut start = None;
    for (at, letter) in word.char_indices().chain([(word.len(), ' ')]) {
        if letter.is_ascii_alphanumeric() {
            start = start.or(Some(at));
            continue;
        }
        if let (Some(start), Some(chain)) = (start.take(), chains.last_mut()) {
            let range = start..at;
            let text = word.get(range.clone()).unwrap_or_default();
            chain.push(Group::new(range, text));
        }
        if !is_between(letter) {
            chains.push(Vec::new());
        }
    }
    chains
}

fn letters(groups: &[Group]) -> usize {
    groups.iter().map(|group| group.at.len()).sum()
}

fn has_letter_and_digit(groups: &[Group]) -> bool {
    groups.iter().any(|group| group.has_digit)
        && groups
            .iter()
            .any(|group| group.has_small || group.has_capital)
}

/// Which parts of a word are codes.
fn codes_in(word: &str, is_shouted: impl Fn() -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if word.len() < LENGTH_MIN {
        return found;
    }
    for mut chain in chains(word) {
        // "K7F-2Q9", "XKQZWP".
        for run in chain.chunk_by_mut(|a, b| a.has_small == b.has_small) {
            let is_capital = run.first().is_some_and(|group| !group.has_small);
            let length = letters(run);
            if is_capital
                && length >= LENGTH_MIN
                && run.iter().any(|group| group.has_capital)
                && (has_letter_and_digit(run) || length <= CAPITALS_MAX && !is_shouted())
            {
                run.iter_mut().for_each(|group| group.is_code = true);
            }
        }
        // "abc-12d".
        for run in chain.chunk_by_mut(|a, b| a.at.len() == b.at.len()) {
            if run.len() > 1 && letters(run) >= LENGTH_MIN && has_letter_and_digit(run) {
                run.iter_mut().for_each(|group| group.is_code = true);
            }
        }
        // "k7f2q9", "k7f-2q9x".
        for run in chain.chunk_by_mut(|a, b| a.is_mixed() == b.is_mixed()) {
            if letters(run) >= LENGTH_MIN && run.iter().all(Group::is_mixed) {
                run.iter_mut().for_each(|group| group.is_code = true);
            }
        }
        for run in chain.chunk_by(|a, b| a.is_code == b.is_code) {
            if let (Some(first), Some(last)) = (run.first(), run.last())
                && first.is_code
            {
                found.push(first.at.start..last.at.end);
            }
        }
    }
    found
}

/// A word, if it is one group, and where it stands.
struct Lone {
    at: usize,
    line: usize,
    group: Option<Group>,
}

impl Lone {
    /// Words of punctuation alone are passed over: "K - 7 - F".
    fn all(words: &[Word<'_>]) -> Vec<Self> {
        let mut line = 0_usize;
        let mut all = Vec::new();
        for (at, word) in words.iter().enumerate() {
            if word.text.contains(|letter| !is_between(letter)) {
                let group = lone_group(word.text);
                all.push(Self { at, line, group });
            }
            line = line.saturating_add(usize::from(word.ends_line()));
        }
        all
    }

    fn length(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.at.len())
    }

    fn is_mixed(&self) -> bool {
        self.group.as_ref().is_some_and(Group::is_mixed)
    }

    fn is_in_capitals(&self) -> bool {
        self.group.as_ref().is_some_and(|group| !group.has_small)
    }
}

/// What was found in each word.
#[derive(Default)]
struct Codes {
    found: Vec<Vec<Range<usize>>>,
    /// The rest of a code whose marker stands in the place of its first word.
    dropped: Vec<bool>,
}

impl Codes {
    /// Codes with spaces inside: "K 7 F 2 Q 9", "k7f 2q9", "K7F ABC".
    fn find_spaced(&mut self, words: &[Word<'_>]) {
        self.dropped = vec![false; words.len()];
        let lone = Lone::all(words);
        // One letter or digit a word, over lines, too: the cells of a table become such words.
        let is_single = |word: &Lone| word.length() == 1;
        for run in lone.chunk_by(|a, b| is_single(a) == is_single(b)) {
            if run.len() >= SPACED_MIN && run.iter().all(is_single) {
                self.mark(run);
            }
        }
        for run in lone.chunk_by(|a, b| a.is_mixed() == b.is_mixed()) {
            self.mark_code(run);
        }
        let is_like = |a: &Lone, b: &Lone| {
            a.length() == b.length() && a.is_in_capitals() == b.is_in_capitals()
        };
        for run in lone.chunk_by(|a, b| a.line == b.line && is_like(a, b)) {
            if run.iter().all(Lone::is_in_capitals) {
                self.mark_code(run);
            }
        }
    }

    /// Marks a run that is long enough and has a group of letters and digits.
    fn mark_code(&mut self, run: &[Lone]) {
        let length: usize = run.iter().map(Lone::length).sum();
        if length >= LENGTH_MIN && run.iter().any(Lone::is_mixed) {
            self.mark(run);
        }
    }

    fn mark(&mut self, run: &[Lone]) {
        for (count, word) in run.iter().enumerate() {
            if let (Some(found), Some(dropped), Some(group)) = (
                self.found.get_mut(word.at),
                self.dropped.get_mut(word.at),
                &word.group,
            ) {
                *found = vec![group.at.clone()];
                *dropped |= count > 0;
            }
        }
    }

    fn write(&self, words: &[Word<'_>]) -> String {
        let mut out = String::new();
        for (at, (word, found)) in words.iter().zip(&self.found).enumerate() {
            let is_dropped = |at: usize| self.dropped.get(at).copied().unwrap_or_default();
            if !is_dropped(at) {
                replace_ranges(&mut out, word.text, found, CODE_REMOVED);
            }
            if is_dropped(at.saturating_add(1)) {
                out.extend(word.gap.chars().filter(|letter| *letter == '\n'));
            } else {
                out.push_str(word.gap);
            }
        }
        out
    }
}

/// The only group of a word that has one.
fn lone_group(word: &str) -> Option<Group> {
    // Longer words are no part of a code, and cost more to look at.
    if word.len() > 32 {
        return None;
    }
    let mut chains = chains(word);
    let mut chain = chains.pop()?;
    let group = chain.pop()?;
    (chains.is_empty() && chain.is_empty()).then_some(group)
}

/// Whether a word of capitals is one that people shout, and no code: one of a list, or one among other shouted words
/// that can be pronounced.
fn is_shouted(words: &[Word<'_>], at: usize) -> bool {
    let Some(word) = words.get(at) else {
        return false;
    };
    let core = word
        .text
        .trim_matches(|letter: char| !letter.is_alphanumeric());
    if SHOUTED_WORDS.contains(&core) {
        return true;
    }
    let before = at
        .checked_sub(1)
        .and_then(|at| words.get(at))
        .filter(|word| !word.ends_line());
    let after = words
        .get(at.saturating_add(1))
        .filter(|_| !word.ends_line());
    let is_among_others = before
        .is_some_and(|word| !word.text.ends_with(':') && is_in_capitals(word.text))
        || after.is_some_and(|word| is_in_capitals(word.text));
    is_among_others && is_pronounceable(core) && !names_a_code(words, at)
}

const SHOUTED_WORDS: [&str; 36] = [
    "ACCOUNT",
    "ALWAYS",
    "ANYMORE",
    "ANYTHING",
    "BLOCKED",
    "CANCEL",
    "CANNOT",
    "DELETE",
    "DRINGEND",
    "EVERYTHING",
    "EXPIRED",
    "IMPORTANT",
    "IMPORTANTE",
    "INVALID",
    "LOCKED",
    "NOTHING",
    "PASSWORD",
    "PLEASE",
    "PROBLEM",
    "REALLY",
    "REMOVE",
    "REQUEST",
    "SECURITY",
    "SOMEONE",
    "STOPPED",
    "SUPPORT",
    "THANKS",
    "UNABLE",
    "URGENT",
    "URGENTE",
    "VERIFY",
    "WARNING",
    "WICHTIG",
    "WITHOUT",
    "WORKING",
    "YOURSELF",
];

fn is_in_capitals(word: &str) -> bool {
    word.chars()
        .filter(|letter| letter.is_ascii_uppercase())
        .count()
        >= 2
        && !word
            .chars()
            .any(|letter| letter.is_ascii_lowercase() || letter.is_numeric())
}

/// No four consonants and no four vowels in a row. About half of all codes of six letters pass.
fn is_pronounceable(word: &str) -> bool {
    let is_vowel = |letter: &u8| b"AEIOUY".contains(letter);
    let letters: Vec<u8> = word.bytes().filter(u8::is_ascii_uppercase).collect();
    letters
        .chunk_by(|a, b| is_vowel(a) == is_vowel(b))
        .all(|run| run.len() < 4)
}

/// Whether one of the few words before, in the same line, says that a code follows.
fn names_a_code(words: &[Word<'_>], at: usize) -> bool {
    // Only ASCII is lowered: Unicode's tables for it are six kilobytes of the upload.
    const STARTS: [&str; 11] = [
        "cod",
        "c\u{f3}d",
        "c\u{d3}d",
        "kod",
        "\u{43a}\u{43e}\u{434}",
        "\u{41a}\u{43e}\u{434}",
        "\u{41a}\u{41e}\u{414}",
        "pass",
        "token",
        "otp",
        "pin",
    ];
    let from = at.saturating_sub(6);
    let before = words.get(from..at).unwrap_or_default();
    before
        .iter()
        .rev()
        .take_while(|word| !word.ends_line())
        .any(|word| {
            let word = word.text.to_ascii_lowercase();
            let word = word.trim_start_matches(|letter: char| !letter.is_alphanumeric());
            STARTS.iter().any(|start| word.starts_with(start))
        })
}
