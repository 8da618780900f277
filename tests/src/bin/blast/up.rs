//! Devices that send.

use std::net::Ipv4Addr;
use std::time::Duration;

use clap::Args;

use crate::bank::{self, Bank};
use crate::client::Devices;
use crate::pace::Pace;
use crate::packets::Kind;
use crate::{Outcome, say, wait_for_go};

/// `blast up`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    devices: Devices,
    /// Where the packets go inside of the tunnel
    #[arg(long)]
    target: Ipv4Addr,
    /// What to send
    #[arg(long, value_enum)]
    kind: Kind,
    /// Seconds of sending; sealing does not count
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Packets a second; 0 is flat out
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Packets of one device in a row; 0 is as many as one send carries
    #[arg(long, default_value_t = 0)]
    run: usize,
    /// Megabytes of sealed datagrams at a time
    #[arg(long, default_value_t = 1_024)]
    bank_mib: usize,
}

/// Gets everybody a session, fills the bank, says `ready`, waits for the word; then sends bank after bank, and says how many packets left, and in how many seconds.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let mut clients = arguments.devices.connected()?;
    let mut flows = bank::flows(&clients, arguments.kind, arguments.target);
    let mut bank = Bank::new(arguments.bank_mib << 20);
    let wanted = Duration::try_from_secs_f64(arguments.seconds)?;
    let (mut sent, mut lost, mut elapsed) = (0_u64, 0_u64, Duration::ZERO);
    bank.fill(&mut clients, &mut flows, arguments.run)?;
    // Handshakes are over: whoever reads the gateway's CPU time does so from here.
    say("ready")?;
    wait_for_go()?;
    while elapsed < wanted {
        let pace = Pace::start(arguments.rate);
        let mut gone = 0;
        for (index, train, datagrams) in bank.trains() {
            if elapsed + pace.elapsed() >= wanted {
                break;
            }
            let Some(client) = clients.get(index) else { continue };
            pace.wait(gone);
            gone += datagrams;
            if !client.trains.send(client.endpoint, train, bank.size())? {
                lost += datagrams;
            }
        }
        if gone == 0 {
            return Err("the bank is too small for one train".into());
        }
        elapsed += pace.elapsed();
        sent += gone;
        if elapsed < wanted {
            bank.fill(&mut clients, &mut flows, arguments.run)?;
        }
    }
    say(&format!("sent {} lost {lost} seconds {:.6} size {}", sent - lost, elapsed.as_secs_f64(), bank.size()))
}
