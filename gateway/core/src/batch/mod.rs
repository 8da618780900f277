//! Batches: many packets of one flow cost one system call, as with a network card's offloads.
//!
//! Outwards, [`split`] cuts what the tunnel device gives as one piece (TSO, USO) and a [`Train`] gathers the sealed
//! datagrams for one UDP_SEGMENT send. Inwards, a [`Coalescer`] joins packets as the kernel's GRO would, so that the tunnel
//! device takes them in one write. Both sides know lengths, checksums and sequence numbers, and no policy: what comes
//! here was decided on.

mod coalesce;
mod offload;
pub(crate) mod split;
#[cfg(test)]
mod tests;
mod train;

pub use coalesce::{Coalescer, TunnelWriter};
pub use offload::{OFFLOAD_HEADER_LEN, Offload, Segmentation};
pub use train::{DATAGRAM_LEN_MAX, Train, TrainSender};
