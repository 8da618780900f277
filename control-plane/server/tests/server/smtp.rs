//! A small mail server on loopback, which keeps what it is sent, or refuses it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail as it came.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// Whom the envelope names.
    pub(crate) to: String,
    /// Headers and body.
    pub(crate) text: String,
}

/// A running mail server.
#[derive(Clone)]
pub(crate) struct Smtp {
    url: &'static str,
    mails: Arc<Mutex<Vec<Mail>>>,
    refuses: Arc<AtomicBool>,
}

impl Smtp {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let smtp = Self { url: Box::leak(url.into_boxed_str()), mails: Arc::default(), refuses: Arc::default() };
        let served = smtp.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let smtp = served.clone();
                tokio::spawn(async move { smtp.speak(stream).await });
            }
        });
        smtp
    }

    /// Its address, for settings that live as long as the test's process.
    pub(crate) const fn url(&self) -> &'static str {
        self.url
    }

    /// Refuses for the moment, or takes mails again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// What came, in the order of the recipients.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        let mut mails = self.mails.lock().unwrap().clone();
        mails.sort_by(|one, other| one.to.cmp(&other.to));
        mails
    }

    /// One connection (RFC 5321, as much of it as a client needs that greets, sends and goes).
    async fn speak(&self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut to = String::new();
        let _ = write.write_all(b"220 mail.test\r\n").await;
        while let Ok(Some(line)) = lines.next_line().await {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let answer = match verb.as_str() {
                "MAIL" if self.refuses.load(Ordering::SeqCst) => "451 the disk is full, try later",
                "RCPT" => {
                    to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    "250 ok"
                }
                "DATA" => {
                    let _ = write.write_all(b"354 go on\r\n").await;
                    let mut text = String::new();
                    while let Ok(Some(line)) = lines.next_line().await {
                        if line == "." {
                            break;
                        }
                        // A long header goes on in the next line (RFC 5322, section 2.2.3).
                        if line.starts_with(' ') && !text.contains("\n\n") {
                            text.truncate(text.trim_end_matches('\n').len());
                        }
                        text.push_str(&line);
                        text.push('\n');
                    }
                    // A long line of the body goes on after a `=` (RFC 2045, section 6.7).
                    self.mails.lock().unwrap().push(Mail { to: to.clone(), text: text.replace("=\n", "") });
                    "250 taken"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() || verb == "QUIT" {
                return;
            }
        }
    }
}
