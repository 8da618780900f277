//! The one binary: argv to subcommand. The only place that knows every crate.

mod cli;
mod client;
mod config;
mod error;
mod logging;
mod notify;
mod output;
mod private_file;
mod run;
mod saved_login;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Two TLS providers in a tree would make rustls' default ambiguous; a second call finds the first one in place.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(output::usage(&error)),
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            error.exit_code()
        }
    }
}
