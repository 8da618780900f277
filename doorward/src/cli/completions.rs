//! `doorward completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::error::CliError;
use crate::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward completions bash > /usr/share/bash-completion/completions/doorward
  doorward completions zsh > /usr/share/zsh/site-functions/_doorward
  doorward completions fish > ~/.config/fish/completions/doorward.fish";

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, out: Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "doorward", &mut script);
    out.text(&String::from_utf8_lossy(&script))
}
