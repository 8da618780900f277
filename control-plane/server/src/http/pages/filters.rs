//! How templates write times and amounts.

use askama::filters::Safe;
use doorward_model::Timestamp;

/// A point in time; a small module shows it in the reader's zone, and without it stands UTC.
#[askama::filter_fn]
pub(crate) fn when(at: &Timestamp, _: &dyn askama::Values) -> askama::Result<Safe<String>> {
    Ok(Safe(format!("<time datetime=\"{at}\">{}</time>", at.strftime("%Y-%m-%d %H:%M UTC"))))
}

/// The same as a distance from the reader's moment, such as "in 3 hours".
#[askama::filter_fn]
pub(crate) fn distance(at: &Timestamp, _: &dyn askama::Values) -> askama::Result<Safe<String>> {
    Ok(Safe(format!("<time datetime=\"{at}\" data-show=\"distance\">{}</time>", at.strftime("%Y-%m-%d %H:%M UTC"))))
}
