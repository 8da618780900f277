//! Doors to the parsers in here for the fuzz targets (`tests/fuzz/`), which see only what is public. Each takes any bytes
//! and panics where a promise is broken; nothing else calls them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use doorward_model::{DnsName, TunnelNetwork};
use futures_util::FutureExt as _;
use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncRead, ReadBuf};

use crate::resolver::message::{self, Incoming, Own, Subject, Zone};
use crate::sse::SseParser;
use crate::uapi;

/// The longest event that the target lets pass.
const EVENT_BYTES_MAX: usize = 256;

/// Reads server-sent events: the first byte says where they are cut, which must change nothing. What was read is written
/// as events again, and read as the same.
pub fn sse(bytes: &[u8]) {
    let Some((chunk, stream)) = bytes.split_first() else { return };
    let whole = events(stream, stream.len(), EVENT_BYTES_MAX);
    assert_eq!(whole, events(stream, usize::from(*chunk), EVENT_BYTES_MAX), "cut every {chunk} bytes");
    let (is_whole, events_read) = whole;
    assert!(events_read.iter().all(|event| event.len() <= EVENT_BYTES_MAX));
    if is_whole {
        assert_eq!(events_read, events_by_the_book(stream));
    }
    let mut written = Vec::new();
    for event in &events_read {
        for line in event.split(|byte| *byte == b'\n') {
            written.extend_from_slice(b"data: ");
            written.extend_from_slice(line);
            written.push(b'\n');
        }
        written.push(b'\n');
    }
    // Each line has a byte at least, its line feed, and gets six more: the field's name, a colon and a space.
    assert_eq!(events(&written, written.len(), EVENT_BYTES_MAX * 8), (true, events_read));
}

fn events(stream: &[u8], chunk: usize, event_bytes_max: usize) -> (bool, Vec<Vec<u8>>) {
    let mut parser = SseParser::new(event_bytes_max);
    let mut events = Vec::new();
    let is_whole = stream.chunks(chunk.max(1)).all(|part| parser.push(part, &mut events).is_ok());
    (is_whole, events.into_iter().map(|event| event.data).collect())
}

/// The part of the format that the feed uses, once more, without bounds and on the whole stream.
fn events_by_the_book(stream: &[u8]) -> Vec<Vec<u8>> {
    let text: String = stream.iter().copied().map(char::from).collect();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut data) = (Vec::new(), Vec::new());
    // What follows the last line end is no line.
    let Some((lines, _)) = text.rsplit_once('\n') else { return events };
    for line in lines.split('\n') {
        if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else if line.is_empty() && !data.is_empty() {
            let event = std::mem::take(&mut data).join("\n");
            events.push(event.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect());
        }
    }
    events
}

/// Says the same for ever, and counts.
struct Endless<'a> {
    words: &'a [u8],
    said: u64,
}

impl AsyncRead for Endless<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let len = self.words.len().min(buffer.remaining());
        buffer.put_slice(self.words.get(..len).unwrap_or_default());
        self.said = self.said.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Poll::Ready(Ok(()))
    }
}

/// Reads requests of the UAPI socket until the client hangs up: `get=1` and `set=1` as the first line, and nothing else,
/// are understood. Then the client goes on for ever, and is heard as long as `uapi::REQUEST_BYTES_MAX` lets it.
pub fn uapi(bytes: &[u8]) {
    let requests = uapi::requests(bytes).now_or_never().unwrap_or_default();
    // Each takes a line that says something and an empty one.
    assert!(requests.len() <= bytes.len() / 3);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(requests, requests_by_the_book(text));
    }
    if !bytes.is_empty() {
        let mut client = Endless { words: bytes, said: 0 };
        assert!(uapi::requests(&mut client).now_or_never().is_some());
        assert!(client.said <= uapi::REQUEST_BYTES_MAX);
    }
}

/// The requests of a text: groups of lines, each ended by an empty one; the first line is what counts.
fn requests_by_the_book(text: &str) -> Vec<&'static str> {
    let (mut requests, mut first) = (Vec::new(), None);
    for line in text.split_inclusive('\n').map(|line| line.trim_end_matches(['\r', '\n'])) {
        match (first, line) {
            (None, "") => {}
            (None, line) => first = Some(line),
            (Some("get=1"), "") => requests.push("get"),
            (Some("set=1"), "") => requests.push("set"),
            (Some(_), "") => requests.push("unknown"),
            (Some(_), _) => continue,
        }
        if line.is_empty() {
            first = None;
        }
    }
    requests
}

/// Reads a device's question and writes every kind of answer to it: each has the question's id, repeats the question, can
/// be read, and fits where it has to.
pub fn dns_question(bytes: &[u8]) {
    let network = TunnelNetwork::default();
    let Some(zone) = Zone::new(&DnsName::zone_default(), network, true) else { return };
    let question = match zone.read(bytes) {
        Incoming::Noise => return,
        Incoming::Refused(words) => {
            assert!(Message::from_vec(&words).is_ok(), "a refusal cannot be read");
            return assert_eq!(message::id(&words), message::id(bytes));
        }
        Incoming::Question(question) => question,
    };
    let asked = Message::from_vec(bytes).map(|message| (message.queries.clone(), message.edns.is_some()));
    let Ok((queries, has_edns)) = asked else { unreachable!("a question was read that cannot be read") };
    let mut own = vec![Own::Apex, Own::NoSuchName];
    if let Subject::Resource(_) = zone.subject(&question)
        && let (Ok(name), Some(service)) = ("database".parse(), network.service_address(0))
    {
        own.push(Own::Resource(name, service));
    }
    let answers = own.iter().map(|own| zone.answer(&question, own));
    for answer in answers.chain([zone.refusal(&question, ResponseCode::ServFail)]) {
        let Some(answer) = answer else { unreachable!("a question without an answer: {question:?}") };
        let whole_len = answer.len();
        let fitted = question.fit_udp(answer.clone());
        assert!(fitted.len() <= if has_edns { 1_232 } else { 512 });
        for words in [&answer, &fitted] {
            let Ok(read) = Message::from_vec(words) else { unreachable!("an answer cannot be read: {words:?}") };
            assert_eq!(read.queries, queries);
            assert_eq!(message::id(words), message::id(bytes));
            assert_eq!(message::is_truncated(words), words.len() < whole_len);
        }
    }
}

/// Reads what an upstream answered to a question: two bytes say how long the question is, the next which byte of the answer
/// is changed to see that it answers another one then.
pub fn dns_answer(bytes: &[u8]) {
    let Some(([high, low, place], rest)) = bytes.split_first_chunk::<3>() else { return };
    let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (question, answer) = rest.split_at_checked(len).unwrap_or_default();
    let held = message::addresses(answer);
    let answers = message::answers(answer, question);
    assert!(!answers || message::id(answer) == message::id(question));
    if !answers {
        return;
    }
    let mut other = answer.to_vec();
    let id = message::id(question).unwrap_or_default();
    message::set_id(&mut other, [!id[0], id[1]]);
    assert!(!message::answers(&other, question), "another id is another question's answer");
    assert_eq!(message::addresses(&other), held, "the id says where an answer leads");
    let mut other = answer.to_vec();
    // The question's part of a message follows the header.
    let place = 12_usize.saturating_add(usize::from(*place));
    if let Some(byte) = other.get_mut(place).filter(|_| place < message::question_end(question).unwrap_or(0)) {
        *byte ^= 0x20;
        assert!(!message::answers(&other, question), "an answer to a name that is spelt in another way");
    }
}
