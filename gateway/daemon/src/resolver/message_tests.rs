use hickory_proto::op::Query;
use proptest::prelude::*;

use super::*;

fn zone() -> Zone {
    Zone::new(&"doorward.internal".parse().unwrap(), TunnelNetwork::default(), true).unwrap()
}

fn asks(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    message
}

fn question(name: &str, kind: RecordType) -> Question {
    match zone().read(&asks(name, kind).to_vec().unwrap()) {
        Incoming::Question(question) => *question,
        other @ (Incoming::Noise | Incoming::Refused(_)) => panic!("{name}: {other:?}"),
    }
}

fn panel() -> Own {
    Own::Resource("admin-panel".parse().unwrap(), TunnelNetwork::default().service_address(0).unwrap())
}

fn code(incoming: Incoming) -> ResponseCode {
    match incoming {
        Incoming::Refused(bytes) => Message::from_vec(&bytes).unwrap().metadata.response_code,
        other @ (Incoming::Noise | Incoming::Question(_)) => panic!("{other:?}"),
    }
}

#[test]
fn names_are_told_apart_whatever_their_case() {
    let resource = |name: &str| Subject::Resource(ResourceAsked::Name(name.parse().unwrap()));
    let service = |address: &str| Subject::Resource(ResourceAsked::Address(address.parse().unwrap()));
    for (name, wanted) in [
        ("admin-panel.doorward.internal", resource("admin-panel")),
        ("ADMIN-Panel.DoorWard.Internal", resource("admin-panel")),
        ("doorward.internal", Subject::Apex),
        ("www.admin-panel.doorward.internal", Subject::Nothing),
        ("*.doorward.internal", Subject::Nothing),
        ("doorward.internal.example", Subject::Elsewhere),
        ("notdoorward.internal", Subject::Elsewhere),
        ("internal", Subject::Elsewhere),
        (".", Subject::Elsewhere),
        ("254.255.80.100.in-addr.arpa", service("100.80.255.254")),
        ("2.0.80.100.in-addr.arpa", Subject::Nothing),
        ("80.100.in-addr.arpa", Subject::Nothing),
        ("1.5.0.10.in-addr.arpa", Subject::Elsewhere),
        ("e.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.2.7.f.6.f.6.4.6.d.f.ip6.arpa", service("fd64:6f6f:7277::fffe")),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.2.7.f.6.f.6.4.6.d.f.ip6.arpa", Subject::Nothing),
        ("x.254.255.80.100.in-addr.arpa", Subject::Elsewhere),
    ] {
        assert_eq!(zone().subject(&question(name, RecordType::A)), wanted, "{name}");
    }
}

#[test]
fn a_resource_has_its_service_address_and_the_answer_keeps_the_names_case() {
    let asked = question("Admin-PANEL.doorward.internal", RecordType::A);
    let bytes = zone().answer(&asked, &panel()).unwrap();
    assert!(answers(&bytes, &asked.message.to_vec().unwrap()), "the question comes back to the letter");
    let answer = Message::from_vec(&bytes).unwrap();
    assert!(answer.metadata.authoritative && answer.metadata.recursion_desired && answer.metadata.recursion_available);
    assert_eq!(answer.answers[0].data, RData::A("100.80.255.254".parse().unwrap()));
    assert_eq!((answer.answers.len(), answer.answers[0].ttl), (1, 30));
    let six = zone().answer(&question("admin-panel.doorward.internal", RecordType::AAAA), &panel()).unwrap();
    assert_eq!(Message::from_vec(&six).unwrap().answers[0].data, RData::AAAA("fd64:6f6f:7277::fffe".parse().unwrap()));
    let both = zone().answer(&question("admin-panel.doorward.internal", RecordType::ANY), &panel()).unwrap();
    assert_eq!(Message::from_vec(&both).unwrap().answers.len(), 2);
    let back = zone().answer(&question("254.255.80.100.in-addr.arpa", RecordType::PTR), &panel()).unwrap();
    let RData::PTR(name) = &Message::from_vec(&back).unwrap().answers[0].data else { panic!("no PTR") };
    assert_eq!(name.0.to_ascii(), "admin-panel.doorward.internal.");
}

#[test]
fn what_is_not_there_is_said_so_with_the_zones_soa() {
    for (name, kind, own, wanted) in [
        ("admin-panel.doorward.internal", RecordType::HTTPS, panel(), ResponseCode::NoError),
        ("doorward.internal", RecordType::A, Own::Apex, ResponseCode::NoError),
        ("nothing.doorward.internal", RecordType::A, Own::NoSuchName, ResponseCode::NXDomain),
        ("2.0.80.100.in-addr.arpa", RecordType::PTR, Own::NoSuchName, ResponseCode::NXDomain),
    ] {
        let answer = Message::from_vec(&zone().answer(&question(name, kind), &own).unwrap()).unwrap();
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (wanted, 0), "{name}");
        let [record] = &answer.authorities[..] else { panic!("{name}: no SOA") };
        assert!(record.ttl <= 5 && matches!(record.data, RData::SOA(_)), "{name}: {record:?}");
        assert!(record.name.zone_of(answer.queries[0].name()));
    }
}

#[test]
fn what_is_no_question_is_refused_or_not_answered_at_all() {
    let read = |message: &Message| zone().read(&message.to_vec().unwrap());
    let good = asks("doorward.internal", RecordType::A);
    let mut answer = good.clone();
    answer.metadata.message_type = MessageType::Response;
    assert!(matches!(read(&answer), Incoming::Noise), "two resolvers would talk for ever");
    assert!(matches!(zone().read(b"short"), Incoming::Noise));
    let mut update = good.clone();
    update.metadata.op_code = OpCode::Update;
    assert_eq!(code(read(&update)), ResponseCode::NotImp);
    let mut none = good.clone();
    none.queries.clear();
    assert_eq!(code(read(&none)), ResponseCode::FormErr);
    let mut two = good.clone();
    two.add_queries(good.queries.clone());
    assert_eq!(code(read(&two)), ResponseCode::FormErr);
    assert_eq!(code(read(&asks("doorward.internal", RecordType::AXFR))), ResponseCode::Refused);
    let mut chaos = good.clone();
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(read(&chaos)), ResponseCode::Refused);
    let mut cut = good.to_vec().unwrap();
    cut.pop();
    assert_eq!(code(zone().read(&cut)), ResponseCode::FormErr);
}

#[test]
fn an_answer_that_does_not_fit_asks_for_tcp() {
    let mut asked = asks("big.example", RecordType::TXT);
    let long = |asked: &Message, len: usize| {
        let mut bytes = asked.to_vec().unwrap();
        bytes[2] |= RESPONSE;
        bytes[7] = 1;
        bytes.resize(len, 0);
        bytes
    };
    let plain = question("big.example", RecordType::TXT);
    assert_eq!(plain.fit_udp(long(&asked, 512)).len(), 512);
    let cut = plain.fit_udp(long(&asked, 513));
    assert!(is_truncated(&cut) && answers(&cut, &asked.to_vec().unwrap()));
    assert!(Message::from_vec(&cut).unwrap().answers.is_empty());
    let mut edns = Edns::new();
    edns.set_max_payload(4_096);
    asked.set_edns(edns);
    let Incoming::Question(extended) = zone().read(&asked.to_vec().unwrap()) else { panic!("no question") };
    assert_eq!(extended.fit_udp(long(&asked, 1_232)).len(), 1_232);
    assert!(is_truncated(&extended.fit_udp(long(&asked, 1_233))), "larger ones are cut by networks");
    let refusal = Message::from_vec(&zone().refusal(&extended, ResponseCode::Refused).unwrap()).unwrap();
    assert!(refusal.edns.is_some(), "an extended question gets an extended answer (RFC 6891 section 6.1.1)");
}

#[test]
fn only_the_same_question_to_the_letter_is_answered() {
    let asked = asks("ExAmPlE.com", RecordType::A).to_vec().unwrap();
    let answer = |name: &str, kind| {
        let mut message = asks(name, kind);
        message.metadata.message_type = MessageType::Response;
        message.to_vec().unwrap()
    };
    assert!(answers(&answer("ExAmPlE.com", RecordType::A), &asked));
    assert!(!answers(&answer("example.com", RecordType::A), &asked), "another spelling is a guess");
    assert!(!answers(&answer("ExAmPlE.com", RecordType::AAAA), &asked));
    assert!(!answers(&asked, &asked), "a question is no answer");
    let mut other_id = answer("ExAmPlE.com", RecordType::A);
    set_id(&mut other_id, [0, 1]);
    assert!(!answers(&other_id, &asked));
}

#[test]
fn every_address_of_an_answer_is_seen() {
    use hickory_proto::rr::rdata::svcb::{IpHint, SVCB, SvcParamKey};
    let mut message = asks("example.com", RecordType::HTTPS);
    message.metadata.message_type = MessageType::Response;
    let name = message.queries[0].name().clone();
    let hints = vec![
        (SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(vec!["10.0.5.10".parse().unwrap()]))),
        (SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(IpHint(vec!["fd00:5::10".parse().unwrap()]))),
    ];
    let https = HTTPS(SVCB::new(1, name.clone(), hints));
    message.add_answer(Record::from_rdata(name.clone(), 1, RData::HTTPS(https)));
    message.add_answer(Record::from_rdata(name.clone(), 1, RData::A("10.0.5.20".parse().unwrap())));
    message.add_additional(Record::from_rdata(name, 1, RData::AAAA("::1".parse().unwrap())));
    let mut seen = addresses(&message.to_vec().unwrap()).unwrap();
    seen.sort();
    let wanted: Vec<IpAddr> =
        ["10.0.5.10", "10.0.5.20", "::1", "fd00:5::10"].iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(seen, wanted);
    assert_eq!(addresses(b"no message at all"), None);
}

proptest! {
    #[test]
    fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_all(&bytes);
    }

    #[test]
    fn nearly_right_messages_do_not_panic(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in 0..80_usize,
    ) {
        let mut message = asks("www.admin-panel.doorward.internal", RecordType::A);
        message.set_edns(Edns::new());
        let mut bytes = message.to_vec().unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut / 4));
        check_all(&bytes);
    }
}

fn check_all(bytes: &[u8]) {
    if let Incoming::Question(question) = zone().read(bytes) {
        zone().subject(&question);
        for own in [panel(), Own::Apex, Own::NoSuchName] {
            let answer = zone().answer(&question, &own).unwrap();
            assert!(question.fit_udp(answer).len() <= UDP_LEN_MAX);
        }
    }
    addresses(bytes);
    answers(bytes, bytes);
    assert!(truncate(bytes.to_vec()).len() <= bytes.len());
}
