//! The feed: leases down to gateways, receipts and events up.
//!
//! One session a gateway: hello, then one stream with a whole snapshot and deltas, and POSTs up. The rules of the
//! protocol stand at the top of the model's `feed` module.

mod handlers;
mod history;
mod hub;
mod pump;
mod read;
mod replicas;
mod session;
mod usage;

pub(crate) use handlers::{enrol, routes};
pub(crate) use history::History;
pub(crate) use hub::{Confirmation, Hub};
pub(crate) use replicas::Replicas;
pub(crate) use session::Identity;
pub(crate) use usage::Use;
