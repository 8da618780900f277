//! Who may what: leases by device, routes by address, the decision, and how a snapshot becomes both.

pub(crate) mod deadlines;
pub(crate) mod decision;
pub(crate) mod device;
pub(crate) mod elsewhere;
pub(crate) mod names;
pub(crate) mod reconcile;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod special;
