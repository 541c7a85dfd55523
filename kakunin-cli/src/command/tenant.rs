//! `kakunin tenant`: who shares this authority, each with an issuing authority of its own.

use clap::{Args, Subcommand};
use kakunin_authority::access::TenantId;
use kakunin_authority::api_key::OwnerKey;
use kakunin_authority::authority::Hours;
use kakunin_authority::deed::Deed;
use kakunin_authority::store::IssuerId;
use kakunin_core::certificate::{CaCertificate, CaRole};
use serde_json::{Value, json};

use crate::answer::{Answer, Failure, one_line};
use crate::context::{Common, now, tenant};
#[cfg(feature = "serve")]
use crate::remote::Remote;

/// Make and list tenants, each with an issuing authority of its own
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  kakunin tenant create acme
  kakunin agent create billing --scope scope.toml --out agents/billing --tenant acme
  kakunin tenant list")]
pub(crate) enum Tenant {
    Create(Create),
    Key(Key),
    List(List),
}

impl Tenant {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match self {
            Self::Create(command) => command.run(common),
            Self::Key(command) => command.run(common),
            Self::List(command) => command.run(common),
        }
    }
}

/// Make a tenant: an issuing authority below the root, and its first lists
///
/// Needs the root's key, as `init` and `rotate` do. Agents of other tenants are unknown to it: whoever pins its issuing
/// authority believes none of theirs. A service makes it, too, if it can open the root's key, and answers with the key of
/// the tenant's owner.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin tenant create acme
  kakunin tenant create acme --url http://127.0.0.1:8080 --json")]
pub(crate) struct Create {
    /// Its name: lower-case letters, digits and hyphens
    #[arg(value_parser = tenant)]
    name: TenantId,
    /// For how many hours its first list may be used, 168 if not said; a service has hours of its own
    #[arg(long)]
    hours: Option<u16>,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Create {
    fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            if self.hours.is_some() {
                return Err(Failure::usage("--hours is the service's own when --url is given; leave it out"));
            }
            let answer = service.post("/tenants", &json!({ "name": self.name.as_str() }))?;
            let row = answer.get("data").cloned().unwrap_or_default();
            let key = text(&row, "owner_key");
            return Ok(Answer::yes(row)
                .line(format!("created {}", self.name))
                .line(format!("owner's key  {key} (shown this once)")));
        }
        let hours = self.hours.map_or(Ok(Hours::default()), Hours::new)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        // Whose the order is: tenants are made by the operator, whatever --tenant says.
        authority.act_for(&TenantId::default())?;
        let (subject, now) = (self.name.to_string(), now());
        let deed = Deed { what: "tenant.create", subject, before: None, after: None, text: String::new() };
        let founded =
            authority.locally(deed, now, |authority| authority.create_tenant(&self.name, hours, now))?;
        let (issuing, lists) = (founded.issuing.decoded(), &founded.publication.path);
        Ok(Answer::yes(json!({
            "id": founded.tenant.as_str(),
            "issuer": issuing.key().key_id().to_hex(),
            "issuer_expires_at": issuing.validity().not_after.to_string(),
            "chain": lists.with_file_name("chain.pem"),
            "lists": lists,
            "list_number": founded.publication.number,
            "next_update": founded.publication.next_update.to_string(),
        }))
        .line(format!("created {}, issuing by {}", founded.tenant, issuing.subject_text()))
        .line(format!("lists  {} until {}", lists.display(), founded.publication.next_update))
        .line(format!("next   kakunin agent create NAME --scope scope.toml --tenant {}", founded.tenant)))
    }
}

/// Make one more owner's key of a tenant, for a service
///
/// It is shown this once. With it the tenant's owner makes and revokes the other keys.
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin tenant key acme")]
pub(crate) struct Key {
    /// The tenant
    #[arg(value_parser = tenant)]
    name: TenantId,
}

impl Key {
    fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        authority.act_for(&self.name)?;
        let key = authority.make_owner_key(OwnerKey::Another, now())?;
        let key = key.map(|key| key.to_text()).unwrap_or_default();
        Ok(Answer::yes(json!({ "id": self.name.as_str(), "owner_key": key.as_str() })).line(key.as_str()))
    }
}

/// List every tenant with its issuing authority
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin tenant list\n  kakunin tenant list --json")]
pub(crate) struct List {
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl List {
    fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            let answer = service.get("/tenants")?;
            let rows = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            return Ok(shown(rows));
        }
        let (home, store) = (common.home(), common.home().records()?);
        let issuers = store.issuers()?;
        let mut rows = Vec::new();
        for tenant in store.tenants()? {
            let mut own = issuers.iter().rev().filter(|issuer| issuer.id != IssuerId::ROOT);
            let current =
                own.find(|issuer| issuer.tenant.as_ref() == Some(&tenant) && issuer.revoked.is_none());
            let Some(current) = current else { continue };
            let issuing = CaCertificate::decode(&current.der, CaRole::Issuing).map_err(Failure::cannot)?;
            let since = store.tenant_since(&tenant)?.filter(|_| tenant != TenantId::default());
            rows.push(json!({
                "id": tenant.as_str(),
                "created_at": since.map(|at| at.to_string()),
                "agents": store.agents(&tenant)?.len(),
                "issuer": issuing.decoded().key().key_id().to_hex(),
                "issuer_subject": issuing.decoded().subject_text(),
                "issuer_expires_at": issuing.decoded().validity().not_after.to_string(),
                "lists": home.lists_of(&tenant)?,
            }));
        }
        Ok(shown(rows))
    }
}

fn shown(rows: Vec<Value>) -> Answer {
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            format!(
                "{:<24} {} until {}",
                one_line(&text(row, "id")),
                one_line(&text(row, "issuer_subject")),
                text(row, "issuer_expires_at")
            )
        })
        .collect();
    Answer::yes(json!({ "tenants": rows })).lines(lines)
}

fn text(row: &Value, name: &str) -> String {
    row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
