use doorward_domain::WeeklyHours;
use doorward_model as model;
use proptest::prelude::*;
use proptest::string::string_regex;
use proptest::test_runner::{Config, TestRunner};
use regex::Regex;
use serde_json::Value;

use super::*;
use crate::app::tokens;

/// A term: its schema, its parser, and texts near what the parser takes.
struct Term {
    schema: Value,
    /// Whether the parser takes it; `None` where it is refused for what no pattern can say.
    takes: fn(&str) -> Option<bool>,
    taken: &'static [&'static str],
    refused: &'static [&'static str],
    near: &'static str,
}

fn parses<T: std::str::FromStr>(text: &str) -> Option<bool> {
    Some(text.parse::<T>().is_ok())
}

fn term<S: PartialSchema>(
    takes: fn(&str) -> Option<bool>,
    taken: &'static [&'static str],
    refused: &'static [&'static str],
    near: &'static str,
) -> Term {
    Term { schema: serde_json::to_value(S::schema()).unwrap(), takes, taken, refused, near }
}

fn span(text: &str) -> Option<bool> {
    match text.parse::<model::Span>() {
        Err(model::TimeLimitError::TooLong { .. }) => None,
        read => Some(read.is_ok()),
    }
}

fn limit(text: &str) -> Option<bool> {
    match text.parse::<model::TimeLimit>() {
        Err(model::TimeLimitError::TooLong { .. }) => None,
        read => Some(read.is_ok()),
    }
}

/// Lengths in bytes are no matter of patterns, and small letters may be longer than their capitals.
fn email(text: &str) -> Option<bool> {
    let lower = text.to_lowercase();
    let bytes = lower.len() > 254 || lower.split('@').next().is_some_and(|local| local.len() > 64);
    (!bytes || text.is_ascii()).then(|| text.parse::<model::Email>().is_ok())
}

/// Neither is which addresses name hosts, nor the grammar of IPv6, nor how long a label is.
fn target(text: &str) -> Option<bool> {
    match text.parse::<model::Target>() {
        Ok(_) => Some(true),
        Err(model::TargetError::HostBits { .. } | model::TargetError::NoHost { .. }) => None,
        Err(model::TargetError::Format { .. }) => {
            let long = text.len() > 253 || text.split('.').any(|label| label.len() > 63);
            (!long && !text.contains(':')).then_some(false)
        }
    }
}

/// Neither is an empty range.
fn allow(text: &str) -> Option<bool> {
    match text.parse::<model::Allow>() {
        Err(model::AllowError::EmptyRange { .. }) => None,
        read => Some(read.is_ok()),
    }
}

/// Neither are hours that are all hours.
fn hours(text: &str) -> Option<bool> {
    match text.parse::<WeeklyHours>() {
        Err(denial) if denial.sentence.contains("all hours") => None,
        read => Some(read.is_ok()),
    }
}

fn remark(text: &str) -> Option<bool> {
    if text.trim().is_empty() { Some(true) } else { parses::<doorward_domain::Reason>(text) }
}

fn terms() -> Vec<Term> {
    const WORDS: &[&str] = &["a", "0", "Laptop-2_x.y"];
    const NO_WORDS: &[&str] = &["", "-a", ".a", "a b", "ä", "a/b", "a\n"];
    const NEAR_WORD: &str = "[A-Za-z0-9_./ ä-]{0,66}";
    const NEAR_KEY: &str = "[A-Za-z0-9+/]{40,42}[AEQgw048B][=A]{0,2}";
    const KEYS: &[&str] = &["xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="];
    const NO_KEYS: &[&str] = &["", "abc=", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh="];
    const LINES: &[&str] = &["N", "Zoë Ångström", "שרה", "a\u{feff}"];
    const NO_LINES: &[&str] = &["a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\u{2067}b", "a\u{85}b"];
    const NEAR_LINE: &str = "[a-z\u{a0}\u{3000}\u{2027}-\u{202f}\u{2065}-\u{206a}\u{7e}-\u{a1} ]{0,6}";
    const SPANS: &[&str] = &["90s", "15m", "8h", "4d", "008h", "316224000s", "5270400m", "87840h", "3660d"];
    const NO_SPANS: &[&str] = &["", "0", "0h", "8", "h", "8 h", "-8h", "8w", "1.5h", "8hh", "tomorrow"];
    const NEAR_SPAN: &str = "0{0,2}[0-9]{0,10}[smhdw]";
    vec![
        term::<DeviceName>(parses::<model::DeviceName>, WORDS, NO_WORDS, NEAR_WORD),
        term::<ResourceName>(parses::<model::ResourceName>, WORDS, NO_WORDS, NEAR_WORD),
        term::<GroupName>(parses::<model::GroupName>, WORDS, NO_WORDS, NEAR_WORD),
        term::<GatewayName>(parses::<model::GatewayName>, WORDS, NO_WORDS, NEAR_WORD),
        term::<SourceName>(parses::<model::SourceName>, WORDS, NO_WORDS, NEAR_WORD),
        term::<TokenName>(|text| Some(tokens::check_name(text).is_ok()), WORDS, NO_WORDS, NEAR_WORD),
        term::<PublicKey>(parses::<model::PublicKey>, KEYS, NO_KEYS, NEAR_KEY),
        term::<PresharedKey>(parses::<model::PresharedKey>, KEYS, NO_KEYS, NEAR_KEY),
        term::<PersonName>(parses::<model::PersonName>, LINES, NO_LINES, NEAR_LINE),
        term::<Reason>(parses::<doorward_domain::Reason>, LINES, NO_LINES, NEAR_LINE),
        term::<Remark>(remark, LINES, NO_LINES, NEAR_LINE),
        term::<Span>(span, SPANS, NO_SPANS, NEAR_SPAN),
        term::<TimeLimit>(limit, SPANS, NO_SPANS, NEAR_SPAN),
        term::<TimeLimit>(
            limit,
            &["2036-12-24T18:00:00Z", "2036-12-24t18:00:00.5+01:00"],
            &["2036-12-24"],
            "[0-9T:-]{9}",
        ),
        term::<Email>(
            email,
            &["a@b", "Anna.O'Neil+x@shop.example", "zoë@müller.example", "a/b@c-d.e"],
            &["", "anna", "@shop.example", "anna@", "a@b@c", "anna@shop..example", "a b@c", "a@-b", "a`b@c", "a@b\n"],
            "[A-Za-z0-9äß١.+'\"@ _-]{1,9}@[A-Za-z0-9ä.@_-]{1,9}",
        ),
        term::<AllowRule>(
            allow,
            &["tcp/443", "UDP/053", "tcp/8000-8010", "icmp", "ICMP", "tcp/65535"],
            &["", "tcp", "443", "sctp/1", "icmp/8", "tcp/0", "tcp/65536", "tcp/+1", "tcp/1-", "tcp/1-2-3"],
            "(tcp|UDP|icmp|Icmp)/?[0-9]{0,5}(-[0-9]{0,6})?",
        ),
        term::<Target>(
            target,
            &["10.0.5.10", "10.0.5.0/24", "fd00::/64", "fd00::1", "DB.Shop.Example.", "a.1-1", "_x.y2"],
            &[
                "",
                "db",
                "10.0.5",
                "10.0.5.10/33",
                "0.0.0.0/0",
                "10.0.5.10 ",
                "a..b",
                "-a.b",
                "a-.b",
                "a/b.c",
                "ä.example",
            ],
            "[0-9]{1,3}([.][0-9]{1,3}){3}(/[0-9]{1,2})?|[0-9a-f]{1,4}::[0-9a-f]{0,4}(/[0-9]{1,3})?|[a-z0-9_.-]{3,12}",
        ),
        term::<Hours>(
            hours,
            &["mon-fri 08:00-18:00 Europe/Berlin", "Mon,wed,FRI 00:00-24:00 UTC", "sat-mon,wed 22:00-06:00 Etc/GMT+1"],
            &["", "mon-fri 8-18 UTC", "mon-fri 24:00-06:00 UTC", "mon-tue-wed 08:00-18:00 UTC", "day 08:00-18:00 UTC"],
            "(mon|TUE|x)([,-](wed|sun)){0,2} [0-2][0-9]:[0-6][0-9]-[0-2][0-9]:[0-6]0 [A-Za-z/_+0-9-]{1,3}",
        ),
    ]
}

/// One form of a text.
enum Form {
    Time,
    Pattern(Regex, RangeInclusive<u64>),
}

impl Form {
    fn all(schema: &Value) -> Vec<Self> {
        schema["anyOf"].as_array().map_or_else(|| vec![Self::of(schema)], |forms| forms.iter().map(Self::of).collect())
    }

    fn of(schema: &Value) -> Self {
        if schema["format"] == "date-time" {
            return Self::Time;
        }
        let chars = schema["minLength"].as_u64().unwrap()..=schema["maxLength"].as_u64().unwrap_or(u64::MAX);
        Self::Pattern(Regex::new(schema["pattern"].as_str().unwrap()).unwrap(), chars)
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Time => text.contains(['T', 't']) && text.parse::<model::Timestamp>().is_ok(),
            Self::Pattern(pattern, chars) => {
                chars.contains(&u64::try_from(text.chars().count()).unwrap()) && pattern.is_match(text)
            }
        }
    }
}

fn fits(forms: &[Form], text: &str) -> bool {
    forms.iter().any(|form| form.fits(text))
}

/// Every pattern of a schema, without its anchors, which generators of texts do not know.
fn patterns(schema: &Value) -> Vec<String> {
    let forms = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    let bare = |form: &Value| Some(form["pattern"].as_str()?.strip_prefix('^')?.strip_suffix('$')?.to_owned());
    forms.iter().filter_map(bare).collect()
}

#[test]
fn each_pattern_says_what_its_parser_takes() {
    for term in terms() {
        let forms = Form::all(&term.schema);
        let examples = term.schema["examples"].as_array().cloned().unwrap_or_default();
        let examples = examples.iter().map(|example| example.as_str().unwrap());
        for text in term.taken.iter().copied().chain(examples) {
            assert_eq!((term.takes)(text), Some(true), "the parser: {text:?}");
            assert!(fits(&forms, text), "{text:?}: {}", term.schema);
        }
        for text in term.refused {
            assert_ne!((term.takes)(text), Some(true), "the parser: {text:?}");
            assert!(!fits(&forms, text), "{text:?}: {}", term.schema);
        }
    }
}

#[test]
fn what_has_the_form_is_taken_and_what_is_taken_has_the_form() {
    let config = || Config { cases: 128, failure_persistence: None, ..Config::default() };
    for term in terms() {
        let forms = Form::all(&term.schema);
        for pattern in patterns(&term.schema) {
            let checked = TestRunner::new(config()).run(&string_regex(&pattern).unwrap(), |text| {
                prop_assert!(!fits(&forms, &text) || (term.takes)(&text) != Some(false), "{:?}", text);
                Ok(())
            });
            checked.unwrap_or_else(|error| panic!("{pattern}: {error}"));
        }
        let checked = TestRunner::new(config()).run(&string_regex(term.near).unwrap(), |text| {
            let text = text.trim();
            prop_assert!((term.takes)(text) != Some(true) || fits(&forms, text), "{:?}", text);
            Ok(())
        });
        checked.unwrap_or_else(|error| panic!("{}: {error}", term.schema));
    }
}
