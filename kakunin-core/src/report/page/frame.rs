//! The document around everything, and the diagram: headers of the lanes, one row a receipt.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};

use super::lanes::Bar;
use super::markup::Markup;
use super::{Page, proof, receipt, top};
use crate::digest::Digest;
use crate::verify::Place;

/// The whole document.
pub(super) fn whole(page: &Page<'_>) -> String {
    let style = style(page);
    let mut out = Markup::default();
    out.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
    out.text(Base64::encode_string(Digest::of(style.as_str().as_bytes()).as_bytes()));
    out.raw("'; base-uri 'none'; form-action 'none'\">\n");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.raw("<title>").text(page.account.report().verdict().word()).raw(": ");
    out.text(&page.believed.subject).raw(" – Kakunin</title>\n<style>");
    out.append(&style);
    out.raw("</style>\n</head>\n<body class=\"")
        .raw(top::class(&page.account.report().verdict()))
        .raw("\">\n");
    top::verdict(&mut out, page);
    out.raw("<main>\n");
    diagram(&mut out, page);
    proof::logs(&mut out, page);
    top::streams(&mut out, page);
    top::believed(&mut out, page);
    out.raw("</main>\n</body>\n</html>\n");
    out.into_string()
}

/// The one sheet, with the places of this page's lanes. No attribute holds a style: the policy allows none.
fn style(page: &Page<'_>) -> Markup {
    let mut out = Markup::default();
    out.raw(include_str!("page.css"));
    let lanes = page.lanes.lanes.len().max(1) as u64;
    out.raw(".flow{--lanes:").number(lanes).raw("}\n");
    for lane in 0..page.lanes.lanes.len() as u64 {
        out.raw(".l").number(lane).raw("{--lane:").number(lane).raw(";--hue:var(--hue").number(lane % HUES);
        out.raw(")}\n");
    }
    let mut spans: Vec<usize> = page.lanes.owners.iter().map(|owner| owner.lanes).collect();
    spans.sort_unstable();
    spans.dedup();
    for span in spans {
        let span = span as u64;
        out.raw(".s").number(span).raw("{grid-column:span ").number(span).raw("}\n");
    }
    let mut edges = BTreeMap::new();
    for row in &page.lanes.rows {
        for from in &row.edges {
            edges.insert((*from, row.lane), from.abs_diff(row.lane));
        }
    }
    for ((from, to), distance) in edges {
        out.raw(".e").number(from as u64).raw("-").number(to as u64).raw("{--left:");
        out.number(from.min(to) as u64).raw(";--wide:").number(distance as u64);
        out.raw(";--hue:var(--hue").number(from as u64 % HUES).raw(")}\n");
    }
    out
}

fn diagram(out: &mut Markup, page: &Page<'_>) {
    out.raw("<section aria-labelledby=\"what\">\n<h2 id=\"what\">What happened</h2>\n");
    if page.lanes.rows.is_empty() {
        out.raw("<p class=\"none\">No receipt can be shown.</p>\n");
        gone(out, page);
        out.raw("</section>\n");
        return;
    }
    out.raw("<p class=\"how\">A column is an agent, a row a receipt: one decision, one outcome, or a note. Rows stand in the order that receipts prove by naming what they follow from; clocks take no part. An arrow comes from the agent whose call it follows from, a bar is a call that runs. Open a row for its receipt and its proof.</p>\n");
    if page.account.invalid().is_some() {
        out.raw("<p class=\"gap wrong\"><b>INVALID.</b> What follows is from something that is wrong, and nothing in it may be relied on.</p>\n");
    }
    // A header that stays at the top needs a page that scrolls as a whole.
    let many = page.lanes.lanes.len() > MOST_LANES;
    out.raw(if many { "<div class=\"scroll\">" } else { "<div>" });
    out.raw("<div class=\"flow\">\n<div class=\"heads\">\n<div class=\"owners\">");
    for owner in page.lanes.owners.iter().filter(|owner| owner.lanes > 0) {
        out.raw("<div class=\"owner s").number(owner.lanes as u64).raw("\"><span>owner</span> <b>");
        top::owner(out, page, owner);
        out.raw("</b></div>");
    }
    out.raw("</div>\n<div class=\"agents\">");
    for (place, lane) in page.lanes.lanes.iter().enumerate() {
        out.raw("<div class=\"agent l")
            .number(place as u64)
            .raw("\"><b>")
            .foreign(&lane.name)
            .raw("</b><code>");
        out.text(lane.agent.agent).raw("</code><span class=\"of\">");
        if let Some(owner) = page.lanes.owners.get(lane.owner) {
            out.raw("of ");
            top::owner(out, page, owner);
        }
        out.raw("</span></div>");
    }
    out.raw("</div>\n</div>\n<div class=\"rows\">\n<div class=\"lines\" aria-hidden=\"true\">");
    for lane in 0..page.lanes.lanes.len() as u64 {
        out.raw("<i class=\"l").number(lane).raw("\"></i>");
    }
    out.raw("</div>\n<ol>\n");
    for (place, (step, row)) in page.account.steps().iter().zip(&page.lanes.rows).enumerate() {
        out.raw("<li class=\"row l").number(row.lane as u64).raw(" ").raw(receipt::kind(step)).raw("\">");
        for (lane, bar) in &row.bars {
            let class = match bar {
                Bar::Begins => "\" class=\"bar begins l",
                Bar::Runs => "\" class=\"bar l",
                Bar::Ends => "\" class=\"bar ends l",
            };
            out.raw("<i aria-hidden=\"true").raw(class).number(*lane as u64).raw("\"></i>");
        }
        for from in &row.edges {
            let class = if *from < row.lane {
                "<i aria-hidden=\"true\" class=\"edge right e"
            } else {
                "<i aria-hidden=\"true\" class=\"edge left e"
            };
            out.raw(class).number(*from as u64).raw("-").number(row.lane as u64).raw("\"></i>");
        }
        out.raw("<i class=\"dot\" aria-hidden=\"true\"></i>");
        receipt::draw(out, page, place, step, row);
        out.raw("</li>\n");
    }
    out.raw("</ol>\n</div>\n</div></div>\n");
    gone(out, page);
    out.raw("</section>\n");
}

/// What is not drawn: never left unsaid.
fn gone(out: &mut Markup, page: &Page<'_>) {
    if let Some(invalid) = page.account.invalid()
        && let Place::Receipt { stream, index } = &invalid.place
        && page.row_of(*stream, *index).is_none()
    {
        out.raw("<p class=\"gap wrong\"><b>").text(invalid.code).raw("</b> at receipt ").number(*index);
        out.raw(" of stream <code>").text(stream).raw(
            "</code>: it was not accepted, and neither it nor what follows in its stream is shown.</p>\n",
        );
    }
    let left_out = page.account.left_out();
    if left_out == 0 {
        return;
    }
    out.raw("<div class=\"gap\"><p><b>")
        .number(left_out)
        .raw(" receipts were verified and are not drawn:</b> of each stream the first are shown.</p><ul>");
    let mut drawn: BTreeMap<_, u64> = BTreeMap::new();
    for step in page.account.steps() {
        *drawn.entry(step.statement.stream).or_default() += 1;
    }
    let cut = page.account.report().streams().iter().filter_map(|stream| {
        let shown = drawn.get(&stream.stream).copied().unwrap_or(0);
        (stream.receipts > shown).then_some((stream.stream, shown, stream.receipts))
    });
    let cut: Vec<_> = cut.collect();
    for (stream, shown, receipts) in cut.iter().take(MOST_STREAMS) {
        out.raw("<li>stream <code>").text(stream).raw("</code>: ").number(*shown).raw(" of ");
        out.number(*receipts).raw(" shown</li>");
    }
    if let Some(more) = cut.len().checked_sub(MOST_STREAMS).filter(|more| *more > 0) {
        out.raw("<li>and ").number(more as u64).raw(" streams more</li>");
    }
    out.raw("</ul><p><code>kakunin export --chain</code> makes a bundle of one incident, which is drawn whole if it has no more than 2,000 receipts.</p></div>\n");
}

/// Lanes that a page of usual width can hold side by side.
const MOST_LANES: usize = 6;
/// Colours of lanes in the sheet.
const HUES: u64 = 8;
/// Streams that are named one by one where something is not drawn.
const MOST_STREAMS: usize = 50;
