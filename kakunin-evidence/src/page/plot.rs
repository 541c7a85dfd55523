//! Plots as SVG inside the page: rectangles, lines and texts at whole numbers, so the same figures are the same octets.

use kakunin_core::report::Markup;

use crate::facts::Facts;

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

/// `value` of `most`, on a line of `length`.
fn scaled(value: u64, most: u64, length: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(length) / u128::from(most.max(1));
    u64::try_from(scaled).unwrap_or(length)
}

/// Codes that are drawn one by one; the rest is one bar, so that hostile names fill no page.
const MOST_BARS: usize = 24;
const STEP: u64 = 28;
const WIDE: u64 = 660;
