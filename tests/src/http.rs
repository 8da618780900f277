//! A few lines of HTTP/1.1 over any stream: metrics and the admin socket, without a client library.

use std::io::{BufRead, BufReader, Read, Write};

/// An answer: status and body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// A connection that carries one request after another.
#[derive(Debug)]
pub struct Connection<S: Read + Write> {
    stream: BufReader<S>,
}

impl<S: Read + Write> Connection<S> {
    /// Takes over a connected stream.
    pub fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a request and reads the whole answer (`Content-Length`, chunked, or up to the connection's end).
    ///
    /// # Errors
    /// What the stream reports.
    pub fn request(&mut self, method: &str, path: &str, body: Option<&str>) -> std::io::Result<Answer> {
        self.send((method, path), "application/json", body.unwrap_or_default())
    }

    /// Sends a page's form.
    ///
    /// # Errors
    /// What the stream reports.
    pub fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> std::io::Result<Answer> {
        let fields = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        self.send(("POST", path), "application/x-www-form-urlencoded", &fields.collect::<Vec<_>>().join("&"))
    }

    fn send(&mut self, (method, path): (&str, &str), content_type: &str, body: &str) -> std::io::Result<Answer> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.stream.get_mut().write_all(body.as_bytes())?;
        let status = self.line()?.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse::<u64>().ok();
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let mut bytes = Vec::new();
        if chunked {
            self.chunks(&mut bytes)?;
        } else if let Some(length) = length.or((status == 204).then_some(0)) {
            self.stream.by_ref().take(length).read_to_end(&mut bytes)?;
        } else {
            self.stream.read_to_end(&mut bytes)?;
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned() })
    }

    fn chunks(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let line = self.line()?;
            let length = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
            self.stream.by_ref().take(length).read_to_end(bytes)?;
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// A value as forms carry it: letters and digits as they are, everything else by its bytes.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |done, byte| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => done + &char::from(byte).to_string(),
        _ => done + &format!("%{byte:02X}"),
    })
}
