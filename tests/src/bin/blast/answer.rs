//! The server behind the gateway: a plain sender that answers to wherever a flow seems to come from.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::pace::Pace;
use crate::trains::Trains;
use crate::{Outcome, say, wait_for_go};

/// `blast answer`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The port to answer on
    #[arg(long)]
    port: u16,
    /// How many flows to wait for
    #[arg(long, default_value_t = 1)]
    flows: usize,
    /// Bytes of payload in each datagram
    #[arg(long)]
    size: usize,
    /// Seconds of sending
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Packets a second; 0 is flat out
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Datagrams of one flow in a row; 0 is as many as one send carries
    #[arg(long, default_value_t = 0)]
    run: usize,
}

/// Answers once to each opener until the word comes, then floods all flows in turn.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let trains = Trains::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), arguments.port))?;
    let flows = gather(&trains, arguments)?;
    let mut run = trains.datagrams_max(arguments.size);
    if arguments.run > 0 {
        run = run.min(arguments.run);
    }
    let train = vec![0x5a; run * arguments.size];
    let run = u64::try_from(run)?;
    let wanted = Duration::try_from_secs_f64(arguments.seconds)?;
    let (mut gone, mut lost) = (0, 0);
    let pace = Pace::start(arguments.rate);
    'time: loop {
        for flow in &flows {
            if pace.elapsed() >= wanted {
                break 'time;
            }
            pace.wait(gone);
            gone += run;
            if !trains.send(*flow, &train, arguments.size)? {
                lost += run;
            }
        }
    }
    say(&format!("sent {} lost {lost} seconds {:.6}", gone - lost, pace.elapsed().as_secs_f64()))
}

/// Collects the addresses that flows come from; each opener gets one datagram back.
fn gather(trains: &Trains, arguments: &Arguments) -> Outcome<Vec<SocketAddr>> {
    let (told, word) = mpsc::channel();
    thread::spawn(move || told.send(wait_for_go().map_err(|error| error.to_string())));
    let mut seen = HashSet::new();
    let mut flows = Vec::new();
    let single = vec![0x5a; arguments.size];
    let mut opener = [0; 256];
    loop {
        while let Ok((_, from)) = trains.socket.recv_from(&mut opener) {
            trains.send(from, &single, arguments.size)?;
            if seen.insert(from) {
                flows.push(from);
                if flows.len() == arguments.flows {
                    say(&format!("flows {}", flows.len()))?;
                }
            }
        }
        match word.recv_timeout(Duration::from_millis(1)) {
            Ok(Ok(())) if flows.is_empty() => return Err("nobody opened a flow".into()),
            Ok(Ok(())) => return Ok(flows),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
}
