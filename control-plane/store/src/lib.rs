//! Where Doorward keeps its state: SQLite or PostgreSQL behind one interface. All SQL of the project is here.
//!
//! - [`Store::open`] brings the schema up to date. [`Store::read`] gives one consistent state to read from;
//!   [`Store::write`] gives a change in the making, which only [`WriteTx::commit`] keeps, together with its audit row
//!   and its outbox row.
//! - Observations (receipts, alerts, who was seen when) are methods of [`Store`] itself: they decide nothing and have
//!   no audit row.
//! - Time is an argument everywhere; pass it through [`doorward_domain::micros`].
//!
//! Architecture invariant: no rules (they are in `doorward-domain`), no HTTP, no clock. What must be unique is unique in
//! the schema; the checks before it exist for their sentences.

mod accounts;
mod alerts;
mod attempts;
mod audit;
mod browse;
mod copy;
mod credentials;
mod db;
mod decisions;
mod devices;
mod disuse;
mod error;
mod gateways;
mod grants;
mod groups;
mod hooks;
mod leases;
mod lockdown;
mod mails;
mod notices;
mod notify;
mod open;
mod outbox;
mod people;
mod policy;
mod receipts;
mod replicas;
mod requests;
mod resources;
mod rounds;
mod sessions;
mod site_keys;
mod sources;
#[cfg(feature = "test-support")]
pub mod test_support;
mod tokens;
mod turns;
mod tx;

pub use accounts::{Held, SourceWord};
pub use attempts::{Ceremony, NewCeremony};
pub use browse::{DeviceRow, Found, GrantRow, PAGE_ROWS_MAX, PersonRow, Search};
pub use copy::{Copied, CopyError, Progress, copy};
pub use disuse::Unused;
pub use error::StoreError;
pub use groups::GroupRemoved;
pub use hooks::{Delivery, HookSecret};
pub use mails::{MailCounts, NoticeMail};
pub use notices::Ending;
pub use notify::{Listener, Word};
pub use open::Store;
pub use outbox::{Changes, Mark};
pub use people::{Counts, EndedWith};
pub use replicas::{Confirmed, ConfirmedElsewhere, GatewaySession, Replica, SessionSomewhere};
pub use resources::Removed;
pub use rounds::{GoodRound, Rounds};
pub use site_keys::SiteKey;
pub use sources::SourceMember;
pub use turns::{Turn, Work};
pub use tx::{Committed, Outbox, ReadTx, WriteTx};
