//! Inner IP packets: read strictly, and the two kinds that the core writes itself.

pub(crate) mod checksum;
pub(crate) mod icmp;
pub(crate) mod parse;
pub(crate) mod reset;
pub(crate) mod translate;
