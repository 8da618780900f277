//! The benchmark's load generator: plays WireGuard clients that have everything sealed before the clock starts, the
//! server behind the gateway that answers them, and the admin who registers them by the thousand.
//!
//! A generator that shares a small machine with what it measures must cost little: datagrams are sealed into a bank
//! first and leave in trains (UDP_SEGMENT), and nobody decrypts what arrives; the counters of nftables are the sinks.
//! It seals for its own sessions alone, so nothing here can be replayed at anybody else.

mod answer;
mod arithmetic;
mod bank;
mod client;
mod config;
mod hold;
mod pace;
mod packets;
mod register;
mod shake;
mod trains;
mod up;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What everything here returns: a benchmark ends at the first thing that is wrong, with a sentence.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Load for the benchmark of a WireGuard gateway.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Devices that send: seals a bank of datagrams and, told so by a line on standard input, sends it, and the next
    Up(up::Arguments),
    /// Devices that receive: opens a flow each and keeps the sessions alive
    Hold(hold::Arguments),
    /// The server behind the gateway: answers each flow once, then, told so by a line on standard input, floods them
    Answer(answer::Arguments),
    /// Devices that shake hands, again and again; starts when told so by a line on standard input
    Shake(shake::Arguments),
    /// No load: says what a handshake's arithmetic costs on this machine
    Arithmetic(arithmetic::Arguments),
    /// The admin: registers people, resources, grants and devices over Doorward's admin socket
    Register(register::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().role {
        Role::Up(arguments) => up::run(&arguments),
        Role::Hold(arguments) => hold::run(&arguments),
        Role::Answer(arguments) => answer::run(&arguments),
        Role::Shake(arguments) => shake::run(&arguments),
        Role::Arithmetic(arguments) => arithmetic::run(&arguments),
        Role::Register(arguments) => register::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even standard error is closed there is nobody left to tell.
            let _ = writeln!(io::stderr(), "blast: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes one line that the benchmark's scripts wait for.
fn say(line: &str) -> Outcome<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Blocks until somebody writes a line on standard input.
fn wait_for_go() -> Outcome<()> {
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        return Err("standard input ended before the word to start".into());
    }
    Ok(())
}
