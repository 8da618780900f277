//! Lists that are searched and paged.

use doorward_store::{Found, PAGE_ROWS_MAX, Search};
use serde::Deserialize;

/// Rows on a page: what fits on two screens.
const ROWS: u32 = 50;

/// What a list was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Ask {
    /// Text to look for.
    #[serde(default)]
    pub(crate) q: String,
    /// A filter's word; empty: none.
    #[serde(default)]
    pub(crate) state: String,
    /// The page, from 1; a number that is none counts as 1.
    #[serde(default)]
    page: String,
    /// What was just done, as a word of [`done`].
    #[serde(default)]
    pub(crate) done: String,
}

impl Ask {
    fn page(&self) -> u32 {
        self.page.parse().unwrap_or(1).clamp(1, u32::MAX / PAGE_ROWS_MAX)
    }

    /// Turns it into what the store takes.
    pub(crate) fn search(&self) -> Search {
        Search { text: self.q.clone(), skip: self.page().saturating_sub(1).saturating_mul(ROWS), rows: ROWS }
    }
}

/// The part of a list that a page shows.
pub(crate) struct List<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) q: String,
    pub(crate) state: String,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) total: u64,
    /// Where the page before is.
    pub(crate) before: Option<String>,
    /// Where the next page is.
    pub(crate) next: Option<String>,
}

impl<T> List<T> {
    pub(crate) fn new(found: Found<T>, ask: &Ask) -> Self {
        let page = ask.page();
        let count = u64::try_from(found.rows.len()).unwrap_or(u64::MAX);
        let skipped = u64::from(page.saturating_sub(1)).saturating_mul(u64::from(ROWS));
        let last = skipped.saturating_add(count);
        let link = |page: u32| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in [("q", ask.q.as_str()), ("state", ask.state.as_str())] {
                if !value.is_empty() {
                    query.append_pair(name, value);
                }
            }
            format!("?{}", query.append_pair("page", &page.to_string()).finish())
        };
        Self {
            rows: found.rows,
            q: ask.q.clone(),
            state: ask.state.clone(),
            first: if count == 0 { 0 } else { skipped.saturating_add(1) },
            last,
            total: found.total,
            before: (page > 1).then(|| link(page.saturating_sub(1))),
            next: (last < found.total).then(|| link(page.saturating_add(1))),
        }
    }

    /// Says whether there is more than one page.
    pub(crate) fn is_long(&self) -> bool {
        self.before.is_some() || self.next.is_some()
    }
}
