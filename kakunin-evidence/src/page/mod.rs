//! The report as one page that a browser opens from a file, or prints: no script, no request, a policy that forbids both,
//! and every text from outside escaped by the one type that can write HTML. It tells no time of its own.

mod plot;

use kakunin_core::digest::Digest;
use kakunin_core::report::Markup;

use crate::facts::Settled;
use crate::finding::{Finding, Pointer, Status};
use crate::report::{EvidenceReport, SAYS};

/// Draws the page.
pub(crate) fn draw(report: &EvidenceReport) -> String {
    let framework = &report.framework;
    let mut out = Markup::default();
    out.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
    out.text(base64(&Digest::of(STYLE.as_bytes())));
    out.raw("'; base-uri 'none'; form-action 'none'\">\n");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.raw("<title>")
        .text(&framework.title)
        .raw(" ")
        .text(&framework.version)
        .raw(": evidence – Kakunin</title>\n<style>");
    out.raw(STYLE).raw("</style>\n</head>\n<body>\n");
    top(&mut out, report);
    out.raw("<main>\n<section aria-labelledby=\"seen\"><h2 id=\"seen\">What was seen</h2>\n");
    plot::decisions(&mut out, &report.facts);
    if let Some(watched) = &report.facts.watched {
        plot::risk(&mut out, watched);
    }
    out.raw("</section>\n<section aria-labelledby=\"findings\"><h2 id=\"findings\">Findings</h2>\n");
    for finding in &report.findings {
        row(&mut out, report, finding);
    }
    out.raw("</section>\n");
    uncovered(&mut out, report);
    check(&mut out, report);
    out.raw("</main>\n</body>\n</html>\n");
    out.into_string()
}

fn top(out: &mut Markup, report: &EvidenceReport) {
    let (framework, facts) = (&report.framework, &report.facts);
    out.raw("<header>\n<h1>")
        .text(&framework.title)
        .raw("</h1>\n<p class=\"soft\">")
        .text(&framework.version);
    out.raw(", ").text(&framework.source).raw(". As of ").text(report.as_of).raw(".</p>\n");
    out.raw("<p><span class=\"verdict ")
        .raw(class(&facts.settled))
        .raw("\">")
        .text(report.verdict())
        .raw("</span></p>\n");
    for what in facts.what().iter().chain(&report.remark) {
        out.raw("<p class=\"problem\">").text(what).raw("</p>\n");
    }
    out.raw("<p class=\"soft\">").number(facts.receipts).raw(" of ").number(facts.seen).raw(" receipts in ");
    out.number(facts.streams).raw(" streams, ").number(facts.agents.len() as u64).raw(" agents");
    if let Some((first, last)) = facts.claimed {
        out.raw(", from ").text(first).raw(" to ").text(last).raw(" as they claim");
    }
    out.raw(". Evidence <code>").text(facts.evidence).raw("</code></p>\n<p class=\"says\">").text(SAYS);
    if let Some(note) = &framework.note {
        out.raw(" ").text(note);
    }
    out.raw("</p>\n<ul class=\"counts\">");
    for status in Status::ALL {
        out.raw("<li class=\"").raw(status.word()).raw("\">").number(report.count(status) as u64).raw(" ");
        out.raw(status.word()).raw("</li>");
    }
    out.raw("</ul>\n</header>\n");
}

fn row(out: &mut Markup, report: &EvidenceReport, finding: &Finding) {
    let control = &finding.control;
    out.raw("<article class=\"finding\"><header><h3>").text(&control.id);
    if let Some(title) = &control.title {
        out.raw(" ").text(title);
    }
    if !finding.applies {
        out.raw(" <span class=\"later\">applies from ").text(&finding.applies_from).raw("</span>");
    }
    out.raw("</h3><span class=\"status ").raw(finding.status.word()).raw("\">");
    out.raw(finding.status.word()).raw("</span></header>\n");
    if let Some(claim) = finding.claim() {
        out.raw("<p>").text(claim).raw("</p>");
    }
    out.raw("<p class=\"limit\">").text(&control.limit).raw("</p>\n<ul>");
    for judgement in &finding.judgements {
        out.raw("<li><code>").text(judgement.predicate).raw("</code> ").text(&judgement.because);
        for pointer in &judgement.receipts {
            point(out, pointer);
        }
        out.raw("</li>\n");
    }
    out.raw("</ul>");
    if let Some(source) = control.source.as_ref().filter(|source| **source != report.framework.source) {
        out.raw("<p class=\"limit\">").text(source).raw("</p>");
    }
    out.raw("</article>\n");
}

fn point(out: &mut Markup, pointer: &Pointer) {
    out.raw("<br><code>")
        .text(&pointer.receipt)
        .raw("</code> <span class=\"limit\">number ")
        .number(pointer.seq);
    out.raw(" of stream ").text(&pointer.stream);
    if let Some(line) = pointer.line {
        out.raw(", line ").number(line);
    }
    out.raw("</span>");
}

fn uncovered(out: &mut Markup, report: &EvidenceReport) {
    out.raw("<section aria-labelledby=\"uncovered\"><h2 id=\"uncovered\">Not covered</h2>\n<table><tbody>\n");
    for one in &report.framework.not_covered {
        out.raw("<tr><th scope=\"row\">").text(&one.what).raw("</th><td>").text(&one.why).raw("</td></tr>\n");
    }
    out.raw("</tbody></table></section>\n");
}

fn check(out: &mut Markup, report: &EvidenceReport) {
    out.raw("<section aria-labelledby=\"check\"><h2 id=\"check\">How to check it</h2>\n<p>A page is a drawing and proves nothing. Verify the evidence with roots and keys that you have from their owners: <code>kakunin verify BUNDLE --root ca.pem --log-key KEY --timeline</code>. The receipts above stand there by their names, and in the bundle's <code>receipts.jws</code> at their lines. The same evidence gives this page again, octet for octet.</p>\n<p class=\"limit\">");
    out.text(&report.framework.licence).raw("</p></section>\n");
}

const fn class(settled: &Settled) -> &'static str {
    match settled {
        Settled::Complete => "complete",
        Settled::NotComplete(_) => "not-complete",
        Settled::Empty => "empty",
        Settled::Invalid { .. } => "invalid",
    }
}

/// A digest as a content security policy writes it.
fn base64(digest: &Digest) -> String {
    let mut text = digest.to_base64url().replace('-', "+").replace('_', "/");
    text.push('=');
    text
}

const STYLE: &str = include_str!("page.css");
