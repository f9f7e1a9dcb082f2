//! Inputs without end, made of a corpus; what reaches new code joins it.

use crate::{
    choices::Random,
    coverage::{Coverage, steps},
};
use clerk_nylas_relay::redact::text::redact_body;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// What is fuzzed.
pub struct Target {
    pub name: &'static str,
    /// Panics if something that must hold does not.
    pub execute: fn(&[u8]),
    /// The body of a reply that an input stands for. Its work grows no faster than its length.
    pub grows: Option<fn(&[u8]) -> String>,
    /// What is inserted now and then.
    pub words: &'static [&'static str],
}

/// Longer inputs are cut: short ones find the same and are quick.
const INPUT_BYTES_MAX: usize = 600;
const CORPUS_MAX: usize = 20_000;
/// It takes a thousand times as long as an execution.
const GROWTH_EVERY: u64 = 8192;

/// The inputs in a folder, by name.
fn inputs_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Executes one input of a file.
pub fn replay(target: &Target, file: &Path) {
    (target.execute)(&fs::read(file).unwrap());
    println!("{}: {} holds", target.name, file.display());
}

/// Executes the corpus, and that many inputs made of it. The same seed and corpus make the same inputs. What reaches
/// new code is also kept in the folder `more`, from which the next run goes on, be it of the quicker build.
pub fn run(target: &Target, executions: u64, seed: u64, more: Option<&Path>) {
    let mut coverage = Coverage::new();
    let mut random = Random(seed);
    let mut corpus = Vec::new();
    let more = more.map(|folder| folder.join(target.name));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut inputs = inputs_in(&repository.join(target.name));
    assert!(!inputs.is_empty(), "{} has no corpus", target.name);
    if let Some(more) = &more {
        fs::create_dir_all(more).unwrap();
        inputs.extend(inputs_in(more));
    }
    for (path, input) in inputs {
        execute(target, &coverage, &input, &format!("{}", path.display()));
        coverage.is_new();
        corpus.push(input);
    }
    let say = |done: u64, coverage: &Coverage, corpus: usize| {
        println!(
            "{}: {done} executions, seed {seed}, {} edges, corpus of {corpus}",
            target.name,
            coverage.edges()
        );
    };
    for number in 1..=executions {
        let input = make(&mut random, &corpus, target.words);
        execute(
            target,
            &coverage,
            &input,
            &format!("execution {number} of seed {seed}"),
        );
        let is_new = coverage.is_new();
        if let Some(body) = target.grows
            && number % GROWTH_EVERY == 0
        {
            assert_linear(&coverage, &body(&input), target.name);
        }
        if is_new && corpus.len() < CORPUS_MAX {
            if let Some(more) = &more {
                fs::write(more.join(format!("{seed}-{number}")), &input).unwrap();
            }
            corpus.push(input);
        }
        if number % 1_000_000 == 0 {
            say(number, &coverage, corpus.len());
        }
    }
    say(executions, &coverage, corpus.len());
}

/// Executes an input, and keeps it in a file if something does not hold.
fn execute(target: &Target, coverage: &Coverage, input: &[u8], what: &str) {
    coverage.begin();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.execute)(input))) {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
        fs::write(&file, input).unwrap();
        eprintln!(
            "{}: {what} failed. The input is in {file}; again: make fuzz TARGET={0} INPUT={file}",
            target.name,
            file = file.display()
        );
        std::panic::resume_unwind(panic);
    }
}

/// A body of double the length takes at most two and a half times the steps.
fn assert_linear(coverage: &Coverage, body: &str, name: &str) {
    let steps_of = |bytes: usize| {
        let long = body.repeat(bytes.div_ceil(body.len().max(1)));
        coverage.begin();
        redact_body(&long);
        steps()
    };
    let (one, two) = (steps_of(16 * 1024), steps_of(32 * 1024));
    assert!(
        two <= one / 2 * 5 + 10_000,
        "{name}: {one} steps become {two}, when this is repeated: {body:?}"
    );
}

/// A new input: random bytes, or one of the corpus, changed.
fn make(random: &mut Random, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    if random.below(8) == 0 {
        let length = random.below(160);
        return (0..length).map(|_| random.next() as u8).collect();
    }
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        change(random, &mut input, corpus, words);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    let at = random.below(input.len() + 1);
    let to = (at + 1 + random.below(16)).min(input.len());
    let piece = |random: &mut Random, of: &[u8]| {
        let from = random.below(of.len() + 1);
        of[from..(from + 1 + random.below(32)).min(of.len())].to_vec()
    };
    match random.below(8) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        2 => {
            input.drain(at..to);
        }
        3 => {
            let inserted = vec![random.next() as u8; random.below(4) + 1];
            input.splice(at..at, inserted);
        }
        4 => {
            let inserted = piece(random, input);
            input.splice(at..at, inserted);
        }
        5 => {
            let other = &corpus[random.below(corpus.len())];
            let inserted = piece(random, other);
            input.splice(at..to, inserted);
        }
        6 => {
            let other = &corpus[random.below(corpus.len())];
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        _ => {
            if !words.is_empty() {
                let word = words[random.below(words.len())];
                input.splice(at..at, word.bytes());
            }
        }
    }
}
