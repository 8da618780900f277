use std::net::SocketAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const DEVICE: &str = "100.80.0.2";
const OTHER: &str = "100.80.0.3";

/// One device may reach the panel; 10.0.0.0/8 is inside.
struct Policy;

impl Knows for Policy {
    async fn resource(&self, device: IpAddr, asked: ResourceAsked) -> Option<(ResourceName, ServiceAddress)> {
        let panel: ResourceName = "admin-panel".parse().unwrap();
        let service = TunnelNetwork::default().service_address(0)?;
        let fits = match asked {
            ResourceAsked::Name(name) => name == panel,
            ResourceAsked::Address(address) => service.is(address),
        };
        (fits && device == DEVICE.parse::<IpAddr>().unwrap()).then_some((panel, service))
    }

    async fn leads_inside(&self, _: IpAddr, addresses: Vec<IpAddr>) -> bool {
        addresses.iter().any(|address| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10))
    }
}

fn answerer(upstreams: Vec<SocketAddr>) -> Answerer<Policy> {
    let (zone, network) = ("doorward.internal".parse().unwrap(), TunnelNetwork::default());
    Answerer::new(&zone, network, Upstreams::new(upstreams), Policy, Counters::default()).unwrap()
}

fn asks(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    message.to_vec().unwrap()
}

async fn answer(answerer: &Answerer<Policy>, device: &str, name: &str) -> Message {
    let bytes = answerer.answer(device.parse().unwrap(), &asks(name, RecordType::A), Transport::Udp).await.unwrap();
    let message = Message::from_vec(&bytes).unwrap();
    assert_eq!(message.metadata.id, 0x1234);
    message
}

/// What an upstream is asked, and an answer to it with this address.
fn reply(question: &[u8], address: &str) -> Vec<u8> {
    let mut message = Message::from_vec(question).unwrap();
    message.metadata.message_type = MessageType::Response;
    let name = message.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, 60, RData::A(address.parse().unwrap())));
    message.to_vec().unwrap()
}

/// An upstream that answers over UDP after some strays, and remembers what it was asked.
async fn upstream(address: &'static str) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<(Vec<u8>, SocketAddr)>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let (seen, questions) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            let question = buffer[..len].to_vec();
            let good = reply(&question, address);
            let mut guess = reply(&question, "198.51.100.66");
            message::set_id(&mut guess, [!good[0], good[1]]);
            for datagram in [&b"stray"[..], &guess, &good] {
                socket.send_to(datagram, from).await.unwrap();
            }
            seen.send((question, from)).unwrap();
        }
    });
    (at, questions)
}

#[tokio::test]
async fn a_name_is_there_for_the_device_that_may_reach_the_resource_and_for_nobody_else() {
    let answerer = answerer(Vec::new());
    let found = answer(&answerer, DEVICE, "admin-panel.doorward.internal").await;
    assert_eq!(found.answers[0].data, RData::A("100.80.255.254".parse().unwrap()));
    for (device, name) in [
        (OTHER, "admin-panel.doorward.internal"),
        (DEVICE, "customer-db.doorward.internal"),
        (OTHER, "254.255.80.100.in-addr.arpa"),
    ] {
        let none = answer(&answerer, device, name).await;
        assert_eq!(none.metadata.response_code, ResponseCode::NXDomain, "{device} {name}");
        assert_eq!((none.answers.len(), none.authorities.len()), (0, 1));
    }
    assert_eq!(answerer.counters.get(Counted::NoSuchName), 3);
}

#[tokio::test]
async fn names_of_others_are_refused_where_nobody_is_to_be_asked() {
    let answerer = answerer(Vec::new());
    let refused = answer(&answerer, DEVICE, "www.example.com").await;
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
    assert!(!refused.metadata.recursion_available);
    assert_eq!(answerer.counters.get(Counted::Refused), 1);
}

#[tokio::test]
async fn names_of_others_are_passed_on_with_a_fresh_id_and_port_and_their_spelling() {
    let (at, mut questions) = upstream("192.0.2.80").await;
    let answerer = answerer(vec![at]);
    let (mut ids, mut ports) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let answer = answer(&answerer, DEVICE, "wWw.ExAmPlE.cOm").await;
        assert_eq!(answer.answers[0].data, RData::A("192.0.2.80".parse().unwrap()), "not the guess");
        let (mut question, from) = questions.recv().await.unwrap();
        ids.push([question[0], question[1]]);
        ports.push(from.port());
        message::set_id(&mut question, [0x12, 0x34]);
        assert_eq!(question, asks("wWw.ExAmPlE.cOm", RecordType::A), "byte for byte");
    }
    assert!(ids.iter().any(|id| *id != [0x12, 0x34]));
    ids.dedup();
    ports.dedup();
    assert!(ids.len() > 1 && ports.len() > 1, "{ids:?} {ports:?}");
    assert_eq!(answerer.counters.get(Counted::Forwarded), 4);
}

#[tokio::test]
async fn an_answer_that_leads_inside_is_held_back() {
    let (at, _questions) = upstream("10.0.5.20").await;
    let answerer = answerer(vec![at]);
    let refused = answer(&answerer, DEVICE, "evil.example.com").await;
    assert_eq!((refused.metadata.response_code, refused.answers.len()), (ResponseCode::Refused, 0));
    assert_eq!(answerer.counters.get(Counted::LedInside), 1);
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_left_for_the_next_one() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (at, _questions) = upstream("192.0.2.80").await;
    let both = answerer(vec![gone, at]);
    assert_eq!(answer(&both, DEVICE, "example.com").await.answers.len(), 1);
    let none = answer(&answerer(vec![gone]), DEVICE, "example.com").await;
    assert_eq!(none.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp_and_one_too_large_for_the_device_asks_it_to_do_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(at).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut answer = buffer[..len].to_vec();
            answer[2] |= 0x82;
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let len = stream.read_u16().await.unwrap();
            let mut question = vec![0; usize::from(len)];
            stream.read_exact(&mut question).await.unwrap();
            let mut message = Message::from_vec(&reply(&question, "192.0.2.1")).unwrap();
            for number in 2..=200 {
                let record = Record::from_rdata(
                    message.queries[0].name().clone(),
                    60,
                    RData::A(std::net::Ipv4Addr::new(192, 0, 2, number).into()),
                );
                message.add_answer(record);
            }
            let answer = message.to_vec().unwrap();
            stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    let answerer = answerer(vec![at]);
    let over_udp = answer(&answerer, DEVICE, "example.com").await;
    assert!(over_udp.metadata.truncation && over_udp.answers.is_empty());
    let question = asks("example.com", RecordType::A);
    let over_tcp = answerer.answer(DEVICE.parse().unwrap(), &question, Transport::Tcp).await.unwrap();
    assert_eq!(Message::from_vec(&over_tcp).unwrap().answers.len(), 200);
}

#[tokio::test]
async fn noise_is_not_answered() {
    let answerer = answerer(Vec::new());
    for noise in [&b""[..], &b"\x12\x34\x80\0\0\0\0\0\0\0\0\0"[..]] {
        assert_eq!(answerer.answer(DEVICE.parse().unwrap(), noise, Transport::Udp).await, None);
    }
    assert_eq!(answerer.counters.get(Counted::Malformed), 2);
}
