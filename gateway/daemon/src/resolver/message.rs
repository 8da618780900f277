//! DNS messages of the resolver: what a question asks for, the answers of its own, and what may be passed on.
//!
//! Pure. Questions come from devices and answers from strangers: hickory-proto reads both, and nothing in here panics
//! whatever it reads. What is forwarded is passed on byte for byte but for its id, so that the spelling of a name (a
//! sender may mix upper and lower case to recognise its answer) and extensions stay as they were.

use std::net::IpAddr;

use doorward_gateway_core::ResourceAsked;
use doorward_model::{DnsName, ResourceName, ServiceAddress, TunnelNetwork};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::rdata::{A, AAAA, HTTPS, PTR, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// How long a device may remember where a resource is; its grant may end sooner, and then nothing is there.
const TTL: u32 = 30;
/// How long it may remember that there is no such name: a grant that was just made is to be seen.
const NEGATIVE_TTL: u32 = 5;
/// The longest answer over UDP: what passes every network without fragments (DNS flag day 2020).
const UDP_LEN_MAX: usize = 1_232;
/// The longest one for a sender without EDNS (RFC 1035 section 4.2.1).
const UDP_LEN_PLAIN: usize = 512;
/// Length of a message's header.
const HEADER_LEN: usize = 12;
/// Truncation, in the third byte of a message.
const TRUNCATED: u8 = 0x02;
/// A response, in the same byte.
const RESPONSE: u8 = 0x80;

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Nothing that is answered: no message, or an answer.
    Noise,
    /// Something that is refused in these words.
    Refused(Vec<u8>),
    /// A question.
    Question(Box<Question>),
}

/// One question.
#[derive(Debug)]
pub(crate) struct Question {
    message: Message,
    name: Name,
    kind: RecordType,
}

/// What a question is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A resource, if there is one.
    Resource(ResourceAsked),
    /// The zone itself.
    Apex,
    /// A name of the zone, or of the tunnel network's reverse zone, that can be no resource's.
    Nothing,
    /// Somebody else's name.
    Elsewhere,
}

/// What the resolver says of a name of its own.
#[derive(Debug)]
pub(crate) enum Own {
    /// A resource that the device may reach.
    Resource(ResourceName, ServiceAddress),
    /// The zone itself.
    Apex,
    /// There is no such name for this device.
    NoSuchName,
}

/// The zone that resources have names in, and the network that they have addresses in.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    name: Name,
    network: TunnelNetwork,
    /// Names of others are answered too.
    recursive: bool,
}

impl Zone {
    /// Makes the zone; `None` for a name that hickory does not take.
    pub(crate) fn new(name: &DnsName, network: TunnelNetwork, recursive: bool) -> Option<Self> {
        let mut name = Name::from_ascii(name.as_str()).ok()?;
        name.set_fqdn(true);
        Some(Self { name, network, recursive })
    }

    /// Reads what a device sent.
    pub(crate) fn read(&self, bytes: &[u8]) -> Incoming {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Incoming::Noise };
        if header[2] & RESPONSE != 0 {
            return Incoming::Noise;
        }
        let id = u16::from_be_bytes([header[0], header[1]]);
        let refuse = |code| {
            let message = Message::error_msg(id, OpCode::Query, code);
            message.to_vec().map_or(Incoming::Noise, Incoming::Refused)
        };
        let Ok(message) = Message::from_vec(bytes) else { return refuse(ResponseCode::FormErr) };
        if message.metadata.op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        let [query] = &message.queries[..] else { return refuse(ResponseCode::FormErr) };
        let (name, kind) = (query.name().clone(), query.query_type());
        // Zone transfers are asked for like records (RFC 5936) and answered to nobody.
        let is_transfer = matches!(kind, RecordType::AXFR | RecordType::IXFR);
        if query.query_class() != DNSClass::IN || is_transfer {
            return refuse(ResponseCode::Refused);
        }
        Incoming::Question(Box::new(Question { name, kind, message }))
    }

    /// Says what a question is about.
    pub(crate) fn subject(&self, question: &Question) -> Subject {
        let name = &question.name;
        if self.name.zone_of(name) {
            // Counted here, because `Name::num_labels` leaves out an asterisk.
            let extra = name.iter().count().saturating_sub(self.name.iter().count());
            let label = name.iter().next().and_then(|label| std::str::from_utf8(label).ok());
            let resource = label.and_then(|label| label.to_ascii_lowercase().parse::<ResourceName>().ok());
            return match (extra, resource) {
                (0, _) => Subject::Apex,
                (1, Some(resource)) => Subject::Resource(ResourceAsked::Name(resource)),
                (_, _) => Subject::Nothing,
            };
        }
        let Ok(reverse) = name.parse_arpa_name() else { return Subject::Elsewhere };
        let is_ours = match reverse {
            ipnet::IpNet::V4(net) => self.network.v4().contains(&net),
            ipnet::IpNet::V6(net) => self.network.v6().contains(&net),
        };
        match (is_ours, reverse.prefix_len() == reverse.max_prefix_len()) {
            (true, true) if self.network.is_service(reverse.addr()) => {
                Subject::Resource(ResourceAsked::Address(reverse.addr()))
            }
            (true, _) => Subject::Nothing,
            (false, _) => Subject::Elsewhere,
        }
    }

    /// Writes an answer about a name of the resolver's own.
    pub(crate) fn answer(&self, question: &Question, own: &Own) -> Option<Vec<u8>> {
        let code = if matches!(own, Own::NoSuchName) { ResponseCode::NXDomain } else { ResponseCode::NoError };
        let mut message = self.response(question, code);
        message.metadata.authoritative = true;
        for data in self.records(question.kind, own) {
            message.add_answer(Record::from_rdata(question.name.clone(), TTL, data));
        }
        if message.answers.is_empty() {
            // Where the zone is the tunnel network's, its name is the one above: every stub takes that.
            let owner = if self.name.zone_of(&question.name) { self.name.clone() } else { question.name.base_name() };
            message.add_authority(Record::from_rdata(owner, NEGATIVE_TTL, RData::SOA(self.soa())));
        }
        message.to_vec().ok()
    }

    fn records(&self, kind: RecordType, own: &Own) -> Vec<RData> {
        let wants = |offered| kind == offered || kind == RecordType::ANY;
        match own {
            Own::Resource(_, service) if !wants(RecordType::PTR) || kind == RecordType::ANY => {
                let v4 = wants(RecordType::A).then_some(RData::A(A(service.v4)));
                let v6 = wants(RecordType::AAAA).then_some(RData::AAAA(AAAA(service.v6)));
                v4.into_iter().chain(v6).collect()
            }
            Own::Resource(resource, _) => {
                let host =
                    Name::from_ascii(resource.as_str()).ok().and_then(|host| host.append_domain(&self.name).ok());
                host.map(|host| RData::PTR(PTR(host))).into_iter().collect()
            }
            Own::Apex if wants(RecordType::SOA) => vec![RData::SOA(self.soa())],
            Own::Apex | Own::NoSuchName => Vec::new(),
        }
    }

    fn soa(&self) -> SOA {
        SOA::new(self.name.clone(), self.name.clone(), 1, 3_600, 600, 86_400, NEGATIVE_TTL)
    }

    /// Writes an answer that says no more than how it went.
    pub(crate) fn refusal(&self, question: &Question, code: ResponseCode) -> Option<Vec<u8>> {
        self.response(question, code).to_vec().ok()
    }

    fn response(&self, question: &Question, code: ResponseCode) -> Message {
        let asked = &question.message;
        let mut message = Message::response(asked.metadata.id, OpCode::Query);
        message.metadata.response_code = code;
        message.metadata.recursion_desired = asked.metadata.recursion_desired;
        message.metadata.recursion_available = self.recursive;
        message.add_queries(asked.queries.iter().cloned());
        if asked.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(u16::try_from(UDP_LEN_MAX).unwrap_or(u16::MAX));
            message.set_edns(edns);
        }
        message
    }
}

impl Question {
    /// Cuts an answer to what fits into one datagram for this sender: the question and the mark that asks for TCP.
    pub(crate) fn fit_udp(&self, answer: Vec<u8>) -> Vec<u8> {
        let max = match &self.message.edns {
            Some(edns) => usize::from(edns.max_payload()).clamp(UDP_LEN_PLAIN, UDP_LEN_MAX),
            None => UDP_LEN_PLAIN,
        };
        if answer.len() <= max { answer } else { truncate(answer) }
    }
}

/// Leaves header and question, with the mark of truncation.
fn truncate(mut answer: Vec<u8>) -> Vec<u8> {
    let end = question_end(&answer);
    answer.truncate(end.unwrap_or(HEADER_LEN));
    if let Some(header) = answer.first_chunk_mut::<HEADER_LEN>() {
        header[2] |= TRUNCATED;
        header[5] = u8::from(end.is_some());
        header[6..].fill(0);
    }
    answer
}

/// Says where the first question of a message ends; its name is never compressed, as nothing comes before it.
pub(crate) fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER_LEN;
    loop {
        let len = usize::from(*message.get(at)?);
        at = at.checked_add(1)?.checked_add(len)?;
        match len {
            0 => break,
            1..64 => {}
            _ => return None,
        }
    }
    let end = at.checked_add(4)?;
    (end <= message.len()).then_some(end)
}

/// Puts another id into a message.
pub(crate) fn set_id(message: &mut [u8], id: [u8; 2]) {
    if let Some(place) = message.first_chunk_mut::<2>() {
        *place = id;
    }
}

/// Returns a message's id.
pub(crate) fn id(message: &[u8]) -> Option<[u8; 2]> {
    message.first_chunk::<2>().copied()
}

/// Says whether a message answers a question: same id, same question to the letter.
pub(crate) fn answers(answer: &[u8], question: &[u8]) -> bool {
    let Some(end) = question_end(question) else { return false };
    answer.get(2).is_some_and(|flags| flags & RESPONSE != 0)
        && id(answer) == id(question)
        && answer.get(4..6) == Some(&[0, 1])
        && answer.get(HEADER_LEN..end) == question.get(HEADER_LEN..end)
}

/// Says whether there is more over TCP.
pub(crate) fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & TRUNCATED != 0)
}

/// Lists the addresses that an answer gives, hints for HTTPS included; `None` when it cannot be read.
pub(crate) fn addresses(answer: &[u8]) -> Option<Vec<IpAddr>> {
    let message =
        Message::from_vec(answer).ok().filter(|message| message.metadata.message_type == MessageType::Response)?;
    let mut all = Vec::new();
    for record in message.answers.iter().chain(&message.authorities).chain(&message.additionals) {
        if let RData::A(address) = &record.data {
            all.push(IpAddr::V4(address.0));
        } else if let RData::AAAA(address) = &record.data {
            all.push(IpAddr::V6(address.0));
        } else if let RData::HTTPS(HTTPS(service)) | RData::SVCB(service) = &record.data {
            for (_, hint) in &service.svc_params {
                if let SvcParamValue::Ipv4Hint(hint) = hint {
                    all.extend(hint.0.iter().map(|address| IpAddr::V4(address.0)));
                } else if let SvcParamValue::Ipv6Hint(hint) = hint {
                    all.extend(hint.0.iter().map(|address| IpAddr::V6(address.0)));
                }
            }
        }
    }
    Some(all)
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
