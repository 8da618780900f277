//! Devices that shake hands again and again, each from an address and a port of its own, with proper cookies.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::{COOKIE_REPLY, Client, Devices, RESPONSE};
use crate::pace::Pace;
use crate::{Outcome, say, wait_for_go};

/// A gateway takes 20 handshakes a second from one source; staying below keeps its limiter out of the measurement.
const PER_DEVICE_MAX: f64 = 12.0;
/// Fast enough for a gateway to ask for cookies (Doorward does beyond 250 a second), slow enough for its limits.
const COOKIES_A_SECOND: f64 = 3_000.0;
/// A device asks again for its cookie after this long.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// More than Doorward answers without proof in that time (250 a second).
const HOLDERS_A_ROUND: usize = 80;
/// All devices have their cookie by then, or the benchmark ends.
const COOKIES_WITHIN: Duration = Duration::from_secs(60);
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

/// Gets every device its cookie, makes all initiations, says `ready`, waits for the word, sends them, counts answers.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let mut clients = arguments.devices.clients()?;
    let devices = f64::from(u32::try_from(clients.len())?);
    if arguments.rate > devices * PER_DEVICE_MAX {
        return Err(format!("{devices} devices may send at most {} a second", devices * PER_DEVICE_MAX).into());
    }
    gather_cookies(&mut clients)?;
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

/// Sends initiations faster than a gateway answers without proof, until each device holds a cookie.
fn gather_cookies(clients: &mut [Client]) -> Outcome<()> {
    let pace = Pace::start(COOKIES_A_SECOND);
    let mut sent = 0;
    while clients.iter().any(|client| !client.has_cookie) {
        if pace.elapsed() > COOKIES_WITHIN {
            let missing = clients.iter().filter(|client| !client.has_cookie).count();
            return Err(format!("{missing} of {} devices were sent no cookie", clients.len()).into());
        }
        // Whoever is first after a pause is answered without a cookie: it is another one's turn each time.
        clients.rotate_left((clients.len() / 3 + 1) % clients.len());
        // Those that have one go first, to use up what the gateway answers without proof. Few of them: handshakes keep it
        // busy, and a cookie that comes after the next initiation is for the wrong one.
        let (holders, others): (Vec<_>, Vec<_>) = clients.iter_mut().partition(|client| client.has_cookie);
        for client in holders.into_iter().take(HOLDERS_A_ROUND).chain(others) {
            pace.wait(sent);
            sent += 1;
            client.initiate()?;
        }
        let round = Instant::now();
        while round.elapsed() < AGAIN_AFTER {
            for client in clients.iter_mut() {
                while client.hear()?.is_some() {}
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
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
