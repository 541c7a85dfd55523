//! Texts in parts: of a cell in its place, and of the table of strings that cells share.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::WorkbookError;

/// A part as events, with its name for what is wrong in it.
pub(super) struct Part<'t> {
    name: &'t str,
    reader: Reader<&'t [u8]>,
}

impl<'t> Part<'t> {
    pub(super) fn new(name: &'t str, text: &'t str) -> Self {
        Self { name, reader: Reader::from_str(text) }
    }

    pub(super) fn next(&mut self) -> Result<Event<'t>, WorkbookError> {
        match self.reader.read_event() {
            // Neither declarations nor entities are for workbooks; what an entity says would have to be believed.
            Ok(Event::DocType(_)) => Err(self.wrong("has a document type")),
            Ok(event) => Ok(event),
            Err(error) => Err(self.wrong(error)),
        }
    }

    /// How far it is read, in octets.
    pub(super) fn place(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    pub(super) fn wrong(&self, what: impl ToString) -> WorkbookError {
        WorkbookError::Form { part: self.name.to_owned(), what: what.to_string() }
    }

    /// An attribute of an element, by its local name.
    pub(super) fn attribute(
        &self,
        element: &BytesStart<'_>,
        name: &str,
    ) -> Result<Option<String>, WorkbookError> {
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|error| self.wrong(error))?;
            if attribute.key.local_name().as_ref() == name {
                let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
                return Ok(Some(value.map_err(|error| self.wrong(error))?.into_owned()));
            }
        }
        Ok(None)
    }

    /// The text up to the end of the element that was begun: what its `t` elements hold, and not how it is pronounced.
    pub(super) fn text(&mut self) -> Result<String, WorkbookError> {
        let (mut text, mut depth, mut spoken, mut reads) = (String::new(), 1_usize, None, false);
        loop {
            match self.next()? {
                Event::Start(element) => {
                    depth = depth.saturating_add(1);
                    match element.local_name().as_ref() {
                        "rPh" => spoken = spoken.or(Some(depth)),
                        "t" => reads = spoken.is_none(),
                        _ => {}
                    }
                }
                Event::End(element) => {
                    if spoken == Some(depth) {
                        spoken = None;
                    }
                    if element.local_name().as_ref() == "t" {
                        reads = false;
                    }
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok(text);
                    }
                }
                Event::Eof => return Err(self.wrong("ends within an element")),
                event if reads => self.push(&event, &mut text)?,
                _ => {}
            }
        }
    }

    /// The characters up to the end of the element that was begun, which has no others in it.
    pub(super) fn characters(&mut self) -> Result<String, WorkbookError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Event::End(_) => return Ok(text),
                Event::Eof => return Err(self.wrong("ends within an element")),
                Event::Start(element) => {
                    let what = format!("has an element `{}` where a value is", element.local_name().as_ref());
                    return Err(self.wrong(what));
                }
                event => self.push(&event, &mut text)?,
            }
        }
    }

    fn push(&self, event: &Event<'_>, text: &mut String) -> Result<(), WorkbookError> {
        match event {
            Event::Text(characters) => text.push_str(&characters.xml10_content()),
            Event::CData(characters) => text.push_str(&characters.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| self.wrong(error))?;
                match (character, quick_xml::escape::resolve_xml_entity(reference)) {
                    (Some(character), _) => text.push(character),
                    (None, Some(known)) => text.push_str(known),
                    (None, None) => return Err(self.wrong(format!("has an entity `&{};`", &**reference))),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The strings that cells share, in their order.
pub(super) fn shared(name: &str, text: &str) -> Result<Vec<String>, WorkbookError> {
    let (mut part, mut strings) = (Part::new(name, text), Vec::new());
    loop {
        match part.next()? {
            Event::Start(element) if element.local_name().as_ref() == "si" => strings.push(part.text()?),
            Event::Empty(element) if element.local_name().as_ref() == "si" => strings.push(String::new()),
            Event::Eof => return Ok(strings),
            _ => {}
        }
        if strings.len() > MOST_STRINGS {
            return Err(WorkbookError::TooLarge { most: "1,000,000 strings" });
        }
    }
}

const MOST_STRINGS: usize = 1_000_000;
