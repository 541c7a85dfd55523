//! Proofs of possession: whatever RFC 9421 has us sign is what we check.

use base64ct::{Base64, Encoding as _};
use kakunin_core::possession::{PossessionError, Presented, SentChain, Target};
use sfv::{BareItem, Dictionary, FieldType as _, ListEntry, Parser};

use crate::authority::now;
use crate::world::world;

/// A request as text: its line, its fields a line each.
pub(super) struct Message<'t> {
    pub(super) target: Target<'t>,
    pub(super) fields: Vec<(&'t str, &'t str)>,
}

impl<'t> Message<'t> {
    /// `METHOD AUTHORITY PATH[?QUERY]`, then `name: value`; a line that is none is no field.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let mut lines = text.split('\n');
        let mut line = lines.next()?.splitn(3, ' ');
        let (method, authority, path) = (line.next()?, line.next()?, line.next()?);
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let fields = lines.filter_map(|line| line.split_once(": ")).collect();
        Some(Self { target: Target { method, authority, path, query }, fields })
    }

    fn one(&self, name: &str) -> Option<&'t str> {
        let mut found = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let (value, None) = (found.next()?.1, found.next()) else { return None };
        Some(value.trim_matches([' ', '\t']))
    }

    /// The signature base (RFC 9421 section 2.5), by a reader of structured fields that is not ours; `None` where a component
    /// is not one of this message, or the field has another spelling than the one that is serialised.
    fn base(&self) -> Option<String> {
        let field = self.one("signature-input")?;
        let input: Dictionary = Parser::new(field).parse().ok()?;
        if input.serialize()? != field {
            return None;
        }
        let ListEntry::InnerList(list) = input.get("kakunin")? else { return None };
        let mut base = String::new();
        for item in &list.items {
            let BareItem::String(name) = &item.bare_item else { return None };
            if !item.params.is_empty() {
                return None;
            }
            let authority = self.target.authority.to_ascii_lowercase();
            let query = format!("?{}", self.target.query.unwrap_or_default());
            let value = match name.as_str() {
                "@method" => self.target.method,
                "@authority" => &authority,
                "@path" if self.target.path.is_empty() => "/",
                "@path" => self.target.path,
                "@query" => &query,
                name if name.starts_with('@') => return None,
                name => self.one(name)?,
            };
            base.push_str(&format!("\"{}\": {value}\n", name.as_str()));
        }
        let (_, parameters) = field.split_once("kakunin=")?;
        base.push_str(&format!("\"@signature-params\": {parameters}"));
        Some(base)
    }
}

/// The agent signs what another implementation would have it sign for this message: then it is refused for many reasons, but
/// never for its signature; and it is taken only where that other one has a base at all.
pub(super) fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(message) = Message::read(text) else { return };
    let base = message.base();
    let signature = world().signer().sign(base.as_deref().unwrap_or_default().as_bytes()).unwrap();
    let signature = format!("kakunin=:{}:", Base64::encode_string(signature.as_bytes()));
    let mut fields = message.fields.clone();
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("signature"));
    fields.push(("signature", &signature));
    let presented = match Presented::find(fields.iter().map(|(name, value)| (*name, value.as_bytes()))) {
        Ok(Some(presented)) => presented,
        Ok(None) => return,
        Err(error) => return assert_eq!(error.code(), "possession.malformed"),
    };
    let prove = |sent: &SentChain<'_>| sent.read().map(|_| world().path.clone());
    match presented.verify_by(&message.target, &["shop.example.com"], now(), prove) {
        Ok(head) => {
            assert!(base.is_some(), "a message that has no base");
            assert_eq!(head.agent(), world().path.agent().agent());
            assert_eq!(
                message.target.authority.to_ascii_lowercase().split(':').next(),
                Some("shop.example.com")
            );
        }
        Err(PossessionError::Signature) => {
            // With the scheme's port in it the authority is another text; which one an agent signs is settled by our names.
            let port = message.target.authority.contains(':');
            assert!(base.is_none() || port, "a good signature over\n{}", base.unwrap_or_default());
        }
        Err(_) => {}
    }
}
