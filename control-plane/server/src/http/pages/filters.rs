//! How templates write times and amounts.

use askama::filters::Safe;
use doorward_model::{Span, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a segment of a path may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'@');

/// Writes a name as a segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// The same for templates.
#[askama::filter_fn]
pub(crate) fn in_path(name: impl std::fmt::Display, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(segment(&name.to_string()))
}

fn time(at: &Timestamp, written: &str) -> Safe<String> {
    Safe(format!("<time datetime=\"{at}\" data-show=\"{written}\">{}</time>", at.strftime("%Y-%m-%d %H:%M UTC")))
}

/// A point in time; a small module shows it in the reader's zone, and without it stands UTC.
#[askama::filter_fn]
pub(crate) fn when(at: &Timestamp, _: &dyn askama::Values) -> askama::Result<Safe<String>> {
    Ok(time(at, "moment"))
}

/// The same as a distance from the reader's moment, such as "in 3 hours".
#[askama::filter_fn]
pub(crate) fn distance(at: &Timestamp, _: &dyn askama::Values) -> askama::Result<Safe<String>> {
    Ok(time(at, "distance"))
}

/// The same, written as asked: `day` or `clock`.
#[askama::filter_fn]
pub(crate) fn written(at: &Timestamp, _: &dyn askama::Values, how: &'static str) -> askama::Result<Safe<String>> {
    Ok(time(at, how))
}

/// A span as people say it, such as "8 hours".
#[askama::filter_fn]
pub(crate) fn spelled(span: &Span, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(in_words(*span))
}

fn in_words(span: Span) -> String {
    let written = span.to_string();
    let Some((amount, word)) = [("d", "day"), ("h", "hour"), ("m", "minute"), ("s", "second")]
        .iter()
        .find_map(|(letter, word)| Some((written.strip_suffix(letter)?, word)))
    else {
        return written;
    };
    if amount == "1" { format!("1 {word}") } else { format!("{amount} {word}s") }
}

/// Who did something, as people say it; the audit's own words name what kind of caller it was.
#[askama::filter_fn]
pub(crate) fn by(actor: &str, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(match actor.split_once(':') {
        Some(("person", email)) => email.to_owned(),
        Some(("token", name)) => format!("the program {name}"),
        Some(("local", _)) => "an administrator on the server".to_owned(),
        Some(_) | None if actor == "system" => "Doorward".to_owned(),
        Some(_) | None => actor.to_owned(),
    })
}

/// A browser's name for itself as people call it, such as "Firefox on Linux"; what is none stays as it is.
#[askama::filter_fn]
pub(crate) fn browser(agent: &str, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(browser_name(agent).unwrap_or_else(|| agent.to_owned()))
}

/// Browsers name those too that they want to be taken for, so that the first that fits is the one.
fn browser_name(agent: &str) -> Option<String> {
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Macintosh", "Mac"),
        ("Linux", "Linux"),
    ];
    let first =
        |known: &[(&str, &'static str)]| known.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    let browser = first(&BROWSERS).filter(|_| agent.starts_with("Mozilla/"))?;
    Some(first(&SYSTEMS).map_or_else(|| browser.to_owned(), |system| format!("{browser} on {system}")))
}

/// An amount of bytes in the largest unit of which there is one.
#[askama::filter_fn]
pub(crate) fn bytes(amount: &u64, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(in_units(*amount))
}

fn in_units(amount: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut tenths = u128::from(amount) * 10;
    let mut unit = "B";
    for larger in UNITS {
        if tenths < 10_000 {
            break;
        }
        tenths /= 1_000;
        unit = larger;
    }
    if unit == "B" || tenths >= 1_000 {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_units_that_people_read() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (15_340, "15.3 kB"),
            (123_456_789, "123 MB"),
            (u64::MAX, "18446 PB"),
        ];
        for (amount, text) in cases {
            assert_eq!(in_units(amount), text, "{amount}");
        }
    }

    #[test]
    fn browsers_are_called_what_people_call_them() {
        let linux =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                     Version/19.0 Mobile/15E148 Safari/604.1";
        let edge =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36 Edg/156.0";
        let cases = [(linux, "Chrome on Linux"), (phone, "Safari on iPhone"), (edge, "Edge on Windows")];
        for (agent, name) in cases {
            assert_eq!(browser_name(agent).as_deref(), Some(name));
        }
        for other in ["", "curl/8.5", "doorward login, laptop", "x Chrome/1"] {
            assert_eq!(browser_name(other), None, "{other}");
        }
    }

    #[test]
    fn spans_are_spelled_out() {
        for (span, words) in [("8h", "8 hours"), ("1d", "1 day"), ("90m", "90 minutes"), ("30s", "30 seconds")] {
            assert_eq!(in_words(span.parse().unwrap()), words);
        }
    }

    #[test]
    fn a_segment_cannot_become_another_path() {
        assert_eq!(segment("a/../b?x#y@shop.example"), "a%2F..%2Fb%3Fx%23y@shop.example");
    }
}
