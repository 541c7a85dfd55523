//! What every command is told: which home, which form of answer, what time it is.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use kakunin_authority::access::TenantId;
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::store::Store;
use kakunin_authority::{Authority, AuthorityError, Home};
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;
use zeroize::Zeroizing;

use crate::answer::Failure;

/// Flags that every command takes.
#[derive(Args)]
pub(crate) struct Common {
    /// The authority's directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "KAKUNIN_HOME",
        default_value = "./.kakunin",
        help_heading = EVERYWHERE
    )]
    pub(crate) home: PathBuf,
    /// Answer in JSON
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// A file whose first line opens the authority's keys; else $CREDENTIALS_DIRECTORY/kakunin, KAKUNIN_PASSPHRASE, the home's own
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    passphrase_file: Option<PathBuf>,
    /// In whose name, in a home with several tenants; with --url the key says it
    #[arg(long, global = true, value_name = "NAME", value_parser = tenant, help_heading = EVERYWHERE)]
    tenant: Option<TenantId>,
}

/// Where they stand in a help: behind what the command itself takes.
const EVERYWHERE: &str = "For every command";

/// Reads a tenant's name.
pub(crate) fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text).ok_or_else(|| {
        "1 to 63 lower-case letters, digits and hyphens are a tenant's name, and it begins with no hyphen"
            .to_owned()
    })
}

impl Common {
    pub(crate) fn home(&self) -> Home {
        Home::at(&self.home)
    }

    /// The authority, locked.
    pub(crate) fn authority<'a>(&'a self, own: &'a Path) -> Result<Authority<'a>, Failure> {
        let mut authority = Authority::open(&self.home(), self.sources(own, &ask))?;
        if let Some(tenant) = &self.tenant {
            authority.act_for(tenant)?;
        }
        Ok(authority)
    }

    /// The tenant that was named, if one was.
    pub(crate) const fn named_tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Whose agents are meant, for commands that only read.
    pub(crate) fn tenant(&self, store: &dyn Store) -> Result<TenantId, Failure> {
        let tenant = self.tenant.clone().unwrap_or_default();
        match store.tenant_since(&tenant)? {
            Some(_) => Ok(tenant),
            None => Err(AuthorityError::UnknownTenant { tenant }.into()),
        }
    }

    /// Refuses `--tenant` where a key says whose the order is: the two might differ.
    #[cfg(feature = "serve")]
    pub(crate) fn refuse_tenant(&self) -> Result<(), Failure> {
        match &self.tenant {
            None => Ok(()),
            Some(_) => Err(Failure::usage(
                "--tenant is for a home; with --url the key says whose the order is, so leave it out",
            )),
        }
    }

    /// Where passphrases come from; `own` is the home's own file.
    pub(crate) fn sources<'a>(
        &'a self,
        own: &'a Path,
        ask: &'a dyn Fn(&str) -> io::Result<Option<Zeroizing<String>>>,
    ) -> PassphraseSources<'a> {
        PassphraseSources { named: self.passphrase_file.as_deref(), own, ask }
    }
}

/// Asks at the terminal; `None` without one.
pub(crate) fn ask(question: &str) -> io::Result<Option<Zeroizing<String>>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    rpassword::prompt_password(question).map(|text| Some(Zeroizing::new(text)))
}

/// The wall clock.
pub(crate) fn now() -> UnixTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UnixTime::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// Reads a scope file; files it names are relative to it.
pub(crate) fn read_scope(path: &Path) -> Result<DraftScope, Failure> {
    let text = read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    DraftScope::parse(&text, &|name| std::fs::read_to_string(folder.join(name)))
        .map_err(|error| Failure::no(format!("{}: {error}", path.display())))
}

/// A scope file as a service takes it: in JSON, with the names of the files that it names written into it.
///
/// The file was read by [`read_scope`] before, so what is wrong with it was said already, with its line.
#[cfg(feature = "serve")]
pub(crate) fn scope_as_json(path: &Path) -> Result<serde_json::Value, Failure> {
    use serde_json::Value;

    let text = read_text(path)?;
    let wrong = |error: &dyn std::fmt::Display| Failure::no(format!("{}: {error}", path.display()));
    let mut scope: Value = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(&text).map_err(|error| wrong(&error))?,
        false => toml::from_str(&text).map_err(|error| wrong(&error))?,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    for table in ["counterparties", "resources"] {
        let rules = scope.get_mut(table).and_then(Value::as_array_mut).into_iter().flatten();
        for rule in rules.filter_map(Value::as_object_mut) {
            for (named, written) in [("allow_file", "allow"), ("deny_file", "deny")] {
                if let Some(Value::String(name)) = rule.remove(named) {
                    let names = read_text(&folder.join(name))?;
                    rule.insert(written.into(), names.lines().map(str::trim_end).collect());
                }
            }
        }
    }
    Ok(scope)
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|_| Failure::cannot(format!("{} is no UTF-8 text", path.display())))
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(kakunin_authority::files::read(path)?)
}
