//! Server-sent events (HTML Living Standard, section 9.2.6), as far as a feed uses them.
//!
//! Takes in bytes as they come, in pieces of any length; gives out events. A line and an event have limits, so whoever sends
//! endlessly costs a megabyte and ends the connection. Fields that a feed does not use are read and dropped.

use kakunin_core::feed::MAX_ITEM;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type; empty if none was named.
    pub(crate) name: String,
    /// Its lines of data, joined by line feeds.
    pub(crate) data: String,
}

/// Bytes that are no events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEvents {
    #[error("a line or an event is longer than {MAX_EVENT} bytes")]
    TooLong,
    #[error("a line is not UTF-8")]
    Encoding,
}

/// Reads a stream of events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The present line, so far.
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last line ended with a carriage return, so a line feed now is part of that end.
    after_return: bool,
    begun: bool,
}

impl Parser {
    /// Reads on, and hands every event that is complete to `take`, until that says no.
    ///
    /// # Errors
    /// [`NoEvents`], and whatever `take` says; nothing of this stream is read after either.
    pub(crate) fn push<E: From<NoEvents>>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len().saturating_add(piece.len()) > MAX_EVENT {
                return Err(NoEvents::TooLong.into());
            }
            self.line.extend_from_slice(piece);
            let Some((ending, rest)) = rest.split_first() else { return Ok(()) };
            self.after_return = *ending == b'\r';
            bytes = rest;
            if let Some(event) = self.line_ended()? {
                take(event)?;
            }
        }
        Ok(())
    }

    fn line_ended(&mut self) -> Result<Option<Event>, NoEvents> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| NoEvents::Encoding)?;
        let line = if self.begun { line } else { line.strip_prefix('\u{feff}').unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.event.data.len().saturating_add(value.len()) >= MAX_EVENT {
                    return Err(NoEvents::TooLong);
                }
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.event.name),
            // A comment, an identifier, a time, or what comes after us.
            _ => {}
        }
        Ok(None)
    }
}

/// The longest item, and the name of its field.
pub(crate) const MAX_EVENT: usize = MAX_ITEM + 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Event>, NoEvents> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece, |event| {
                events.push(event);
                Ok::<_, NoEvents>(())
            })?;
        }
        Ok(events)
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_with_every_ending_of_lines() {
        for ending in ["\n", "\r", "\r\n"] {
            let text = "\u{feff}event: item|id: 7|data: one||: comment|retry: 3|data|data:two|data:  three||event: x||data: cut off";
            let text = text.replace('|', ending);
            let expected = vec![event("item", "one"), event("", "\ntwo\n three")];
            assert_eq!(read([text.as_bytes()]).unwrap(), expected, "{ending:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(read(bytes).unwrap(), expected, "{ending:?}, octet by octet");
        }
    }

    #[test]
    fn what_never_ends_is_an_error_and_not_memory() {
        let endless = vec![b'x'; 4096];
        assert_eq!(read(std::iter::repeat_n(endless.as_slice(), 1 << 20)), Err(NoEvents::TooLong));
        let mut lines = b"data: ".to_vec();
        lines.extend_from_slice(&endless);
        lines.push(b'\n');
        assert_eq!(read(std::iter::repeat_n(lines.as_slice(), 1 << 20)), Err(NoEvents::TooLong));
        let longest = format!("data: {}\n\n", "x".repeat(MAX_ITEM));
        assert_eq!(read([longest.as_bytes()]).unwrap().len(), 1);
        assert_eq!(read([b"data: \xff\n".as_slice()]), Err(NoEvents::Encoding));
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_changes_nothing(text in "(event: a|data: b|\n|\r|:|data|é){0,40}", cuts in proptest::collection::vec(0usize..200, 0..8)) {
            let whole = read([text.as_bytes()]).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(read(pieces).unwrap(), whole);
        }
    }
}
