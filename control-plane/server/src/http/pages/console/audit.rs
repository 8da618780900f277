//! The audit, the latest row first.

use askama::Template;
use axum::extract::State;
use doorward_store::Search;
use serde::Deserialize;

use super::super::{Page, Shown, filters, show};
use crate::api::AuditRow;
use crate::app::{App, Caller, browse};
use crate::http::ApiQuery;

/// Rows on a page.
const ROWS: u32 = 50;

/// What the audit is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct AuditAsk {
    #[serde(default)]
    q: String,
    /// The family of actions, such as `person.`.
    #[serde(default)]
    action: String,
    /// Rows before this number.
    #[serde(default)]
    before: String,
}

/// What the filter offers.
const FAMILIES: [(&str, &str); 11] = [
    ("", "Everything"),
    ("person.", "People"),
    ("group.", "Groups"),
    ("grant.", "Grants"),
    ("request.", "Requests"),
    ("device.", "Devices"),
    ("resource.", "Resources"),
    ("gateway.", "Gateways"),
    ("lockdown.", "Lockdown"),
    ("sign_in", "Sign-ins"),
    ("receipt.", "Receipts"),
];

#[derive(Template)]
#[template(path = "console/audit.html")]
struct AuditPage {
    page: Page,
    rows: Vec<AuditRow>,
    ask: AuditAsk,
    families: &'static [(&'static str, &'static str)],
    older: Option<String>,
}

impl AuditPage {
    /// A row's detail as pairs to read.
    fn detail(&self, row: &AuditRow) -> Vec<(String, String)> {
        let Some(fields) = row.detail.as_object() else { return Vec::new() };
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => Some(value.to_string()),
        };
        fields.iter().filter_map(|(name, value)| Some((name.replace('_', " "), text(value)?))).collect()
    }
}

/// Lists rows.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<AuditAsk>) -> Shown {
    let before = ask.before.parse().unwrap_or(u64::MAX);
    let search = Search { text: ask.q.clone(), skip: 0, rows: ROWS };
    let rows = browse::audit_rows(&app, &caller.0, before, &ask.action, &search).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|count| count >= ROWS);
    let older = rows.last().filter(|row| full && row.seq > 1).map(|row| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &ask.q).append_pair("action", &ask.action);
        format!("?{}", query.append_pair("before", &row.seq.to_string()).finish())
    });
    show(&AuditPage { page: Page::new(Some(&caller), "/admin/audit"), rows, ask, families: &FAMILIES, older })
}
