//! One receipt: a line that says what it is, and behind it what it states and how that is proven.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::Value;

use super::lanes::{Parent, Row};
use super::markup::Markup;
use super::{Page, link, proof};
use crate::digest::Digest;
use crate::journal::Proof;
use crate::reason::DenialReason;
use crate::receipt::{Answer, Caller, Event, Mode, ProofOfPossession};
use crate::report::story;
use crate::verify::Step;

/// What it is, as a class.
pub(super) const fn kind(step: &Step) -> &'static str {
    match &step.statement.event {
        _ if matches!(step.proof, Proof::Unsigned) => "aside",
        Event::Decision { answer: Answer::Allow, .. } => "allow",
        Event::Decision { answer: Answer::Deny(_), .. } => "deny",
        Event::Outcome { .. } => "outcome",
        Event::Open { .. } | Event::Close { .. } | Event::Control(_) => "aside",
    }
}

pub(super) fn draw(out: &mut Markup, page: &Page<'_>, place: usize, step: &Step, row: &Row) {
    let statement = &step.statement;
    out.raw("<details><summary><span class=\"no\">")
        .number(place as u64 + 1)
        .raw("</span> <span class=\"say\">");
    headline(out, page, place, step, row);
    out.raw("</span>");
    marks(out, page, step);
    out.raw("</summary>\n<div class=\"body\" id=\"r").number(place as u64 + 1).raw("\">\n");
    out.raw("<div class=\"half\"><h3>What it states</h3><dl class=\"facts\">");
    out.term("receipt", |out| {
        out.raw("<code>").text(step.hash).raw("</code>");
    });
    out.term("agent", |out| {
        if let Some(lane) = page.lanes.lanes.get(row.lane) {
            out.foreign(&lane.name).raw(" ");
        }
        out.raw("<code>").text(statement.agent).raw("</code>");
    });
    out.term("place", |out| {
        out.raw("number ")
            .number(statement.sequence)
            .raw(" of stream <code>")
            .text(statement.stream)
            .raw("</code>");
    });
    event(out, page, step, row);
    follows(out, row);
    if let Some((chain, counter)) = statement.chain {
        out.term("chain", |out| {
            out.raw("<code>").text(chain).raw("</code>");
            if let Some(counter) = counter {
                out.raw(", number ").number(counter).raw(" of it in this stream");
            }
        });
    }
    if let Some(trace) = &statement.trace {
        out.term("trace", |out| {
            out.raw("<code>").foreign(trace).raw("</code>");
        });
    }
    if statement.memory {
        out.term("state", |out| {
            out.raw("kept in memory only");
        });
    }
    out.raw("</dl></div>\n<div class=\"half\"><h3>How it is proven</h3><dl class=\"facts\">");
    proof::draw(out, page, step);
    out.raw("</dl></div>\n");
    octets(out, step);
    out.raw("</div></details>");
}

/// The line that stands in the lane.
fn headline(out: &mut Markup, page: &Page<'_>, place: usize, step: &Step, row: &Row) {
    let values = step.disclosures.iter().filter(|it| it.name() != "output");
    let values: Vec<(&str, String)> = values.map(|it| (it.name(), short(it.value()))).collect();
    match &step.statement.event {
        Event::Decision { action, answer, mode, .. } => {
            out.raw(match answer {
                Answer::Allow => "<b class=\"word\">allowed</b> <span class=\"act\">",
                Answer::Deny(_) => "<b class=\"word\">denied</b> <span class=\"act\">",
            });
            match action {
                Some(action) => out.foreign(action),
                None => out.raw("no action"),
            };
            out.raw("</span>");
            if let Answer::Deny(code) = answer {
                out.raw(" <code class=\"code\">").foreign(code).raw("</code>");
            }
            if *mode != Mode::Enforce {
                out.raw(" <code class=\"code\">").text(mode.word()).raw("</code>");
            }
            if !values.is_empty() {
                out.raw(" <span class=\"with\">");
                for (position, (name, value)) in values.iter().enumerate() {
                    // An amount and its currency are one thing.
                    out.raw(match *name {
                        _ if position == 0 => "",
                        "currency" => "&nbsp;",
                        _ => "&nbsp;· ",
                    });
                    out.foreign(value);
                }
                out.raw("</span>");
            }
        }
        Event::Outcome { outcome, .. } => {
            out.raw("<b class=\"word\">").text(outcome.word().replace('_', " ")).raw("</b>");
            if let Some(decision) = page.lanes.ends(place) {
                out.raw(" <span class=\"with\">ends ").number(decision as u64 + 1).raw("</span>");
            }
        }
        _ => {
            out.raw("<span class=\"with\">").text(story::tell(step)).raw("</span>");
        }
    }
    let from = row.parents.iter().filter(|_| step.is_proven()).filter_map(|parent| match parent {
        Parent::Row(from) if page.lanes.rows.get(*from).is_some_and(|other| other.lane != row.lane) => {
            Some(*from)
        }
        _ => None,
    });
    for from in from {
        out.raw(" <span class=\"from\">after ").number(from as u64 + 1).raw("</span>");
    }
}

/// The other agent whose certificate the answer is by.
fn asked(out: &mut Markup, caller: &Caller) {
    out.term("asked by", |out| {
        out.raw("the agent <code>").text(caller.agent).raw("</code>, ").raw(match caller.possession {
            ProofOfPossession::Signature => "which signed the request",
            ProofOfPossession::Tls => "by its TLS connection to the gateway",
            ProofOfPossession::Proxy => "by the word of a proxy that the gateway trusts",
            ProofOfPossession::None => {
                "<b>which proved nothing: whoever knows its serial number may have asked</b>"
            }
        });
        out.raw("<br><code>SHA-256 ").text(caller.certificate).raw("</code>");
    });
}

fn marks(out: &mut Markup, page: &Page<'_>, step: &Step) {
    let statement = &step.statement;
    let known = page.marks.get(&(statement.stream, statement.sequence));
    for code in known.into_iter().flatten() {
        let wrong = page.account.invalid().is_some_and(|invalid| invalid.code == *code);
        out.raw(if wrong { " <span class=\"mark wrong\">INVALID: " } else { " <span class=\"mark\">" });
        out.text(code).raw("</span>");
    }
    if !step.is_proven() && known.is_none_or(|codes| !codes.contains(&"receipt.unsigned")) {
        out.raw(" <span class=\"mark\">receipt.unsigned</span>");
    }
}

fn event(out: &mut Markup, page: &Page<'_>, step: &Step, row: &Row) {
    match &step.statement.event {
        Event::Decision {
            caller,
            action,
            answer,
            mode,
            amount,
            currency,
            counterparties,
            resources,
            as_written,
            ..
        } => {
            if let Some(caller) = caller {
                asked(out, caller);
            }
            out.term("action", |out| {
                match action {
                    Some(action) => out.raw("<code>").foreign(action).raw("</code>"),
                    None => out.raw("none that is a well-formed name"),
                };
            });
            out.term("decision", |out| match answer {
                Answer::Allow => {
                    out.raw("<b>allow</b>");
                }
                Answer::Deny(code) => {
                    out.raw("<b>deny</b> <code>").foreign(code).raw("</code>");
                    if let Some(reason) = DenialReason::from_code(code) {
                        out.raw(": ").text(reason.what());
                    }
                }
            });
            out.term("mode", |out| {
                out.raw(match mode {
                    Mode::Enforce => "enforce: a denial keeps the action from running",
                    Mode::Observe => "observe: the action runs, whatever is decided",
                    Mode::Check => "check: a question, and no action",
                });
            });
            value(out, step, "amount", "amount", amount.as_ref());
            if *as_written {
                out.term("amount as", |out| {
                    out.raw("a number of the host language, in its shortest decimal text");
                });
            }
            value(out, step, "currency", "currency", currency.as_ref());
            value(out, step, "counterparties", "counterparties", counterparties.as_ref());
            value(out, step, "resources", "resources", resources.as_ref());
            if let Some(outcome) = row.ended_by {
                out.term("outcome", |out| {
                    if let Some(step) = page.account.steps().get(outcome)
                        && let Event::Outcome { outcome, .. } = &step.statement.event
                    {
                        out.raw("<b>").text(outcome.word().replace('_', " ")).raw("</b>, see ");
                    }
                    link(out, outcome);
                });
            }
        }
        Event::Outcome { outcome, observer, output, .. } => {
            out.term("outcome", |out| {
                out.raw("<b>").text(outcome.word().replace('_', " ")).raw("</b>, seen by ").foreign(observer);
            });
            if let Some(output) = output {
                value(out, step, "result", "output", Some(&output.digest));
                out.term("result’s length", |out| {
                    out.number(output.length).raw(" bytes");
                });
            }
        }
        Event::Close { totals: Some(totals) } => {
            out.term("counts", |out| {
                out.number(totals.allow).raw(" allowed, ").number(totals.deny).raw(" denied, ");
                out.number(totals.outcome).raw(" outcomes, ").number(totals.chains).raw(" chains");
            });
        }
        _ => {
            out.term("note", |out| {
                out.text(story::tell(step));
            });
        }
    }
}

/// A value that the receipt commits to: as disclosed, or redacted.
fn value(out: &mut Markup, step: &Step, title: &'static str, name: &str, commitment: Option<&Digest>) {
    let Some(commitment) = commitment else { return };
    let disclosed = step.disclosures.iter().find(|it| it.name() == name && it.digest() == commitment);
    out.term(title, |out| match disclosed {
        Some(disclosure) => {
            match disclosure.value() {
                Value::Array(values) => {
                    out.raw("<ul>");
                    for value in values.iter().take(MOST_VALUES) {
                        out.raw("<li>").foreign(plain(value)).raw("</li>");
                    }
                    if let Some(more) = values.len().checked_sub(MOST_VALUES).filter(|more| *more > 0) {
                        out.raw("<li>and ").number(more as u64).raw(" more</li>");
                    }
                    out.raw("</ul>");
                }
                Value::Bool(false) => {
                    out.raw("given, and no readable value");
                }
                Value::Number(minor) if name == "amount" => {
                    out.text(minor).raw(" minor units");
                }
                value => {
                    let text = plain(value);
                    let cut: String = text.chars().take(LONGEST).collect();
                    out.foreign(&cut);
                    if let Some(more) = text.chars().count().checked_sub(LONGEST).filter(|more| *more > 0) {
                        out.raw(" … and ").number(more as u64).raw(" characters more");
                    }
                }
            }
            out.raw(" <small>disclosed, matches the commitment</small>");
        }
        None => {
            out.raw("<span class=\"redacted\">redacted</span> <small>commitment <code>");
            out.text(commitment.to_base64url()).raw("</code></small>");
        }
    });
}

/// A value as a line can hold it.
fn short(value: &Value) -> String {
    let text = match value {
        Value::Array(values) => values.iter().take(MOST_VALUES).map(plain).collect::<Vec<_>>().join(", "),
        other => plain(other),
    };
    let cut: String = text.chars().take(SHORT).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn follows(out: &mut Markup, row: &Row) {
    if row.parents.is_empty() {
        return;
    }
    out.term("follows from", |out| {
        for (position, parent) in row.parents.iter().enumerate() {
            out.raw(if position == 0 { "" } else { ", " });
            match parent {
                Parent::Row(row) => link(out, *row),
                Parent::Unsigned(row) => {
                    link(out, *row);
                    out.raw(", which nobody signed");
                }
                Parent::Elsewhere(hash) => {
                    out.raw("<code>").text(hash).raw("</code>, which is not on this page");
                }
            }
        }
    });
}

/// The octets: what was signed, decoded, and as it was written.
fn octets(out: &mut Markup, step: &Step) {
    let payload = step.token.split('.').nth(1).and_then(|part| Base64UrlUnpadded::decode_vec(part).ok());
    let payload = payload.and_then(|payload| serde_json::from_slice::<Value>(&payload).ok());
    out.raw("<div class=\"octets\"><h3>The payload, decoded</h3><pre tabindex=\"0\">");
    match payload.and_then(|payload| serde_json::to_string_pretty(&payload).ok()) {
        Some(text) => out.text(text),
        None => out.raw("it cannot be decoded"),
    };
    out.raw("</pre></div><div class=\"octets\"><h3>");
    out.raw(match step.proof {
        Proof::Signed(_) => "The signed token (JWS)",
        Proof::Sealed(_) => "What is signed by its seal",
        Proof::Unsigned => "What nobody signed",
    });
    out.raw("</h3><pre class=\"wrap\" tabindex=\"0\">").text(&step.token).raw("</pre></div>\n");
}

/// Names of one list that are shown.
const MOST_VALUES: usize = 50;
/// Characters of one value in a line.
const SHORT: usize = 64;
/// Characters of one value.
const LONGEST: usize = 400;
