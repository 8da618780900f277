//! Simulation of a gateway: the real enforcement core over a plain stand-in for Noise, against a small reference model
//! written from the promises, in generated schedules of packets, feed messages, clock steps, restarts and roaming.
//!
//! After each step the property: no packet leaves, either way, that the model forbids; and what the model requires does
//! pass. Everything follows from a seed. See `doorward-sim --help`.

pub mod checksum;
pub mod client;
pub mod control;
pub mod model;
pub mod packet;
pub mod plain;
pub mod runner;
mod shell;
pub mod source;
pub mod step;
pub mod subject;
pub mod world;
