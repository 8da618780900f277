//! A picture of who can reach what, and when it ends.

use askama::Template;
use axum::extract::State;
use doorward_domain::GrantState;
use doorward_model::Timestamp;
use doorward_store::{Found, GrantRow};
use jiff::SignedDuration;

use super::super::{Page, Shown, filters, show};
use super::list::{Ask, List};
use crate::app::{App, Caller, browse};
use crate::http::ApiQuery;

/// How wide the picture is, in its own units.
const WIDTH: i64 = 1_000;
/// The narrowest bar that is still seen.
const BAR_MIN: i64 = 6;

/// How far it looks.
struct Span {
    word: &'static str,
    label: &'static str,
    hours: i64,
    /// Parts that it is divided into.
    parts: i64,
    /// How times of this span are written, as `time.js` knows them.
    written: &'static str,
}

static SPANS: [Span; 4] = [
    Span { word: "day", label: "24 hours", hours: 24, parts: 4, written: "clock" },
    Span { word: "week", label: "7 days", hours: 7 * 24, parts: 7, written: "day" },
    Span { word: "month", label: "30 days", hours: 30 * 24, parts: 5, written: "day" },
    Span { word: "quarter", label: "90 days", hours: 90 * 24, parts: 6, written: "day" },
];

/// A grant in the picture.
struct Bar {
    row: GrantRow,
    x: i64,
    width: i64,
    begins_later: bool,
    goes_on: bool,
}

#[derive(Template)]
#[template(path = "console/timeline.html")]
struct TimelinePage {
    page: Page,
    list: List<Bar>,
    spans: &'static [Span],
    span: &'static Span,
    ticks: Vec<(Timestamp, i64)>,
}

/// Shows the picture.
pub(crate) async fn show_timeline(State(app): State<App>, caller: Caller, ApiQuery(mut ask): ApiQuery<Ask>) -> Shown {
    let span = SPANS.iter().find(|span| span.word == ask.state).unwrap_or(&SPANS[1]);
    span.word.clone_into(&mut ask.state);
    let now = app.clock.now();
    let found = browse::grants(&app, &caller.0, &ask.search()).await?;
    let rows = found.rows.into_iter().map(|row| bar(row, span, now)).collect();
    let list = List::new(Found { rows, total: found.total }, &ask);
    let page = Page::new(Some(&caller), "/admin/timeline");
    show(&TimelinePage { page, list, spans: &SPANS, span, ticks: ticks(span, now) })
}

fn ticks(span: &Span, now: Timestamp) -> Vec<(Timestamp, i64)> {
    let tick = |part: i64| {
        let after = SignedDuration::from_mins(span.hours * 60 * part / span.parts);
        Some((now.checked_add(after).ok()?, WIDTH * part / span.parts))
    };
    (0..span.parts).filter_map(tick).collect()
}

fn bar(row: GrantRow, span: &Span, now: Timestamp) -> Bar {
    let place = |at: Timestamp| at.duration_since(now).as_secs().saturating_mul(WIDTH) / (span.hours * 3_600);
    let validity = row.grant.validity;
    let x = place(validity.not_before).clamp(0, WIDTH - BAR_MIN);
    let end = place(validity.not_after);
    let width = end.min(WIDTH).saturating_sub(x).max(BAR_MIN);
    Bar { x, width, goes_on: end > WIDTH, begins_later: row.grant.state(now) == GrantState::Scheduled, row }
}

#[cfg(test)]
mod tests {
    use doorward_model::{GrantId, Interval, PrincipalId, ResourceId};

    use super::*;

    fn drawn(from: &str, until: &str) -> Bar {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        let id = uuid::Uuid::from_u128(1);
        let grant = doorward_domain::Grant {
            id: GrantId::new(id),
            to: doorward_domain::Grantee::Person(PrincipalId::new(id)),
            resource: ResourceId::new(id),
            validity: Interval { not_before: from.parse().unwrap(), not_after: until.parse().unwrap() },
            hours: None,
            requested_by: String::new(),
            approved_by: String::new(),
            reason: None,
            created_at: now,
            revoked_at: None,
        };
        let row =
            GrantRow { grant, email: "a@shop.example".parse().ok(), group: None, resource: "panel".parse().unwrap() };
        bar(row, &SPANS[0], now)
    }

    #[test]
    fn a_bar_begins_and_ends_where_its_grant_does() {
        let half = drawn("2026-11-21T00:00:00Z", "2026-11-22T12:00:00Z");
        assert_eq!((half.x, half.width, half.goes_on, half.begins_later), (0, 500, false, false));
        let later = drawn("2026-11-22T06:00:00Z", "2026-11-22T12:00:00Z");
        assert_eq!((later.x, later.width, later.begins_later), (250, 250, true));
        let long = drawn("2026-11-21T00:00:00Z", "2027-11-22T12:00:00Z");
        assert_eq!((long.width, long.goes_on), (WIDTH, true));
        let far = drawn("2027-11-21T00:00:00Z", "2027-11-22T12:00:00Z");
        assert_eq!((far.x, far.width), (WIDTH - BAR_MIN, BAR_MIN));
    }
}
