//! Plots as SVG inside the page: rectangles, lines and texts at whole numbers, so the same figures are the same octets.

use kakunin_core::report::Markup;
use kakunin_core::time::UnixMillis;

use crate::facts::Facts;
use crate::watched::Watched;

/// Decisions by reason: what was allowed, and each code of a denial.
pub(super) fn decisions(out: &mut Markup, facts: &Facts) {
    let mut bars: Vec<(&str, u64, bool)> = vec![("allowed", facts.allowed, true)];
    let mut codes: Vec<(&str, u64)> =
        facts.reasons.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    codes.sort_by(|(one, many), (other, more)| more.cmp(many).then(one.cmp(other)));
    let rest = codes.iter().skip(MOST_BARS).map(|(_, count)| *count).fold(0_u64, u64::saturating_add);
    bars.extend(codes.iter().take(MOST_BARS).map(|(code, count)| (*code, *count, false)));
    if rest > 0 {
        bars.push(("other reasons", rest, false));
    }
    let most = bars.iter().map(|(_, count, _)| *count).max().unwrap_or(0).max(1);
    let height = bars.len() as u64 * STEP + 8;
    out.raw("<figure id=\"decisions\"><figcaption>Decisions by reason, in this period</figcaption>\n");
    out.raw("<svg role=\"img\" aria-label=\"Decisions by reason\" viewBox=\"0 0 1000 ")
        .number(height)
        .raw("\">\n");
    for (place, (name, count, allowed)) in bars.iter().enumerate() {
        let top = place as u64 * STEP + 4;
        let width = if *count == 0 { 0 } else { scaled(*count, most, WIDE).max(1) };
        out.raw("<text text-anchor=\"end\" x=\"250\" y=\"")
            .number(top + 17)
            .raw("\">")
            .text(name)
            .raw("</text>");
        out.raw("<rect class=\"").raw(if *allowed { "allow" } else { "deny" }).raw("\" x=\"262\" y=\"");
        out.number(top + 3).raw("\" width=\"").number(width).raw("\" height=\"18\"></rect>");
        out.raw("<text class=\"quiet\" x=\"").number(270 + width).raw("\" y=\"").number(top + 17).raw("\">");
        out.number(*count).raw("</text>\n");
    }
    out.raw("</svg></figure>\n");
}

/// The score over time, the scores at which levels begin, and each change of level with its receipt.
pub(super) fn risk(out: &mut Markup, watched: &Watched) {
    let replay = &watched.replay;
    let times = || replay.curve.iter().map(|point| point.at.millis());
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
    let span = u64::try_from(last.saturating_sub(first)).unwrap_or(0).max(1);
    let across = |at: i64| {
        let since = u64::try_from(at.saturating_sub(first)).unwrap_or(0).min(span);
        LEFT + scaled(since, span, ACROSS)
    };
    let up = |score: u16| TOP + TALL - scaled(u64::from(score.min(1000)), 1000, TALL);
    out.raw("<figure id=\"risk\"><figcaption>Risk over time, by the baseline <code>").text(watched.baseline);
    out.raw("</code>; replay <code>").text(replay.digest).raw("</code></figcaption>\n");
    out.raw("<svg role=\"img\" aria-label=\"Risk over time\" viewBox=\"0 0 1000 ")
        .number(TOP + TALL + 40)
        .raw("\">\n");
    out.raw("<path class=\"axis\" d=\"M")
        .number(LEFT)
        .raw(" ")
        .number(up(0))
        .raw("H")
        .number(LEFT + ACROSS)
        .raw("\"></path>");
    for (level, score) in &watched.thresholds {
        out.raw("<path class=\"threshold\" d=\"M").number(LEFT).raw(" ").number(up(*score)).raw("H");
        out.number(LEFT + ACROSS)
            .raw("\"></path><text class=\"quiet\" text-anchor=\"end\" x=\"")
            .number(LEFT - 8);
        out.raw("\" y=\"").number(up(*score) + 4).raw("\">").text(level).raw("</text>\n");
    }
    // A score holds until the next call changes it.
    out.raw("<path class=\"score\" d=\"");
    for (place, point) in replay.curve.iter().enumerate() {
        let (x, y) = (across(point.at.millis()), up(point.score));
        match place {
            0 => out.raw("M").number(x).raw(" ").number(y),
            _ => out.raw("H").number(x).raw("V").number(y),
        };
    }
    out.raw("\"></path>\n");
    for change in replay.changes.iter().take(MOST_MARKS) {
        let (x, y) = (across(change.at.millis()), up(change.score));
        out.raw("<circle class=\"cross\" r=\"6\" cx=\"")
            .number(x)
            .raw("\" cy=\"")
            .number(y)
            .raw("\"><title>");
        out.text(change.from).raw(" to ").text(change.to).raw("</title></circle>\n");
    }
    let (from, to) = (UnixMillis::from_millis(first), UnixMillis::from_millis(last));
    out.raw("<text class=\"quiet\" x=\"").number(LEFT).raw("\" y=\"").number(TOP + TALL + 24).raw("\">");
    out.text(from.to_seconds())
        .raw("</text><text class=\"quiet\" text-anchor=\"end\" x=\"")
        .number(LEFT + ACROSS);
    out.raw("\" y=\"").number(TOP + TALL + 24).raw("\">").text(to.to_seconds()).raw("</text>\n</svg>\n");
    if replay.changes.is_empty() {
        out.raw("<p class=\"limit\">The level never changed.</p>");
    } else {
        out.raw("<ul>");
        for (change, pointer) in replay.changes.iter().zip(&watched.changes).take(MOST_MARKS) {
            out.raw("<li>")
                .text(change.at.to_seconds())
                .raw(": ")
                .text(change.from)
                .raw(" to ")
                .text(change.to);
            out.raw(" at ").number(u64::from(change.score));
            for evidence in &change.evidence {
                out.raw("; ").text(&evidence.sentence);
            }
            if let Some(pointer) = pointer {
                super::point(out, pointer);
            }
            out.raw("</li>\n");
        }
        out.raw("</ul>");
    }
    out.raw("</figure>\n");
}

/// `value` of `most`, on a line of `length`.
fn scaled(value: u64, most: u64, length: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(length) / u128::from(most.max(1));
    u64::try_from(scaled).unwrap_or(length)
}

/// Codes that are drawn one by one; the rest is one bar, so that hostile names fill no page.
const MOST_BARS: usize = 24;
/// Changes that are drawn and told one by one.
const MOST_MARKS: usize = 100;
const LEFT: u64 = 90;
const TOP: u64 = 14;
const TALL: u64 = 260;
const ACROSS: u64 = 890;
const STEP: u64 = 28;
const WIDE: u64 = 660;
