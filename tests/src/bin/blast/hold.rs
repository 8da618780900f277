//! Devices that receive: they open a flow each and keep it open; what comes after the first answer is counted, not read.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::{Client, DATA, Devices};
use crate::{Outcome, packets, say};

/// Openers are sent again after this long until an answer comes.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Flows are kept open by an opener this often: far below the 30 s after which address translation forgets UDP.
const REFRESH_AFTER: Duration = Duration::from_secs(5);
/// A keepalive's length: sealed nothing.
const KEEPALIVE_LEN: usize = 32;

/// `blast hold`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    devices: Devices,
    /// Where the flows go inside of the tunnel
    #[arg(long)]
    target: Ipv4Addr,
    /// The port that answers
    #[arg(long)]
    port: u16,
    /// Seconds until it ends, if nobody ends it before; a session lives 180
    #[arg(long, default_value_t = 100.0)]
    seconds: f64,
}

/// Opens all flows, says the length of the sealed answer, and keeps them open.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let mut clients = arguments.devices.connected()?;
    let end = Instant::now() + Duration::try_from_secs_f64(arguments.seconds)?;
    let mut lengths = vec![None; clients.len()];
    let mut bank = Vec::new();
    while lengths.iter().any(Option::is_none) {
        if Instant::now() > end {
            let missing = lengths.iter().filter(|length| length.is_none()).count();
            return Err(format!("{missing} of {} flows got no answer", lengths.len()).into());
        }
        for (client, length) in clients.iter_mut().zip(&lengths) {
            if length.is_none() {
                open(client, arguments, &mut bank)?;
            }
        }
        let retry = Instant::now() + RETRY_AFTER;
        while Instant::now() < retry && lengths.iter().any(Option::is_none) {
            listen(&mut clients, &mut lengths)?;
            thread::sleep(Duration::from_millis(1));
        }
    }
    let length = lengths.iter().flatten().max().copied().unwrap_or_default();
    say(&format!("open {} length {length}", lengths.len()))?;
    while Instant::now() < end {
        thread::sleep(REFRESH_AFTER.min(end.saturating_duration_since(Instant::now())));
        for client in &mut clients {
            open(client, arguments, &mut bank)?;
        }
    }
    Ok(())
}

fn open(client: &mut Client, arguments: &Arguments, bank: &mut Vec<u8>) -> Outcome<()> {
    let packet = packets::opener(client.address, arguments.target, arguments.port)?;
    bank.clear();
    client.seal(&packet, bank)?;
    client.send(bank)
}

/// Notes the length of each client's first answer.
fn listen(clients: &mut [Client], lengths: &mut [Option<usize>]) -> Outcome<()> {
    for (client, length) in clients.iter_mut().zip(lengths) {
        while let Some(heard) = client.hear()? {
            if heard.genuine && heard.kind == DATA && heard.length > KEEPALIVE_LEN {
                *length = Some(heard.length);
            }
        }
    }
    Ok(())
}
