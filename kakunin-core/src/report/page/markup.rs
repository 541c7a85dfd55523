//! HTML that can be written in one way only: markup is a literal of the program, and every other text is escaped.

use std::fmt::Display;

/// A piece of HTML. Whatever comes from outside goes in by [`Markup::text`] or [`Markup::foreign`], and cannot be markup.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// Markup that stands in the source of this program.
    pub fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// A number, which needs no escape.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.push_str(&number.to_string());
        self
    }

    /// Text of any origin, as text: no character of it is markup, moves another one, or stays invisible.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        for c in text.to_string().chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\\' | '\n' => self.0.push(c),
                // Controls, bidirectional overrides, invisible and unassigned characters are spelled out.
                _ => self.0.extend(c.escape_debug()),
            }
        }
        self
    }

    /// Text of strangers: also kept from changing the direction of what stands around it.
    pub fn foreign(&mut self, text: impl Display) -> &mut Self {
        self.raw("<bdi>").text(text).raw("</bdi>")
    }

    /// One more term with what it is.
    pub fn term(&mut self, name: &'static str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.raw("<dt>").raw(name).raw("</dt><dd>");
        fill(self);
        self.raw("</dd>")
    }

    /// Another piece behind this one.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// What was written so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What was written.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut markup = Markup::default();
        markup.text(text);
        markup.into_string()
    }

    #[test]
    fn no_character_of_a_text_is_markup() {
        assert_eq!(shown("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;/script&gt;");
        assert_eq!(shown("\"><img onerror='x'>"), "&quot;&gt;&lt;img onerror=&#39;x&#39;&gt;");
        assert_eq!(shown("&lt;"), "&amp;lt;");
        for code in 0..=0x10_FFFF_u32 {
            let Some(c) = char::from_u32(code) else { continue };
            let text = shown(&c.to_string());
            assert!(!text.contains(['<', '>', '"', '\'']), "{c:?}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{c:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_or_moves_others_is_spelled_out() {
        for (hidden, spelled) in [
            ("\u{202e}", "\\u{202e}"),
            ("\u{2066}", "\\u{2066}"),
            ("\u{200f}", "\\u{200f}"),
            ("\u{200b}", "\\u{200b}"),
            ("\u{feff}", "\\u{feff}"),
            ("\u{301}", "\\u{301}"),
            ("\0", "\\0"),
            ("\r", "\\r"),
            ("\u{1b}", "\\u{1b}"),
        ] {
            assert_eq!(shown(&format!("a{hidden}b")), format!("a{spelled}b"));
        }
        assert_eq!(shown("Zürich 東京 שלום"), "Zürich 東京 שלום");
    }
}
