//! Which part of a reply is new, and which is the history it quotes.

/// A line, without the marks of a quote.
pub struct Line<'a> {
    pub text: &'a str,
    pub is_quoted: bool,
}

/// Says of each line whether it is new or quoted.
pub fn read_lines(visible: &str) -> Vec<Line<'_>> {
    let lines: Vec<&str> = visible.split('\n').map(str::trim).collect();
    let mut read = Vec::with_capacity(lines.len());
    let mut is_history = false;
    // How many more lines belong to an attribution.
    let mut attribution = 0_usize;
    for (at, line) in lines.iter().enumerate() {
        let ahead = lines.get(at..).unwrap_or_default();
        let may_begin = !is_history && attribution == 0;
        if may_begin && !line.is_empty() && !line.starts_with('>') {
            is_history = begins_history(ahead);
            attribution = attribution_lines(ahead);
            let after = ahead.get(attribution..).unwrap_or_default();
            // Without a mark on each line, everything below an attribution is quoted.
            is_history |= attribution > 0 && !next_is_marked(after);
        }
        read.push(Line {
            text: line.trim_start_matches(['>', ' ']),
            is_quoted: is_history || attribution > 0 || line.starts_with('>'),
        });
        attribution = attribution.saturating_sub(1);
    }
    read
}

fn next_is_marked(lines: &[&str]) -> bool {
    lines
        .iter()
        .find(|line| !line.is_empty())
        .is_some_and(|line| line.starts_with('>'))
}

/// How many lines a line like "On Monday, Acme <auth@acme.example> wrote:" takes; 0: it is none.
fn attribution_lines(ahead: &[&str]) -> usize {
    const WROTE: [&str; 12] = [
        "wrote",
        "schrieb",
        "a écrit",
        "escribi",
        "ha scritto",
        "escreveu",
        "schreef",
        "skrev",
        "napsal",
        "napisa",
        "kirjoitti",
        "a scris",
    ];
    let mut joined = String::new();
    for (count, line) in (1..=3).zip(ahead) {
        if line.is_empty() || line.starts_with('>') || line.len() > 300 {
            return 0;
        }
        joined.push_str(line);
        joined.push(' ');
        if line.ends_with(':') {
            let names_somebody = joined.contains('@') || joined.bytes().any(|b| b.is_ascii_digit());
            let is_one = names_somebody && WROTE.iter().any(|wrote| joined.contains(wrote));
            return if is_one { count } else { 0 };
        }
    }
    0
}

/// Whether everything from here on is history: a title line, or the header of the mail that is answered.
fn begins_history(ahead: &[&str]) -> bool {
    const TITLES: [&str; 9] = [
        "original message",
        "forwarded message",
        "ursprüngliche nachricht",
        "weitergeleitete nachricht",
        "message d'origine",
        "mensaje original",
        "messaggio originale",
        "mensagem original",
        "oorspronkelijk bericht",
    ];
    const FROM: [&str; 8] = [
        "From:", "Von:", "De:", "Da:", "Van:", "Fra:", "Från:", "Od:",
    ];
    const OTHERS: [&str; 21] = [
        "Sent:",
        "Date:",
        "To:",
        "Cc:",
        "Subject:",
        "Gesendet:",
        "Datum:",
        "An:",
        "Betreff:",
        "Envoyé",
        "Objet:",
        "À:",
        "Enviado",
        "Para:",
        "Asunto:",
        "Assunto:",
        "Inviato:",
        "Oggetto:",
        "Verzonden:",
        "Aan:",
        "Onderwerp:",
    ];
    let Some(line) = ahead.first() else {
        return false;
    };
    if line.starts_with("--") || line.starts_with("Begin") {
        let line = line.to_ascii_lowercase();
        if TITLES.iter().any(|title| line.contains(title)) {
            return true;
        }
    }
    let is_rule = line.len() >= 10 && line.bytes().all(|byte| matches!(byte, b'_' | b'-'));
    let mut block = ahead
        .iter()
        .skip(usize::from(is_rule))
        .take(12)
        .map(|line| line.trim_start_matches('*'))
        .filter(|line| !line.is_empty())
        .take(6);
    let is_from = block
        .next()
        .is_some_and(|line| FROM.iter().any(|from| line.starts_with(from)));
    is_from
        && block
            .filter(|line| OTHERS.iter().any(|other| line.starts_with(other)))
            .count()
            >= 2
}
