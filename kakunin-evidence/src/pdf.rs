//! The report on paper: plain pages in one fixed-width type, made without a browser.
//!
//! A fixed width needs no measuring, and every line is broken where the page ends. The type is DejaVu Sans Mono, which
//! may be embedded in any document; what it has no sign for is a box. The document has no date and no name of a machine,
//! so the same report is the same octets.

use krilla::Document;
use krilla::geom::Point;
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::text::{Font, TextDirection};

use crate::finding::{Finding, Pointer, Status};
use crate::report::{EvidenceReport, SAYS};

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
#[error("no PDF was made: {0}")]
pub struct PdfError(String);

/// A line of the document.
struct Line {
    style: Style,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Title,
    Head,
    Text,
    Small,
}

impl Style {
    const fn size(self) -> f32 {
        match self {
            Self::Title => 15.0,
            Self::Head => 10.0,
            Self::Text => 8.5,
            Self::Small => 7.0,
        }
    }

    const fn height(self) -> f32 {
        self.size() * 1.4
    }

    /// Letters that fit beside one another between the margins, which a test calculates again.
    const fn letters(self) -> usize {
        match self {
            Self::Title => 54,
            Self::Head => 82,
            Self::Text => 96,
            Self::Small => 117,
        }
    }
}

/// Draws the document.
///
/// # Errors
/// The type cannot be read, or the document cannot be written.
pub(crate) fn draw(reports: &[EvidenceReport]) -> Result<Vec<u8>, PdfError> {
    let font = |octets: &'static [u8]| {
        Font::new(octets.to_vec().into(), 0).ok_or_else(|| PdfError("the type cannot be read".to_owned()))
    };
    let (plain, bold) = (font(dejavu::sans_mono::regular())?, font(dejavu::sans_mono::bold())?);
    let mut document = Document::new();
    let titles: Vec<&str> = reports.iter().map(|report| report.framework.title.as_str()).collect();
    document.set_metadata(Metadata::new().title(format!("Evidence: {}", titles.join(", "))));
    let mut number = 0_u64;
    for report in reports {
        let lines = lines(report);
        let mut left = lines.as_slice();
        while !left.is_empty() {
            number += 1;
            let settings = PageSettings::from_wh(WIDTH, HEIGHT);
            let settings = settings.ok_or_else(|| PdfError("the page has no size".to_owned()))?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            let mut put = |y: f32, style: Style, text: &str| {
                let font = if matches!(style, Style::Title | Style::Head) { &bold } else { &plain };
                let (start, direction) = (Point::from_xy(MARGIN, y), TextDirection::LeftToRight);
                surface.draw_text(start, font.clone(), style.size(), text, false, direction);
            };
            let mut y = MARGIN;
            while let Some((line, rest)) = left.split_first() {
                y += line.style.height();
                if y > HEIGHT - MARGIN - Style::Small.height() {
                    break;
                }
                if !line.text.is_empty() {
                    put(y, line.style, &line.text);
                }
                left = rest;
            }
            let (id, evidence) = (&report.framework.id, report.facts.evidence);
            let foot = format!("{id} {}, evidence {evidence}, page {number}", report.verdict());
            put(HEIGHT - MARGIN / 2.0, Style::Small, &foot);
            surface.finish();
            page.finish();
        }
    }
    document.finish().map_err(|error| PdfError(format!("{error:?}")))
}

fn lines(report: &EvidenceReport) -> Vec<Line> {
    let (framework, facts) = (&report.framework, &report.facts);
    let mut out = Lines(Vec::new());
    out.add(Style::Title, &framework.title);
    out.add(Style::Text, &format!("{}, {}. As of {}.", framework.version, framework.source, report.as_of));
    out.gap();
    out.add(Style::Head, report.verdict());
    for what in facts.what().iter().chain(&report.remark) {
        out.add(Style::Text, what);
    }
    let claimed = facts
        .claimed
        .map_or_else(String::new, |(first, last)| format!(", from {first} to {last} as they claim"));
    let (receipts, seen, streams, agents) = (facts.receipts, facts.seen, facts.streams, facts.agents.len());
    out.add(
        Style::Text,
        &format!("{receipts} of {seen} receipts in {streams} streams, {agents} agents{claimed}."),
    );
    let counts = Status::ALL.map(|status| format!("{} {}", report.count(status), status.word()));
    out.add(Style::Text, &counts.join(", "));
    out.gap();
    out.add(Style::Text, SAYS);
    if let Some(note) = &framework.note {
        out.add(Style::Text, note);
    }
    for finding in &report.findings {
        out.finding(finding);
    }
    out.gap();
    out.add(Style::Head, "Not covered");
    for one in &framework.not_covered {
        out.add(Style::Text, &format!("{}: {}", one.what, one.why));
    }
    out.gap();
    out.add(Style::Small, &framework.licence);
    out.0
}

struct Lines(Vec<Line>);

impl Lines {
    fn gap(&mut self) {
        self.0.push(Line { style: Style::Text, text: String::new() });
    }

    fn finding(&mut self, finding: &Finding) {
        let control = &finding.control;
        self.gap();
        let later =
            if finding.applies { String::new() } else { format!(", applies from {}", finding.applies_from) };
        self.add(Style::Head, &format!("{} [{}{later}]", control.id, finding.status.word()));
        if let Some(title) = &control.title {
            self.add(Style::Text, title);
        }
        if let Some(claim) = finding.claim() {
            self.add(Style::Text, claim);
        }
        self.add(Style::Small, &control.limit);
        for judgement in &finding.judgements {
            self.add(Style::Small, &format!("{}: {}", judgement.predicate, judgement.because));
            for Pointer { receipt, stream, seq, .. } in &judgement.receipts {
                self.add(Style::Small, &format!("  {receipt} number {seq} of stream {stream}"));
            }
        }
    }

    /// Text of any origin: what cannot be seen or turns others around is spelled out, and what is too long goes on below.
    fn add(&mut self, style: Style, text: &str) {
        let safe = text.chars().flat_map(|letter| match letter {
            '\'' | '"' | '\\' => vec![letter],
            _ => letter.escape_debug().collect(),
        });
        let mut line = String::new();
        let mut letters = 0;
        let mut words = Vec::new();
        for word in safe.collect::<String>().split_inclusive(' ') {
            // A word that is longer than a line is broken anywhere.
            let letters: Vec<char> = word.chars().collect();
            words.extend(letters.chunks(style.letters()).map(|chunk| chunk.iter().collect::<String>()));
        }
        for word in words {
            let length = word.trim_end().chars().count();
            if letters > 0 && letters + length > style.letters() {
                self.0.push(Line { style, text: std::mem::take(&mut line) });
                letters = 0;
            }
            letters += word.chars().count();
            line.push_str(&word);
        }
        self.0.push(Line { style, text: line });
    }
}

/// A4, in points.
const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const MARGIN: f32 = 50.0;
/// What is between the margins.
#[cfg(test)]
const ACROSS: f32 = WIDTH - 2.0 * MARGIN;
/// The width of every letter of the type, by its size.
#[cfg(test)]
const ADVANCE: f32 = 0.602_05;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Facts, Period};
    use crate::framework::Framework;

    fn report(name: &str) -> EvidenceReport {
        EvidenceReport::of(Framework::named(name).unwrap(), Facts::none(Period::default()), None).unwrap()
    }

    #[test]
    fn the_same_report_is_the_same_octets() {
        for name in Framework::names() {
            let octets = report(name).to_pdf().unwrap();
            assert!(octets.starts_with(b"%PDF-1.") && octets.len() > 5_000);
            assert_eq!(octets, report(name).to_pdf().unwrap(), "{name}");
            let text = String::from_utf8_lossy(&octets);
            assert!(!text.contains("CreationDate") && !text.contains("CreateDate"), "{name}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_page_and_nothing_is_hidden_in_it() {
        for style in [Style::Title, Style::Head, Style::Text, Style::Small] {
            let letters = u16::try_from(style.letters()).unwrap();
            let width = f32::from(letters) * ADVANCE * style.size();
            assert!(width <= ACROSS && width + ADVANCE * style.size() > ACROSS - 12.0, "{style:?}: {width}");
        }
        let mut lines = Lines(Vec::new());
        lines.add(Style::Text, &format!("\u{202e}gnp.exe {} \0end", "x".repeat(500)));
        assert!(lines.0.iter().all(|line| line.text.chars().count() <= 97));
        let all: String = lines.0.iter().map(|line| line.text.as_str()).collect();
        assert!(all.starts_with("\\u{202e}gnp.exe") && all.ends_with("\\0end"), "{all}");
    }
}
