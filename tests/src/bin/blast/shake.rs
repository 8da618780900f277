//! Devices that shake hands again and again, each from an address and a port of its own, with proper cookies.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::{COOKIE_REPLY, Client, Devices, RESPONSE};
use crate::pace::Pace;
use crate::{Outcome, say, wait_for_go};

/// A gateway takes 20 handshakes a second from one source; staying below keeps its limiter out of the measurement.
const PER_DEVICE_MAX: f64 = 12.0;
/// Fast enough for a gateway to ask for cookies: Doorward does beyond 1,000 a second and 128 that wait.
const COOKIES_A_SECOND: f64 = 6_000.0;
/// Initiations of a round at least, of however few devices, within bounds.
const ASKED_A_ROUND: usize = 2_000;
const COPIES_MAX: usize = 40;
/// A device asks again for its cookie after this long.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// One in so many devices may go without.
const ENOUGH: usize = 10;
/// So many devices have their cookie by then, or the benchmark ends.
const COOKIES_WITHIN: Duration = Duration::from_secs(30);
/// No answer for this long means that no more will come.
const QUIET: Duration = Duration::from_millis(400);

/// `blast shake`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    devices: Devices,
    /// Initiations a second, of all devices together
    #[arg(long)]
    rate: f64,
    /// Initiations of each device
    #[arg(long, default_value_t = 10)]
    each: usize,
}

/// What came back.
#[derive(Default)]
struct Tally {
    responses: u64,
    cookies: u64,
    last: Option<Instant>,
}

/// Gets the devices their cookies, makes all initiations, says `ready`, waits for the word, sends them, counts answers.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let mut clients = arguments.devices.clients()?;
    gather_cookies(&mut clients)?;
    let devices = f64::from(u32::try_from(clients.len())?);
    if arguments.rate > devices * PER_DEVICE_MAX {
        return Err(format!("{devices} devices may send at most {} a second", devices * PER_DEVICE_MAX).into());
    }
    let mut bank = Vec::new();
    for _ in 0..arguments.each {
        for client in &mut clients {
            bank.push(client.initiation()?);
        }
    }
    say("ready")?;
    wait_for_go()?;
    let pace = Pace::start(arguments.rate);
    let start = Instant::now();
    let mut sent = 0;
    for round in bank.chunks(clients.len()) {
        for (client, message) in clients.iter().zip(round) {
            pace.wait(sent);
            sent += 1;
            client.send(message)?;
        }
    }
    let offered = start.elapsed();
    let (tally, opened) = count(&mut clients)?;
    let answered = tally.last.map_or(offered, |last| last.duration_since(start)).max(offered);
    say(&format!(
        "sent {sent} responses {} cookies {} opened {opened} devices {} seconds {:.6}",
        tally.responses,
        tally.cookies,
        clients.len(),
        answered.as_secs_f64()
    ))
}

/// Asks faster than a gateway answers without proof, until nearly all devices hold a cookie, and dismisses the others:
/// whom a gateway finds time to answer it sends none.
fn gather_cookies(clients: &mut Vec<Client>) -> Outcome<()> {
    let all = clients.len();
    let pace = Pace::start(COOKIES_A_SECOND);
    let mut sent = 0;
    loop {
        let missing = clients.iter().filter(|client| !client.has_cookie).count();
        if missing * ENOUGH <= all {
            clients.retain(|client| client.has_cookie);
            return Ok(());
        }
        if pace.elapsed() > COOKIES_WITHIN {
            return Err(format!("{missing} of {all} devices were sent no cookie").into());
        }
        // The same message again and again: a cookie is for the latest initiation alone.
        let copies = (ASKED_A_ROUND / missing).clamp(1, COPIES_MAX);
        for client in clients.iter_mut().filter(|client| !client.has_cookie) {
            let message = client.initiation()?;
            for _ in 0..copies {
                pace.wait(sent);
                sent += 1;
                client.send(&message)?;
            }
        }
        let round = Instant::now();
        while round.elapsed() < AGAIN_AFTER {
            for client in clients.iter_mut() {
                while client.hear()?.is_some() {}
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Counts answers until it is quiet, and the devices that could open one: a client opens responses to its latest
/// initiations alone, so that this says that what came were handshakes, not how many.
fn count(clients: &mut [Client]) -> Outcome<(Tally, usize)> {
    let mut tally = Tally::default();
    let mut opened = vec![false; clients.len()];
    let start = Instant::now();
    while tally.last.unwrap_or(start).elapsed() < QUIET {
        for (client, opened) in clients.iter_mut().zip(&mut opened) {
            while let Some(heard) = client.hear()? {
                match heard.kind {
                    RESPONSE => {
                        tally.responses += 1;
                        *opened |= heard.genuine;
                    }
                    COOKIE_REPLY => tally.cookies += 1,
                    _ => continue,
                }
                tally.last = Some(Instant::now());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok((tally, opened.iter().filter(|opened| **opened).count()))
}
