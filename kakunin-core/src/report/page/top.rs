//! What stands above and below the diagram: the verdict in words, the streams, and whom the asker believed.

use std::collections::HashSet;

use super::lanes::{Lane, Owner, plain};
use super::markup::Markup;
use super::{Page, link};
use crate::report::what;
use crate::verify::{Place, Reason, Verdict};

/// The verdict, with what it means and what keeps it from being another one.
pub(super) fn verdict(out: &mut Markup, page: &Page<'_>) {
    let (account, report) = (page.account, page.account.report());
    let verdict = report.verdict();
    out.raw("<header>\n<p class=\"what\">What <b>kakunin verify</b> found in <code>");
    out.foreign(&page.believed.subject).raw("</code></p>\n<h1>").raw(verdict.word());
    out.raw("</h1>\n<p class=\"means\">").raw(meaning(&verdict)).raw("</p>\n");
    if let Some(chain) = account.chain() {
        out.raw("<p class=\"about\">It is about one chain, <code>").text(chain);
        out.raw("</code>, and about nothing else that these agents did.</p>\n");
    }
    problems(out, page);
    let agents: Vec<&Lane> = page.lanes.lanes.iter().filter(|lane| lane.proven).collect();
    let owners: HashSet<usize> = agents.iter().map(|lane| lane.owner).collect();
    out.raw("<ul class=\"counts\">");
    for (count, one, many) in [
        (account.sum(|stream| stream.receipts), " receipt", " receipts"),
        (account.sum(|stream| stream.allowed), " allowed", " allowed"),
        (account.sum(|stream| stream.denied), " denied", " denied"),
        (account.sum(|stream| stream.outcomes), " outcome", " outcomes"),
        (agents.len() as u64, " agent", " agents"),
        (owners.len() as u64, " owner", " owners"),
    ] {
        out.raw("<li><b>").number(count).raw("</b>").raw(if count == 1 { one } else { many }).raw("</li>");
    }
    let values = report.values();
    for (count, what) in [
        (values.erased, " values erased, as a receipt says"),
        (values.withheld, " values withheld"),
        (values.missing, " values missing"),
        (account.sum(|stream| stream.clock_jumps), " jumps of clocks, stated by the agents"),
    ] {
        if count > 0 {
            out.raw("<li><b>").number(count).raw("</b>").raw(what).raw("</li>");
        }
    }
    if let Some(count) = report.replay() {
        out.raw("<li><b>").number(count.same).raw("</b> decided again, the same</li>");
        if count.open > 0 {
            out.raw("<li><b>").number(count.open).raw("</b> cannot be decided again here</li>");
        }
    }
    out.raw("</ul>\n<p class=\"caution\">This page is a drawing and proves nothing by itself: anybody can write one like it. The proof is the file it was made from; check that with <code>kakunin verify</code> and roots that you have from their owners.</p>\n</header>\n");
}

/// The verdict as a class of the whole page.
pub(super) const fn class(verdict: &Verdict<'_>) -> &'static str {
    match verdict {
        Verdict::Complete => "complete",
        Verdict::AuthenticNotComplete(_) => "partial",
        Verdict::Invalid(_) => "invalid",
        Verdict::Empty => "empty",
    }
}

fn meaning(verdict: &Verdict<'_>) -> &'static str {
    let unsigned = |reason: &Reason| matches!(reason, Reason::Unsigned { .. });
    match verdict {
        Verdict::Complete => {
            "Every receipt here is genuine, none is missing, and somebody else saw the end of each stream."
        }
        Verdict::AuthenticNotComplete(reasons) if reasons.iter().any(unsigned) => {
            "What is signed here is genuine. Receipts that nobody signed are shown, and prove nothing:"
        }
        Verdict::AuthenticNotComplete(_) => {
            "Every receipt here is genuine. That nothing else happened is not shown, or something is missing:"
        }
        Verdict::Invalid(_) => {
            "Something here is wrong. Do not rely on anything on this page; what is drawn below is what could be read before the fault, for whoever looks for it."
        }
        Verdict::Empty => "There is no receipt here that anybody signed, and so nothing is shown.",
    }
}

fn problems(out: &mut Markup, page: &Page<'_>) {
    let account = page.account;
    if account.invalid().is_none() && account.reasons().is_empty() && account.notes().is_empty() {
        return;
    }
    out.raw("<ul class=\"problems\">");
    if let Some(invalid) = account.invalid() {
        out.raw("<li><b>").text(invalid).raw("</b>");
        if let Some(what) = what(invalid.code) {
            out.raw(": ").text(what);
        }
        if let Place::Receipt { stream, index } = &invalid.place
            && let Some(row) = page.row_of(*stream, *index)
        {
            out.raw(" see row ");
            link(out, row);
        }
        out.raw("</li>");
    }
    let mut codes: Vec<&'static str> = account.reasons().iter().map(Reason::code).collect();
    codes.dedup();
    let mut seen = HashSet::new();
    for code in codes.into_iter().filter(|code| seen.insert(*code)) {
        let all: Vec<&Reason> = account.reasons().iter().filter(|reason| reason.code() == code).collect();
        // One sentence a stream is no sentence any more where there are many.
        if all.len() <= FEW_REASONS {
            all.into_iter().for_each(|one| reason(out, page, one));
            continue;
        }
        out.raw("<li><details class=\"many\"><summary>")
            .number(all.len() as u64)
            .raw(" times <code>")
            .text(code);
        out.raw("</code>, the first: ");
        if let Some(first) = all.first() {
            out.text(first);
        }
        out.raw("</summary><ul>");
        all.iter().take(MOST_REASONS).for_each(|one| reason(out, page, one));
        if let Some(more) = all.len().checked_sub(MOST_REASONS).filter(|more| *more > 0) {
            out.raw("<li>and ").number(more as u64);
            out.raw(" more, which <code>kakunin verify</code> tells</li>");
        }
        out.raw("</ul></details></li>");
    }
    for note in account.notes() {
        out.raw("<li class=\"note\">").text(note).raw("</li>");
    }
    out.raw("</ul>\n");
}

fn reason(out: &mut Markup, page: &Page<'_>, reason: &Reason) {
    out.raw("<li>").text(reason).raw(" <code>").text(reason.code()).raw("</code>");
    rows(out, page, reason);
    out.raw("</li>");
}

/// Links to the rows that a reason is about, as far as they are drawn.
fn rows(out: &mut Markup, page: &Page<'_>, reason: &Reason) {
    let Some(stream) = reason.stream() else { return };
    let drawn = reason.indices().iter().take(MOST_ROWS).filter_map(|index| page.row_of(stream, *index));
    for (place, row) in drawn.enumerate() {
        out.raw(if place == 0 { " see row " } else { ", " });
        link(out, row);
    }
}

/// An owner, by the name that the asker has for the root and by that which the root has for itself.
pub(super) fn owner(out: &mut Markup, page: &Page<'_>, owner: &Owner) {
    match page
        .believed
        .roots
        .iter()
        .find(|root| root.digest == owner.root)
        .and_then(|root| root.called.as_ref())
    {
        Some(called) => {
            out.foreign(called).raw(" <small>").foreign(&owner.name).raw("</small>");
        }
        None => {
            out.foreign(&owner.name);
        }
    }
}

/// The counts of every stream.
pub(super) fn streams(out: &mut Markup, page: &Page<'_>) {
    let streams = page.account.report().streams();
    if streams.is_empty() {
        return;
    }
    out.raw("<section aria-labelledby=\"streams\">\n<h2 id=\"streams\">Streams</h2>\n<p class=\"how\">A stream is what one opening of an agent wrote. Its times are the claims of its own clock.</p>\n<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>stream</th><th>agent</th><th>owner</th><th>receipts</th><th>allowed</th><th>denied</th><th>outcomes</th><th>unsigned</th><th>in a log</th><th>witnessed</th><th>its end</th><th>claims</th></tr></thead><tbody>\n");
    for stream in streams.iter().take(MOST_STREAMS) {
        out.raw("<tr><td><code>").text(stream.stream).raw("</code></td><td>");
        let lane = page.lanes.of_stream(stream.stream).filter(|_| stream.agent.is_some());
        match lane.and_then(|lane| page.lanes.lanes.get(lane)) {
            Some(lane) => {
                out.foreign(&lane.name).raw("</td><td>");
                match page.lanes.owners.get(lane.owner) {
                    Some(of) => owner(out, page, of),
                    None => _ = out.raw("–"),
                }
            }
            None => _ = out.raw("–</td><td>–"),
        }
        // Two roots may call themselves the same; their keys are not.
        if let Some(root) = stream.root {
            let digits: String = root.to_hex().chars().take(KEY_DIGITS).collect();
            out.raw("<br><small>key <code>").text(digits).raw("</code></small>");
        }
        out.raw("</td>");
        for count in [
            stream.receipts,
            stream.allowed,
            stream.denied,
            stream.outcomes,
            stream.unsigned,
            stream.logged,
            stream.witnessed,
        ] {
            out.raw("<td class=\"n\">").number(count).raw("</td>");
        }
        out.raw(if stream.closed { "<td>closed</td><td>" } else { "<td>open</td><td>" });
        if let Some((from, to)) = stream.claimed {
            out.text(from).raw("<br>").text(to);
        }
        out.raw("</td></tr>\n");
    }
    out.raw("</tbody></table></div>\n");
    if let Some(more) = streams.len().checked_sub(MOST_STREAMS).filter(|more| *more > 0) {
        out.raw("<p class=\"gap\">and ").number(more as u64).raw(" streams more</p>\n");
    }
    out.raw("</section>\n");
}

/// Whom the asker believed: nothing else counts, and nothing of it came from the file.
pub(super) fn believed(out: &mut Markup, page: &Page<'_>) {
    let believed = page.believed;
    out.raw("<section aria-labelledby=\"believed\">\n<h2 id=\"believed\">Believed for this verdict</h2>\n<p class=\"how\">The asker named these. Nothing of it was taken from the file: compare it with what the owners gave you.</p>\n<dl class=\"facts\">");
    for root in &believed.roots {
        out.term("root", |out| {
            if let Some(called) = &root.called {
                out.foreign(called).raw(": ");
            }
            out.foreign(plain(&root.name)).raw("<br><code>SHA-256 ").text(root.digest).raw("</code>");
        });
    }
    for key in &believed.logs {
        out.term("log", |out| {
            out.foreign(key.name()).raw("<br><code>").foreign(key).raw("</code>");
        });
    }
    for key in &believed.witnesses {
        out.term("witness", |out| {
            out.foreign(key.name()).raw("<br><code>").foreign(key).raw("</code>");
        });
    }
    if believed.logs.is_empty() && believed.witnesses.is_empty() {
        out.term("logs, witnesses", |out| {
            out.raw("none: so nobody else saw the end of a stream");
        });
    }
    out.term("made by", |out| {
        out.raw(concat!("kakunin ", env!("CARGO_PKG_VERSION")));
    });
    out.raw("</dl>\n</section>\n");
}

/// Reasons of one code that stand at the top one by one.
const FEW_REASONS: usize = 4;
/// Reasons of one code that are named at all.
const MOST_REASONS: usize = 100;
/// Rows that one reason links to.
const MOST_ROWS: usize = 20;
/// Digits of a root's key that stand beside its name.
const KEY_DIGITS: usize = 16;
/// Rows of the table of streams.
const MOST_STREAMS: usize = 500;
