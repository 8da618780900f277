//! Names: the resolver that devices ask, and the targets that are names.
//!
//! A device that may reach a resource at this moment gets its service address; everybody else hears that there is no such
//! name. Names of others are refused, or passed on to the owner's upstreams, and answers that lead inside are held back
//! (rebinding). Who asks is known by the tunnel address, which the core checked on the packet. Nothing about questions is
//! logged, and metrics count outcomes alone.

mod counters;
mod forward;
pub(crate) mod message;
mod serve;
mod targets;

use std::net::IpAddr;
use std::sync::Arc;

use doorward_gateway_core::{Command, ResourceAsked};
use doorward_model::{DnsName, ResourceName, ServiceAddress, TunnelNetwork};
use hickory_proto::op::ResponseCode;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use counters::{Counted, Counters};
pub(crate) use serve::ResolverSockets;

use crate::clock::boot_now;
use crate::config::GatewayConfig;
use crate::error::GatewayError;
use crate::shards::ShardHandle;
use forward::Upstreams;
use message::{Incoming, Own, Question, Subject, Zone};
use targets::Told;

/// Starts what names need: keeping those of targets resolved, and answering devices where there are sockets for it.
///
/// # Errors
/// [`GatewayError::Runtime`].
pub(crate) fn start(
    config: &GatewayConfig,
    sockets: Option<ResolverSockets>,
    shards: &ShardHandle,
    names: watch::Receiver<Vec<Vec<DnsName>>>,
    tasks: &mut JoinSet<()>,
) -> Result<Counters, GatewayError> {
    let counters = Counters::default();
    tasks.spawn(targets::keep(names, shards.clone(), config.upstreams.clone(), counters.clone()));
    let upstreams = Upstreams::new(config.upstreams.clone());
    let answerer = Answerer::new(&config.zone, config.network, upstreams, shards.clone(), counters.clone());
    if let (Some(sockets), Some(answerer)) = (sockets, answerer) {
        sockets.serve(&Arc::new(answerer), tasks)?;
    }
    Ok(counters)
}

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// Who knows what devices may reach.
pub(crate) trait Knows: Send + Sync {
    /// Finds a resource that the device may reach at this moment.
    fn resource(
        &self,
        device: IpAddr,
        asked: ResourceAsked,
    ) -> impl Future<Output = Option<(ResourceName, ServiceAddress)>> + Send;
    /// Says whether one of these addresses lies where no name of others may lead the device; `true` when unsure.
    fn leads_inside(&self, device: IpAddr, addresses: Vec<IpAddr>) -> impl Future<Output = bool> + Send;
}

impl Knows for ShardHandle {
    async fn resource(&self, device: IpAddr, asked: ResourceAsked) -> Option<(ResourceName, ServiceAddress)> {
        Self::resource(self, device, asked).await
    }

    async fn leads_inside(&self, device: IpAddr, addresses: Vec<IpAddr>) -> bool {
        Self::leads_inside(self, device, addresses).await
    }
}

impl Told for ShardHandle {
    async fn tell(&self, command: Command) -> bool {
        self.command(command, boot_now()).await.is_ok()
    }
}

/// Answers questions, one at a time each.
pub(crate) struct Answerer<K = ShardHandle> {
    zone: Zone,
    upstreams: Upstreams,
    knows: K,
    counters: Counters,
}

impl<K: Knows> Answerer<K> {
    /// Puts it together; `None` for a zone that is no name for hickory, which takes all that [`DnsName`] does.
    fn new(zone: &DnsName, network: TunnelNetwork, upstreams: Upstreams, knows: K, counters: Counters) -> Option<Self> {
        Some(Self { zone: Zone::new(zone, network, !upstreams.is_empty())?, upstreams, knows, counters })
    }

    /// Answers what a device sent; `None` says nothing.
    async fn answer(&self, device: IpAddr, bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let question = match self.zone.read(bytes) {
            Incoming::Question(question) => question,
            Incoming::Refused(answer) => {
                self.counters.count(Counted::Malformed);
                return Some(answer);
            }
            Incoming::Noise => {
                self.counters.count(Counted::Malformed);
                return None;
            }
        };
        let answer = match self.zone.subject(&question) {
            Subject::Resource(asked) => {
                let found = self.knows.resource(device, asked).await;
                let own = found.map_or(Own::NoSuchName, |(resource, service)| Own::Resource(resource, service));
                self.own(&question, &own)
            }
            Subject::Apex => self.own(&question, &Own::Apex),
            Subject::Nothing => self.own(&question, &Own::NoSuchName),
            Subject::Elsewhere => self.elsewhere(device, &question, bytes).await,
        }?;
        Some(match transport {
            Transport::Udp => question.fit_udp(answer),
            Transport::Tcp => answer,
        })
    }

    fn own(&self, question: &Question, own: &Own) -> Option<Vec<u8>> {
        self.counters.count(match own {
            Own::Resource(..) | Own::Apex => Counted::Resource,
            Own::NoSuchName => Counted::NoSuchName,
        });
        self.zone.answer(question, own)
    }

    async fn elsewhere(&self, device: IpAddr, question: &Question, bytes: &[u8]) -> Option<Vec<u8>> {
        let refuse = |counted, code| {
            self.counters.count(counted);
            self.zone.refusal(question, code)
        };
        if self.upstreams.is_empty() {
            return refuse(Counted::Refused, ResponseCode::Refused);
        }
        let Some(answer) = self.upstreams.ask(bytes).await else {
            return refuse(Counted::Failed, ResponseCode::ServFail);
        };
        // What cannot be read cannot be checked.
        let Some(addresses) = message::addresses(&answer) else {
            return refuse(Counted::Failed, ResponseCode::ServFail);
        };
        if !addresses.is_empty() && self.knows.leads_inside(device, addresses).await {
            return refuse(Counted::LedInside, ResponseCode::Refused);
        }
        self.counters.count(Counted::Forwarded);
        Some(answer)
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
