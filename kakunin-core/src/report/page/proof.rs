//! How a receipt is proven: certificate, list, time, and its places in logs; and the checkpoints that pages refer to.

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};

use super::lanes::plain;
use super::markup::Markup;
use super::{Page, link};
use crate::digest::hex;
use crate::journal::Proof;
use crate::key::Algorithm;
use crate::receipt::{Control, Event, ListUse, Stamp};
use crate::time::UnixTime;
use crate::verify::{LogPlace, OpenedLog, SeenCheckpoint, Step};

pub(super) fn draw(out: &mut Markup, page: &Page<'_>, step: &Step) {
    let certificate = step.path.agent().decoded();
    out.term("signature", |out| match &step.proof {
        Proof::Signed(_) => {
            out.raw(match certificate.key().algorithm() {
                Algorithm::P256 => "its own, ES256",
                Algorithm::Ed25519 => "its own, EdDSA",
            });
        }
        Proof::Sealed(seal) => {
            out.raw("that of its seal, ");
            match page.account.steps().iter().position(|step| step.hash == *seal) {
                Some(row) => link(out, row),
                None => {
                    out.raw("<code>").text(seal).raw("</code>");
                }
            }
        }
        Proof::Unsigned => {
            out.raw("<b>none: nobody signed this receipt</b>");
        }
    });
    out.term("certificate", |out| {
        let validity = certificate.validity();
        out.foreign(plain(&certificate.subject_text())).raw(", serial <code>").text(certificate.serial());
        out.raw("</code><br>valid ").text(validity.not_before).raw(" – ").text(validity.not_after);
        out.raw("<br>by ").foreign(plain(&step.path.issuing().decoded().subject_text())).raw(", under ");
        out.foreign(plain(&step.path.root().decoded().subject_text()));
        out.raw("<br><code>SHA-256 ").text(step.certificate).raw("</code>");
    });
    let list = match &step.statement.event {
        Event::Decision { list, .. } => list.as_ref(),
        Event::Control(Control::List(list)) => Some(list),
        _ => None,
    };
    match list {
        Some(list) => used(out, list),
        None if matches!(step.statement.event, Event::Decision { .. }) => {
            out.term("revocation list", |out| {
                out.raw("none: there was no list to decide by");
            });
        }
        None => {}
    }
    time(out, step);
    if step.places.is_empty() {
        out.term("log", |out| {
            out.raw("no log whose key was given holds it");
        });
    }
    for place in &step.places {
        logged(out, page, place);
    }
}

fn used(out: &mut Markup, list: &ListUse) {
    out.term("revocation list", |out| {
        let number = hex(&list.number);
        let number = number.trim_start_matches('0');
        out.raw("number ").text(if number.is_empty() { "0" } else { number }).raw(" (hexadecimal), of ");
        out.text(list.this_update).raw(", good until ").text(list.next_update);
        out.raw("<br><code>SHA-256 ").text(list.digest).raw("</code>");
        if let Some(head) = list.feed {
            out.raw("<br>with its feed up to ").text(head);
        }
    });
}

/// When it was: what is claimed, and what is proven on either side.
fn time(out: &mut Markup, step: &Step) {
    out.term("time", |out| {
        out.raw("claims <b>").text(claimed(&step.statement.stamp)).raw("</b><br>");
        match step.not_before {
            Some(time) => out.raw("not before ").text(time).raw(", the latest list named so far"),
            None => out.raw("not before: no list is named that would show it"),
        };
        out.raw("<br>");
        match step.not_after {
            Some(time) => out.raw("not after ").text(time).raw(", by witnesses"),
            None => out.raw("not after: nobody witnessed it"),
        };
    });
    if let Some(anchor) = &step.statement.anchor {
        out.term("knew of", |out| {
            out.raw("a checkpoint of size ").number(anchor.size).raw(", root <code>").text(hex(&anchor.root));
            out.raw("…</code>");
        });
    }
}

fn claimed(stamp: &Stamp) -> String {
    let second = stamp.time().to_string();
    let micros = stamp.micros.rem_euclid(1_000_000);
    second.strip_suffix('Z').map_or(second.clone(), |second| format!("{second}.{micros:06}Z"))
}

fn logged(out: &mut Markup, page: &Page<'_>, place: &LogPlace) {
    let head = place.log.head();
    out.term("log", |out| {
        out.foreign(place.log.key.name()).raw("<br>leaf <b>").number(place.index).raw("</b>");
        if let Some(head) = head {
            out.raw(" of ").number(head.size).raw(", checkpoint ");
            checkpoint_link(out, page, &place.log, head);
        }
    });
    out.term("inclusion path", |out| match &place.path {
        Some(path) if path.is_empty() => {
            out.raw("empty: it is the only entry");
        }
        Some(path) => {
            out.raw("<ol class=\"path\">");
            for hash in path {
                out.raw("<li><code>").text(Base64::encode_string(hash.as_bytes())).raw("</code></li>");
            }
            out.raw("</ol>");
        }
        None => {
            out.raw("none: the log itself was read here, and its entry compared with its root");
        }
    });
    out.term("witnesses", |out| match place.log.witnessed_at(place.index) {
        Some(seen) => {
            cosigned(out, seen);
            out.raw(" on ");
            checkpoint_link(out, page, &place.log, seen);
        }
        None if place.log.believed => {
            out.raw("none; the asker believes that this log shows everybody the same");
        }
        None => {
            out.raw("not enough of the asker’s policy");
        }
    });
}

fn cosigned(out: &mut Markup, seen: &SeenCheckpoint) {
    for (position, (name, time)) in seen.witnesses.iter().enumerate() {
        out.raw(if position == 0 { "" } else { "; " }).foreign(name).raw(" at ").text(time);
    }
}

fn checkpoint_link(out: &mut Markup, page: &Page<'_>, log: &Arc<OpenedLog>, seen: &SeenCheckpoint) {
    let place = logs_of(page).iter().position(|other| Arc::ptr_eq(other, log)).unwrap_or(0) as u64;
    out.raw("<a href=\"#log")
        .number(place)
        .raw("-")
        .number(seen.size)
        .raw("\">")
        .number(seen.size)
        .raw("</a>");
}

/// The logs that rows refer to, in the order in which they first appear.
fn logs_of(page: &Page<'_>) -> Vec<Arc<OpenedLog>> {
    let mut found: Vec<Arc<OpenedLog>> = Vec::new();
    for place in page.account.steps().iter().flat_map(|step| &step.places) {
        if !found.iter().any(|known| Arc::ptr_eq(known, &place.log)) {
            found.push(Arc::clone(&place.log));
        }
    }
    found
}

/// The checkpoints that rows refer to, each as its log and the witnesses signed it.
pub(super) fn logs(out: &mut Markup, page: &Page<'_>) {
    let logs = logs_of(page);
    if logs.is_empty() {
        return;
    }
    out.raw("<section aria-labelledby=\"logs\">\n<h2 id=\"logs\">Logs and checkpoints</h2>\n<p class=\"how\">Every checkpoint here is signed by its log and continues the one before. The octets are those of the file, in the form of C2SP signed notes.</p>\n");
    for (place, log) in logs.iter().enumerate() {
        let steps = page.account.steps().iter().flat_map(|step| &step.places);
        let named = steps.filter(|it| Arc::ptr_eq(&it.log, log));
        let mut sizes: Vec<u64> =
            named.filter_map(|it| log.witnessed_at(it.index)).map(|seen| seen.size).collect();
        sizes.extend(log.head().map(|head| head.size));
        sizes.sort_unstable();
        sizes.dedup();
        out.raw("<h3 class=\"log\">").foreign(log.key.name()).raw("</h3>\n");
        for seen in log.checkpoints.iter().filter(|seen| sizes.binary_search(&seen.size).is_ok()) {
            checkpoint(out, place as u64, seen);
        }
    }
    out.raw("</section>\n");
}

fn checkpoint(out: &mut Markup, place: u64, seen: &SeenCheckpoint) {
    out.raw("<div class=\"checkpoint\" id=\"log").number(place).raw("-").number(seen.size).raw("\"><p><b>");
    out.number(seen.size).raw("</b> entries, root <code>").text(seen.root).raw("</code><br>");
    let witnessed: Option<UnixTime> = seen.witnessed;
    match witnessed {
        Some(time) => {
            out.raw("witnessed ").text(time).raw(": ");
            cosigned(out, seen);
        }
        None => {
            out.raw("not witnessed by enough of the asker’s policy");
        }
    }
    out.raw("</p><pre class=\"wrap\" tabindex=\"0\">").text(&seen.note).raw("</pre></div>\n");
}
