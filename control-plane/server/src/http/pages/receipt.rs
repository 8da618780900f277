//! What a revocation ended and who confirmed it. It is shown as the answer to the form: sending the form again ends
//! nothing twice.

use askama::Template;

use super::{Page, Shown, filters, show};
use crate::api::EndOutcome;
use crate::app::Caller;

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    page: Page,
    title: String,
    outcome: EndOutcome,
    back: &'static str,
}

impl ReceiptPage {
    /// Says whether every gateway that was there confirmed.
    fn is_whole(&self) -> bool {
        self.outcome.receipts.iter().all(|receipt| receipt.enforced_after_ms.is_some() || !receipt.connected)
    }

    /// The slowest confirmation.
    fn slowest_ms(&self) -> Option<u64> {
        self.outcome.receipts.iter().filter_map(|receipt| receipt.enforced_after_ms).max()
    }
}

/// Shows what ended.
pub(crate) fn show_receipt(caller: &Caller, back: &'static str, title: String, outcome: EndOutcome) -> Shown {
    show(&ReceiptPage { page: Page::new(Some(caller), back), title, outcome, back })
}
