//! The store on SQLite and on a real PostgreSQL alike, a module a subject.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

mod access;
mod accounts;
mod addresses;
mod common;
mod copy;
mod disuse;
mod hooks;
mod people;
mod replicas;
mod rounds;
mod service_addresses;
mod sources;
mod state;
