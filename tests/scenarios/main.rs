//! End-to-end scenarios: each file is a subject, each test a claim. The topology that all of them use is drawn at the
//! head of `tests/src/lib.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "scenarios fail by panicking with a sentence, and print what they measured"
)]

mod asleep;
mod ends;
mod failures;
mod faults;
mod floods;
mod harness;
mod interop;
mod journal;
mod lockdown;
mod memory;
mod operation;
mod pitfalls;
mod postgres;
mod quarantine;
mod reach;
mod refusals;
mod remote;
mod replicas;
mod roaming;
mod services;
mod starts;
mod stops;
mod threads;
mod wifi;
mod wireguard;
