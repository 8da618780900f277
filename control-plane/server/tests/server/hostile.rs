//! Hostile pages and hostile words: what another site makes a browser send is not done, what it asks is not shown to it, and
//! what people wrote is text wherever it is shown.

use std::net::SocketAddr;

use doorward_control_plane::{Shutdown, page_routes, run_announcing};
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::browser::{Browser, ORIGIN, Reply};
use crate::fixtures::{OWNER, invited, named, owner, owner_link};
use crate::pebble::free_ports;
use crate::world::{PATIENCE, Settings, World, config};

/// Runs as a script wherever it is taken for markup, in a text or in an attribute.
const MARKUP: &str = "<svg/onload=alert(1)>\" onfocus=\"alert(2) '`&amp;${3}{{4}}";
/// Characters that turn the reading order, break a line or steer a terminal.
const STEERING: [char; 8] = ['\n', '\r', '\u{0}', '\u{1b}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}'];

async fn world() -> World {
    named(TestDatabase::sqlite().await.unwrap()).await
}

fn filled(path: &str) -> String {
    let path = path.replace("{email}", OWNER).replace("{name}", "panel").replace("{secret}", "guessed");
    path.split('/')
        .map(|part| if part.starts_with('{') { "0192f0c1-7a3e-7cc1-b2f4-0123456789ab" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

/// Every route that may change something, of the pages and of the API.
async fn changing(browser: &mut Browser<'_>) -> Vec<(Method, String)> {
    let description = browser.get("/api/openapi.json").await.json();
    let paths = description["paths"].as_object().unwrap().iter();
    let of_api = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter_map(|method| method.to_uppercase().parse().ok());
        methods.filter(|method| *method != Method::GET).map(move |method: Method| (method, filled(path)))
    });
    let of_pages = page_routes().into_iter().filter(|(method, _)| *method != "GET");
    let of_pages = of_pages.map(|(method, path)| (method.parse().unwrap(), filled(path)));
    let signed = (Method::POST, "/hooks/v1/people".to_owned());
    let all: Vec<_> = of_api.chain(of_pages).chain([signed]).collect();
    assert!(all.len() > 50, "only {} routes", all.len());
    all
}

/// What a foreign page makes a browser send: what it is, its origin, and more headers.
type Foreign = (&'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_for_another_sites_page() {
    let world = world().await;
    let mut browser = Browser::new(&world);
    browser.join_with_passkey(&owner_link(&world).await, owner()).await;
    let routes = changing(&mut browser).await;
    let before = world.get("/api/v1/audit/verify").await;
    let cases: [Foreign; 7] = [
        ("a form of another site", Some("https://evil.example"), &[("sec-fetch-site", "cross-site")]),
        ("a fetch with credentials of an old browser", Some("https://evil.example"), &[]),
        ("a sandboxed frame", Some("null"), &[]),
        ("another port of this host", Some("https://door.shop.example:444"), &[("sec-fetch-site", "same-site")]),
        ("a page that hides its origin", None, &[("sec-fetch-site", "cross-site")]),
        ("a browser that contradicts itself", Some(ORIGIN), &[("sec-fetch-site", "cross-site")]),
        ("who says nothing", None, &[]),
    ];
    for (what, origin, more) in cases {
        browser.origin = origin.map(ToOwned::to_owned);
        browser.more = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        for (method, path) in &routes {
            // What a page may send without asking first, as JSON and as a form.
            let answer = browser.send(method.clone(), path, "text/plain", "{}".to_owned()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}: {method} {path}: {}", answer.text);
            assert!(answer.text.contains("another site"), "{what}: {method} {path}: {}", answer.text);
        }
    }
    assert_eq!(world.get("/api/v1/audit/verify").await, before, "nothing was done");
}

/// Every page and some of what else answers, each as it looks from outside.
fn shown() -> Vec<String> {
    let pages = page_routes().into_iter().filter(|(method, _)| *method == "GET").map(|(_, path)| filled(path));
    let more =
        ["/healthz", "/readyz", "/api/openapi.json", "/api/v1/people", "/api/v1/nowhere", "/nowhere", "/assets/x/y.js"];
    pages.chain(more.map(ToOwned::to_owned)).collect()
}

fn assert_closed(path: &str, reply: &Reply) {
    let header = |name: &str| reply.headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(header("x-frame-options"), "DENY", "{path}");
    if header("content-type").starts_with("text/html") {
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
    }
    assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}: {:?}", reply.headers);
    assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}: {:?}", reply.headers);
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert!(reply.text.is_empty() || !header("content-type").is_empty(), "{path}: {:?}", reply.headers);
    let opens = reply.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
    assert!(opens.is_none(), "{path}: {opens:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_framed_guessed_at_or_read_by_another_site() {
    let world = world().await;
    let mut visitor = Browser::new(&world);
    let mut browser = Browser::new(&world);
    browser.join_with_passkey(&owner_link(&world).await, owner()).await;
    for path in shown() {
        for asking in [&mut visitor, &mut browser] {
            asking.more = vec![("origin", "https://evil.example".to_owned())];
            assert_closed(&path, &asking.get(&path).await);
            // The question that a browser asks before a request that a form could not send.
            asking.more = vec![
                ("access-control-request-method", "DELETE".to_owned()),
                ("access-control-request-headers", "content-type, authorization".to_owned()),
            ];
            asking.origin = Some("https://evil.example".to_owned());
            assert_closed(&path, &asking.send(Method::OPTIONS, &path, "text/plain", String::new()).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_is_this_hosts_alone_and_changes_with_the_sign_in() {
    let world = world().await;
    let mut browser = Browser::new(&world);
    // Somebody planted a session before; joining does not take it over.
    browser.cookie = Some("planted".to_owned());
    // The browser's own checks of the attributes are in `Browser::take`.
    let mut passkey = browser.join_with_passkey(&owner_link(&world).await, owner()).await;
    let first = browser.cookie.clone().unwrap();
    assert_ne!(first, "planted");
    assert!(first.len() >= 43, "256 bits in base64: {first}");
    assert_eq!(browser.prove("/sign-in", &mut passkey).await.status, StatusCode::OK);
    let second = browser.cookie.clone().unwrap();
    assert_ne!(first, second);
    // A neighbour of the host can set a cookie for all of the domain, but none with the prefix.
    let mut tossed = Browser::new(&world);
    for name in ["doorward", "__Secure-doorward", "__host-doorward", "__Host-doorward2"] {
        tossed.more = vec![("cookie", format!("{name}={second}"))];
        assert_eq!(tossed.get("/security").await.status, StatusCode::SEE_OTHER, "{name}");
    }
    let out = browser.form("/sign-out", &[]).await;
    assert!(out.status.is_redirection() && browser.cookie.is_none(), "{out:?}");
    let mut thief = Browser::new(&world);
    thief.cookie = Some(second);
    assert_eq!(thief.get("/security").await.status, StatusCode::SEE_OTHER, "a session that was ended is over");
}

/// One request over plain HTTP, as a browser sends it whose page believes to be at `host`.
async fn plainly(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_pointed_at_this_machine_opens_nothing() {
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::sqlite().await.unwrap());
    let address = SocketAddr::from(([127, 0, 0, 1], free_ports::<1>()[0]));
    let mut config = config(folder.path(), database.url(), Settings::default());
    config.server.local_http = Some(address);
    let (shutdown, (sender, ready)) = (Shutdown::new(), tokio::sync::oneshot::channel());
    let running = tokio::spawn(run_announcing(config, shutdown.clone(), sender));
    ready.await.unwrap();
    let port = address.port();
    for own in
        [format!("localhost:{port}"), format!("LOCALHOST:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")]
    {
        let (status, answer) =
            plainly(address, &format!("GET /sign-in HTTP/1.1\r\nhost: {own}\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(status, 200, "{own}: {answer}");
        assert!(answer.contains("frame-ancestors 'none'") && answer.contains("same-origin"), "{own}: {answer}");
        // Chromium would wait for ever.
        assert!(!answer.contains("cross-origin-opener-policy"), "{own}: {answer}");
    }
    for foreign in
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost.", "evil@localhost", ""]
    {
        for line in ["GET /sign-in", "GET /admin", "GET /setup/guessed", "POST /sign-in", "GET /assets/x/y.js"] {
            let head = format!("{line} HTTP/1.1\r\nhost: {foreign}:{port}\r\norigin: http://{foreign}:{port}\r\n");
            let request = format!("{head}content-length: 0\r\nconnection: close\r\n\r\n");
            let (status, answer) = plainly(address, &request).await;
            assert!(status == 421 || status == 400, "{foreign:?} {line}: {answer}");
            assert!(!answer.contains("<form"), "{foreign:?} {line}: {answer}");
        }
    }
    // Neither does a request that names no host, or two.
    for hosts in ["", "host: localhost\r\nhost: evil.example\r\n"] {
        let (status, answer) =
            plainly(address, &format!("GET /sign-in HTTP/1.1\r\n{hosts}connection: close\r\n\r\n")).await;
        assert!((400..500).contains(&status), "{hosts:?}: {answer}");
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

fn assert_text(path: &str, page: &Reply) {
    // Nothing in there runs: a browser that was told not to guess shows JSON as it is.
    if page.headers.get("content-type").is_some_and(|kind| kind == "application/json") {
        return;
    }
    for markup in ["<svg/onload", "\" onfocus", "\"alert(2)"] {
        assert!(!page.text.contains(markup), "{markup} on {path}: {}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_and_browsers_say_is_text_on_every_page() {
    let world = world().await;
    let mut browser = Browser::new(&world);
    browser.more = vec![("user-agent", format!("{MARKUP} Linux"))];
    browser.join_with_passkey(&owner_link(&world).await, json!({ "email": OWNER, "name": MARKUP })).await;
    let device = world.furnish().await;
    world.post("/api/v1/people", json!({ "email": "svg@shop.example", "name": MARKUP, "kind": "staff" })).await;
    let grant = json!({ "email": "svg@shop.example", "resource": "panel", "for": "1h", "reason": MARKUP });
    world.post("/api/v1/grants", grant).await;
    world.post("/api/v1/grants", json!({ "email": OWNER, "resource": "panel", "for": "1h", "reason": MARKUP })).await;
    world.post("/api/v1/people/support@shop.example/suspend", json!({ "reason": MARKUP })).await;
    let mut seen = 0;
    let encoded = "%3Csvg/onload=alert(1)%3E%22%20onfocus";
    let query = "%3Csvg%2Fonload%3Dalert(1)%3E%22%20onfocus";
    for path in shown() {
        let path = path.replace("0192f0c1-7a3e-7cc1-b2f4-0123456789ab", device["id"].as_str().unwrap());
        for path in [path.clone(), format!("{path}?q={query}&next={query}&state={query}&page={query}&done={query}")] {
            let page = browser.get(&path).await;
            assert_text(&path, &page);
            seen += usize::from(page.text.contains("&#60;svg/onload"));
        }
    }
    assert!(seen >= 4, "the words were on {seen} pages alone");
    for path in [format!("/nowhere/{encoded}"), format!("/admin/people/{encoded}"), format!("/join/{encoded}")] {
        assert_text(&path, &browser.get(&path).await);
    }
    // And in the refusals of forms, which repeat what was wrong.
    for field in ["email", "name", "kind", "sponsor", "until"] {
        let mut fields = vec![("email", "x@shop.example"), ("name", "X"), ("kind", "staff")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, MARKUP));
        let page = browser.form("/admin/people", &fields).await;
        assert_text(field, &page);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_and_no_reason_can_break_a_line_or_turn_it() {
    let world = world().await;
    world.furnish().await;
    for steering in STEERING {
        let text = format!("Anna{steering}moc.elpmaxe");
        for (path, body) in [
            ("/api/v1/people", json!({ "email": "a@shop.example", "name": text, "kind": "staff" })),
            ("/api/v1/people", json!({ "email": format!("a{steering}@shop.example"), "name": "A", "kind": "staff" })),
            ("/api/v1/resources", json!({ "name": text, "targets": ["10.0.5.11"], "allow": ["tcp/1"] })),
            (
                "/api/v1/grants",
                json!({ "email": "support@shop.example", "resource": "panel", "for": "1h", "reason": text }),
            ),
            ("/api/v1/people/support@shop.example/suspend", json!({ "reason": text })),
            ("/api/v1/groups", json!({ "name": text })),
            ("/api/v1/tokens", json!({ "name": text })),
        ] {
            let (status, answer) = world.call(Method::POST, path, body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {steering:?}: {answer}");
            let sentence = answer["error"]["message"].as_str().unwrap();
            assert!(!sentence.contains(steering), "{path} {steering:?} is repeated: {sentence:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_led_to_another_site_from_the_sign_in() {
    let world = world().await;
    let mut browser = Browser::new(&world);
    let mut passkey = browser.join_with_passkey(&invited(&world).await, json!({})).await;
    for next in [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "@evil.example",
        ".evil.example",
    ] {
        let mut visitor = Browser::new(&world);
        let query: String = next.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page = visitor.get(&format!("/sign-in?next={query}")).await;
        let kept = page.field("next");
        assert!(kept.starts_with('/') && !kept.contains("evil"), "{next}: {kept}");
        let begun = visitor.post("/sign-in/passkey/start", json!({})).await.json();
        let credential = passkey.get(&begun["options"]);
        let proof = json!({ "ceremony": begun["ceremony"], "credential": credential, "next": next });
        let done = visitor.post("/sign-in/passkey/finish", proof).await;
        assert_eq!(done.status, StatusCode::OK, "{next}: {}", done.text);
        let led = done.json()["next"].as_str().unwrap().to_owned();
        assert!(led.starts_with('/') && !led.contains("evil"), "{next}: {led}");
    }
}
