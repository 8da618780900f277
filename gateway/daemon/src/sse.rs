//! Server-sent events, the part of the format that the feed uses (WHATWG HTML, section 9.2.6): bounded, and `event` and
//! `retry` fields are passed over.

/// One event: what its `data` lines said, joined by line feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The payload.
    pub(crate) data: Vec<u8>,
}

/// An event was longer than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventTooLong;

/// Puts events together from chunks cut anywhere.
#[derive(Debug)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// Whether the last line ended with CR, so that an LF right after it belongs to it.
    after_return: bool,
    event_bytes_max: usize,
}

impl SseParser {
    /// Makes a parser for events of at most so many bytes.
    pub(crate) fn new(event_bytes_max: usize) -> Self {
        Self { line: Vec::new(), data: Vec::new(), has_data: false, after_return: false, event_bytes_max }
    }

    /// Takes a chunk and appends the events that it completes.
    ///
    /// # Errors
    /// [`EventTooLong`]; the stream cannot go on after that.
    pub(crate) fn push(&mut self, mut chunk: &[u8], events: &mut Vec<SseEvent>) -> Result<(), EventTooLong> {
        if let Some((first, rest)) = chunk.split_first()
            && std::mem::take(&mut self.after_return)
            && *first == b'\n'
        {
            chunk = rest;
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = chunk.split_at(end);
            self.extend_line(line)?;
            self.end_line(events);
            let was_return = rest.first() == Some(&b'\r');
            chunk = rest.get(1..).unwrap_or_default();
            if was_return {
                match chunk.split_first() {
                    Some((b'\n', after)) => chunk = after,
                    Some(_) => (),
                    None => self.after_return = true,
                }
            }
        }
        self.extend_line(chunk)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        let len = self.line.len().saturating_add(self.data.len()).saturating_add(bytes.len());
        if len > self.event_bytes_max {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<SseEvent>) {
        if self.line.is_empty() {
            if self.has_data {
                events.push(SseEvent { data: std::mem::take(&mut self.data) });
                self.has_data = false;
            }
            return;
        }
        if let Some(value) = self.line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.has_data = true;
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &[u8], chunk: usize) -> Result<Vec<String>, EventTooLong> {
        let mut parser = SseParser::new(64);
        let mut events = Vec::new();
        for part in text.chunks(chunk.max(1)) {
            parser.push(part, &mut events)?;
        }
        Ok(events.into_iter().map(|event| String::from_utf8(event.data).unwrap()).collect())
    }

    #[test]
    fn events_end_with_an_empty_line_and_comments_are_passed_over() {
        let text = b": hello\n\nid: 7\ndata: {\"a\":1}\n\nevent: x\nretry: 5\ndata:b\ndata: c\n\ndata: unfinished\n";
        assert_eq!(parse(text, 1000).unwrap(), ["{\"a\":1}", "b\nc"]);
    }

    #[test]
    fn a_return_at_the_end_of_a_chunk_swallows_no_later_line_end() {
        let mut parser = SseParser::new(64);
        let mut events = Vec::new();
        for part in [b"data: a\r".as_slice(), b"", b"data: b\n", b"\n", b"data: c\r", b"\n\r", b"\n"] {
            parser.push(part, &mut events).unwrap();
        }
        let events: Vec<_> = events.into_iter().map(|event| event.data).collect();
        assert_eq!(events, [b"a\nb".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn an_event_past_the_bound_ends_the_stream() {
        let long = [b"data: ".as_slice(), &[b'x'; 100]].concat();
        assert_eq!(parse(&long, 7), Err(EventTooLong));
        let many = b"data: xxxxxxxxxxxxxxxx\n".repeat(10);
        assert_eq!(parse(&many, 7), Err(EventTooLong));
        let fits = b"data: xxxxxxxxxxxxxxxx\n\n".repeat(10);
        assert_eq!(parse(&fits, 7).unwrap().len(), 10);
    }

    proptest! {
        #[test]
        fn where_chunks_are_cut_and_how_lines_end_changes_nothing(chunk in 1usize..40, ending in 0usize..3) {
            let ending = ["\n", "\r\n", "\r"][ending];
            let text = ["id: 1", "data: one", "", ": c", "data: two", "data: three", "", ""].join(ending);
            prop_assert_eq!(parse(text.as_bytes(), chunk).unwrap(), ["one", "two\nthree"]);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..20) {
            let mut parser = SseParser::new(64);
            let mut events = Vec::new();
            for part in bytes.chunks(chunk) {
                if parser.push(part, &mut events).is_err() { break }
            }
            prop_assert!(events.iter().all(|event| event.data.len() <= 64));
        }
    }
}
