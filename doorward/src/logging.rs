//! Logs of the long-running commands: words on a terminal, JSON where a program reads them.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Chooses what is logged, as `info` or `doorward_gateway=debug,info`.
const LEVEL_VARIABLE: &str = "DOORWARD_LOG";

/// `json` asks for one JSON object a line.
const FORMAT_VARIABLE: &str = "DOORWARD_LOG_FORMAT";

/// Starts logging to stderr.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env(LEVEL_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = std::env::var(FORMAT_VARIABLE).is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    // A subscriber that is there already (in a test) stays.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(colours).try_init()
    };
}
