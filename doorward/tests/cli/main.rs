//! The command line against a real control plane: exit codes, sentences, JSON shapes, and nothing left half done.
//!
//! ```text
//!   doorward COMMAND ──admin.sock──▶ doorward run control-plane ──feed.sock──▶ a gateway that moves no packet
//!                    ──HTTPS───────▶
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod access;
mod device;
mod harness;
mod input;
mod login;
mod reach;
mod replicas;
mod server;
mod story;
