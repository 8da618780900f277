//! What a handshake costs in arithmetic alone on this machine at this moment: boringtun finds out who knocks and answers,
//! without sockets, lookups or a gateway around it. A benchmark holds the gateway's cost a handshake against it.

use std::sync::Arc;
use std::time::Duration;

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{Outcome, say};

/// Room for an initiation or a response.
const MESSAGE_MAX: usize = 256;

/// `blast arithmetic`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Handshakes to answer
    #[arg(long, default_value_t = 2_000)]
    count: u32,
}

/// Answers as many handshakes and says the CPU-microseconds of each.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let (knocking, answering) = (StaticSecret::from([0x51; 32]), StaticSecret::from([0x52; 32]));
    let (known, own) = (PublicKey::from(&knocking), PublicKey::from(&answering));
    let mut initiator = Tunn::new(knocking, own, None, None, 1, None);
    let limiter = Arc::new(RateLimiter::new(&own, u64::MAX));
    let mut responder = Tunn::new(answering.clone(), known, None, None, 2, Some(limiter));
    let (mut spent, mut knock, mut answer) = (Duration::ZERO, [0; MESSAGE_MAX], [0; MESSAGE_MAX]);
    for _ in 0..arguments.count {
        let TunnResult::WriteToNetwork(initiation) = initiator.format_handshake_initiation(&mut knock, true) else {
            return Err("boringtun made no initiation".into());
        };
        let began = cpu_time()?;
        let Ok(Packet::HandshakeInit(message)) = Tunn::parse_incoming_packet(initiation) else {
            return Err("boringtun does not know its own initiation".into());
        };
        let half = parse_handshake_anon(&answering, &own, &message);
        let answered = matches!(responder.decapsulate(None, initiation, &mut answer), TunnResult::WriteToNetwork(_));
        spent += cpu_time()?.saturating_sub(began);
        if half.is_err() || !answered {
            return Err("boringtun did not answer its own initiation".into());
        }
    }
    say(&format!("arithmetic {:.1}", spent.as_secs_f64() * 1e6 / f64::from(arguments.count)))
}

/// CPU time of this thread.
fn cpu_time() -> Outcome<Duration> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}
