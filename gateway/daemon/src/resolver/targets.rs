//! Targets that are names: kept resolved for the core, as this system resolves names.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use doorward_gateway_core::Command;
use doorward_model::DnsName;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::counters::{Counted, Counters};
use crate::key;

/// Names asked for at a time.
const LOOKUPS_MAX: usize = 16;
/// Addresses taken of one name.
const ADDRESSES_MAX: usize = 16;
/// How long one lookup may take, whatever it tries.
const LOOKUP_WITHIN: Duration = Duration::from_secs(10);
/// An answer is good for as long as it says, between these.
const TTL_BOUNDS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// How soon a name that does not exist is asked for again.
const NONEXISTENT_AGAIN: Duration = Duration::from_secs(15);
/// How soon a lookup that failed is tried again, at first and at most; it doubles in between.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Where answers go.
pub(crate) trait Told: Clone + Send + Sync + 'static {
    /// Hands a command to whoever enforces it; `false` when nobody does any more.
    fn tell(&self, command: Command) -> impl Future<Output = bool> + Send;
}

/// What came of a lookup.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Addresses(Vec<IpAddr>, Duration),
    Nonexistent,
    Failed,
}

#[derive(Debug)]
struct Kept {
    due: Instant,
    failures: u32,
    in_flight: bool,
}

/// Keeps the names resolved until nobody wants them any more.
pub(crate) async fn keep(
    mut names: watch::Receiver<Vec<Vec<DnsName>>>,
    told: impl Told,
    upstreams: Vec<SocketAddr>,
    counters: Counters,
) {
    let mut kept = BTreeMap::new();
    let mut lookups: JoinSet<(DnsName, Answer)> = JoinSet::new();
    take_names(&mut kept, &union(&names.borrow_and_update()));
    loop {
        let now = Instant::now();
        for (name, held) in &mut kept {
            if lookups.len() < LOOKUPS_MAX && held.due <= now && !held.in_flight {
                held.in_flight = true;
                let (name, upstreams) = (name.clone(), upstreams.clone());
                lookups.spawn(async move { (name.clone(), lookup(&name, &upstreams).await) });
            }
        }
        let has_room = lookups.len() < LOOKUPS_MAX;
        let due = kept.values().filter(|held| !held.in_flight && has_room).map(|held| held.due).min();
        // Without anything due, the other branches wake this up.
        let sleep = due.map_or(Duration::from_secs(3_600), |due| due.saturating_duration_since(now));
        tokio::select! {
            changed = names.changed() => {
                if changed.is_err() {
                    return;
                }
                take_names(&mut kept, &union(&names.borrow_and_update()));
            }
            Some(done) = lookups.join_next() => {
                // A lookup that panicked stays in flight, and its name keeps the last answer until that is stale.
                let Ok((name, answer)) = done else { continue };
                counters.count(if matches!(answer, Answer::Addresses(..)) { Counted::NameResolved } else { Counted::NameFailed });
                let Some(held) = kept.get_mut(&name) else { continue };
                held.in_flight = false;
                held.due = Instant::now() + pause(held, &answer);
                let addresses = match answer {
                    Answer::Addresses(addresses, _) => addresses,
                    Answer::Nonexistent => Vec::new(),
                    Answer::Failed => continue,
                };
                if !told.tell(Command::Resolved { name, addresses }).await {
                    return;
                }
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Puts together what each packet thread wants, in order.
fn union(wanted: &[Vec<DnsName>]) -> Vec<DnsName> {
    let mut all: Vec<DnsName> = wanted.iter().flatten().cloned().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn take_names(kept: &mut BTreeMap<DnsName, Kept>, wanted: &[DnsName]) {
    kept.retain(|name, _| wanted.binary_search(name).is_ok());
    for name in wanted {
        // Whether it is still in flight from before does not matter: the later answer counts.
        kept.entry(name.clone()).or_insert_with(|| Kept { due: Instant::now(), failures: 0, in_flight: false });
    }
}

/// Says when a name is asked for again: a little before its answer ends, not at the same time as others.
fn pause(held: &mut Kept, answer: &Answer) -> Duration {
    let mut random = [0_u8];
    // Without randomness there is no jitter, and nothing else changes.
    let _filled = key::fill_random(&mut random);
    let jitter = u32::from(random[0]);
    match answer {
        Answer::Addresses(_, ttl) => {
            held.failures = 0;
            let ttl = (*ttl).clamp(TTL_BOUNDS.0, TTL_BOUNDS.1);
            // Between 3/4 and 19/20 of it.
            ttl.saturating_mul(3) / 4 + ttl / 5 * jitter / 255
        }
        Answer::Nonexistent => {
            held.failures = 0;
            NONEXISTENT_AGAIN + RETRY.0 * jitter / 255
        }
        Answer::Failed => {
            let pause = RETRY.0.saturating_mul(1_u32.checked_shl(held.failures).unwrap_or(u32::MAX)).min(RETRY.1);
            held.failures = held.failures.saturating_add(1);
            pause + pause / 4 * jitter / 255
        }
    }
}

async fn lookup(name: &DnsName, upstreams: &[SocketAddr]) -> Answer {
    // Made anew each time: a lookup is rare, and the system's configuration may have changed since.
    let Some(resolver) = resolver(upstreams) else { return Answer::Failed };
    // The last dot keeps search domains away.
    let looked_up = tokio::time::timeout(LOOKUP_WITHIN, resolver.lookup_ip(format!("{name}."))).await;
    match looked_up {
        Ok(Ok(found)) => {
            let addresses: Vec<IpAddr> = found.iter().take(ADDRESSES_MAX).collect();
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            if addresses.is_empty() { Answer::Nonexistent } else { Answer::Addresses(addresses, ttl) }
        }
        Ok(Err(error)) if error.is_no_records_found() => Answer::Nonexistent,
        Ok(Err(_)) | Err(_) => Answer::Failed,
    }
}

/// Targets are often names that only the shop's own DNS knows, so the system's comes first.
fn resolver(upstreams: &[SocketAddr]) -> Option<TokioResolver> {
    let provider = TokioRuntimeProvider::default;
    let mut builder = match Resolver::builder(provider()) {
        Ok(builder) => builder,
        Err(_) if !upstreams.is_empty() => {
            let servers = upstreams.iter().map(|upstream| {
                let mut server = NameServerConfig::udp_and_tcp(upstream.ip());
                server.connections.iter_mut().for_each(|connection| connection.port = upstream.port());
                server
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Resolver::builder_with_config(config, provider())
        }
        Err(_) => return None,
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = 0;
    options.timeout = Duration::from_secs(3);
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept { due: Instant::now(), failures: 0, in_flight: false }
    }

    #[test]
    fn a_name_is_asked_for_again_before_its_answer_ends_within_bounds() {
        let seconds =
            |ttl: u64| pause(&mut kept(), &Answer::Addresses(Vec::new(), Duration::from_secs(ttl))).as_secs_f64();
        for _ in 0..200 {
            assert!((3.75..=4.76).contains(&seconds(0)), "never more often");
            assert!((75.0..=95.1).contains(&seconds(100)));
            assert!((450.0..=571.0).contains(&seconds(86_400)), "never more seldom");
        }
    }

    #[test]
    fn failures_are_retried_less_and_less_often() {
        let mut held = kept();
        let pauses: Vec<u64> = (0..40).map(|_| pause(&mut held, &Answer::Failed).as_secs()).collect();
        assert!(pauses[0] <= 1 && pauses[5] >= 32 && pauses.iter().all(|pause| *pause <= 75), "{pauses:?}");
        pause(&mut held, &Answer::Nonexistent);
        assert!(pause(&mut held, &Answer::Failed).as_secs() <= 1);
    }

    #[test]
    fn what_nobody_wants_is_dropped_and_what_is_kept_keeps_its_time() {
        let name = |text: &str| text.parse::<DnsName>().unwrap();
        let mut all = BTreeMap::new();
        take_names(&mut all, &union(&[vec![name("b.example")], vec![name("a.example"), name("b.example")]]));
        let due = Instant::now() + Duration::from_secs(99);
        all.get_mut(&name("b.example")).unwrap().due = due;
        take_names(&mut all, &[name("b.example"), name("c.example")]);
        assert_eq!(all.keys().map(DnsName::as_str).collect::<Vec<_>>(), ["b.example", "c.example"]);
        assert_eq!(all[&name("b.example")].due, due);
    }
}
