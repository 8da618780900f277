//! A directory that is none, or means harm: a round ends with a sentence, nobody is suspended, and the server goes on.

use std::time::Duration;

use doorward_control_plane::LdapSection;
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::gateway::eventually;
use crate::world::{Settings, World};

/// An element of BER, its length in four bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [vec![tag, 0x84], length.to_vec(), content.to_vec()].concat()
}

fn message(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &[vec![0x02, 0x01, 0x01], parts.concat()].concat())
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| element(0x30, &inner))
}

/// A search that ended in success, with the control of pages.
fn done(control: &[u8]) -> Vec<u8> {
    let result = [vec![0x0a, 0x01, 0x00], element(0x04, b""), element(0x04, b"")].concat();
    let control = [element(0x04, b"1.2.840.113556.1.4.319"), element(0x04, control)].concat();
    message(&[element(0x65, &result), element(0xa0, &element(0x30, &control))])
}

fn entry(attributes: &[u8]) -> Vec<u8> {
    message(&[element(0x64, &[element(0x04, b"uid=a"), element(0x30, attributes)].concat())])
}

/// Answers each connection's first words with the next of these, and hangs up after the other side, or where it has nothing to
/// say.
async fn answering(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers.into_iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
            while !answer.is_empty() && stream.read(&mut request).await.is_ok_and(|count| count > 0) {}
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_directory_sends_a_round_ends_with_a_sentence_and_the_server_goes_on() {
    let attribute = |values: Vec<u8>| element(0x30, &[element(0x04, b"mail"), values].concat());
    let answers = vec![
        Vec::new(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        nested(5_000),
        done(&nested(5_000)),
        done(b"\x02\x01\x00"),
        done(b""),
        message(&[element(0x7e, b"")]),
        element(0x30, b""),
        entry(b"\x04\x00"),
        entry(&attribute(element(0x04, b"no set"))),
        message(&[element(0x64, b"")]),
        [entry(&attribute(element(0x31, &element(0x04, b"\xff\xfe")))), done(b"")].concat(),
    ];
    let rounds = answers.len();
    let url = Some(answering(answers).await);
    let base = Some("dc=shop,dc=example".to_owned());
    let section =
        LdapSection { url, base, starttls: false, every: Duration::from_secs(3600), ..LdapSection::default() };
    let settings = Settings { ldap: Some(Box::leak(Box::new(section))), ..Settings::default() };
    let world = World::with(TestDatabase::sqlite().await.unwrap(), settings).await;
    let mut seen = Vec::new();
    for _ in 0..rounds {
        let (status, answer) = eventually(|| async {
            let done = world.call(Method::POST, "/api/v1/sources/ldap/poll", json!({})).await;
            (done.0 != StatusCode::CONFLICT).then_some(done)
        })
        .await;
        let sentence = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        assert!(sentence.starts_with("nothing was done: the "), "{sentence}");
        seen.push(sentence.to_owned());
    }
    for word in ["closed the connection", "no LDAP", "1048576 bytes", "makes no sense"] {
        assert!(seen.iter().any(|sentence| sentence.contains(word)), "{word}: {seen:?}");
    }
    assert_eq!(world.get("/api/v1/status").await["directory"]["asked_at"], Value::Null);
}
