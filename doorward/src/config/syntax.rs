//! Errors in the file as a person wants them: the line, and the key that was probably meant.

/// Likeness from which a known key is offered (0 to 1, Jaro-Winkler): `endpont` is offered `endpoint`, `colour` nothing.
const LIKENESS_MIN: f64 = 0.8;

/// Returns the line an error stands on, from 1.
pub(super) fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    before.matches('\n').count().saturating_add(1)
}

/// Says what is wrong, and for an unknown key what the known ones are.
pub(super) fn explain(error: &toml::de::Error) -> String {
    explain_message(error.message())
}

fn explain_message(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join(" ");
    if !message.starts_with("unknown field") {
        return message;
    }
    // serde writes: unknown field `x`, expected one of `a`, `b`
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else { return message };
    let known: Vec<&str> = quoted.collect();
    match nearest(unknown, &known) {
        Some(key) => format!("unknown key `{unknown}`: did you mean `{key}`?"),
        None => format!("unknown key `{unknown}`: known here are {}", known.join(", ")),
    }
}

fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|key| (strsim::jaro_winkler(unknown, key), *key))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, key)| key)
}
