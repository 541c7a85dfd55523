//! `kakunin freeze`, and what `kakunin thaw` shares with it.

use clap::Args;
use kakunin_authority::freeze::Cold;
use kakunin_authority::store::{Extent, FreezeRecord, Hand};
use serde_json::{Value, json};

#[cfg(feature = "serve")]
use crate::answer::one_line;
use crate::answer::{Answer, Failure};
use crate::context::{Common, now};
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Stop issuance: after the answer no certificate is signed, until `kakunin thaw`
///
/// Who is certified already goes on; lists and feeds are signed, agents are suspended and revoked, and what they send is
/// kept. It is what comes first when certificates were issued that should not have been. It holds over restarts and on every
/// node of the authority.
///
/// At the home it means every tenant, or the one that --tenant names; over --url that of the key, or every one with
/// --everyone.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin freeze --reason \"certificates with too wide a scope\"
  kakunin freeze --url http://127.0.0.1:8080 --reason \"the issuer's key leaked\"
  kakunin revoke --where 'issued=2026-11-01T00:00:00Z..' --dry-run --reason drill")]
pub(crate) struct Freeze {
    #[command(flatten)]
    order: ColdOrder,
}

impl Freeze {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        self.order.give(Cold::Freeze, common)
    }
}

/// Whose issuing, and why.
#[derive(Args)]
pub(super) struct ColdOrder {
    /// Why, for the records
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Every tenant's; at the home that is meant anyway unless --tenant names one
    #[arg(long)]
    everyone: bool,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl ColdOrder {
    pub(super) fn give(&self, cold: Cold, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.send(cold, &service);
        }
        if self.everyone && common.named_tenant().is_some() {
            return Err(Failure::usage(
                "--everyone means every tenant, and --tenant names one; leave one out",
            ));
        }
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let extent = common.named_tenant().cloned().map_or(Extent::Everyone, Extent::Tenant);
        let done = authority.cool(cold, extent.clone(), &self.reason, now())?;
        let rows: Vec<_> = done.freezes.iter().map(row).collect();
        let answer = Answer::yes(json!({ "changed": done.is_new, "freezes": rows }));
        Ok(answer.line(said(cold, done.is_new, &extent.to_string())).lines(still(
            cold,
            &done.freezes,
            &extent,
        )))
    }

    #[cfg(feature = "serve")]
    fn send(&self, cold: Cold, service: &Service) -> Result<Answer, Failure> {
        let answer = match cold {
            Cold::Freeze => {
                service.post("/freeze", &json!({ "reason": self.reason, "everyone": self.everyone }))?
            }
            Cold::Thaw => {
                let reason = percent(&self.reason);
                service.delete(&format!("/freeze?reason={reason}&everyone={}", self.everyone))?
            }
        };
        let row = answer.get("data").cloned().unwrap_or_default();
        let changed = row.get("changed").and_then(Value::as_bool).unwrap_or_default();
        let whose = if self.everyone { "every tenant" } else { "the tenant of the key" };
        let lines: Vec<_> = row
            .get("freezes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|row| {
                let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
                let whose = row.get("tenant").and_then(Value::as_str).unwrap_or("every tenant");
                format!("frozen: {} since {}: {}", one_line(whose), text("since"), one_line(text("reason")))
            })
            .collect();
        Ok(Answer::yes(row).line(said(cold, changed, whose)).lines(lines))
    }
}

fn said(cold: Cold, is_new: bool, whose: &str) -> String {
    match (cold, is_new) {
        (Cold::Freeze, true) => format!("issuing for {whose} is frozen: no certificate is signed"),
        (Cold::Freeze, false) => format!("issuing for {whose} was frozen already"),
        (Cold::Thaw, true) => format!("the freeze of {whose} is lifted"),
        (Cold::Thaw, false) => format!("issuing for {whose} was not frozen"),
    }
}

/// What is frozen beside what the order was about.
fn still(cold: Cold, freezes: &[FreezeRecord], extent: &Extent) -> Vec<String> {
    let other = |freeze: &FreezeRecord| freeze.extent != *extent || freeze.hand != Hand::Operator;
    let others = freezes.iter().filter(|freeze| cold == Cold::Thaw || other(freeze));
    others.map(|freeze| format!("frozen: {} since {}: {}", freeze.extent, freeze.at, freeze.text)).collect()
}

fn row(freeze: &FreezeRecord) -> Value {
    let tenant = match &freeze.extent {
        Extent::Everyone => None,
        Extent::Tenant(tenant) => Some(tenant.as_str()),
    };
    json!({
        "tenant": tenant,
        "everyone": tenant.is_none(),
        "operator": freeze.hand == Hand::Operator,
        "since": freeze.at.to_string(),
        "by": freeze.actor.to_string(),
        "reason": freeze.text,
    })
}

/// A text as the value of a query.
#[cfg(feature = "serve")]
fn percent(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let one = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
