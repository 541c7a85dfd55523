//! The leash as it is signed: a closed, typed language of limits in canonical DER.
//!
//! Each file is one part of the language; `agent_scope` puts the parts together and holds the rules between
//! them, `extension` is the wire form, `author` reads TOML and JSON, `encompass` compares two scopes and `words`
//! prints one for people. Nothing here decides about a request: that is the leash's room.

mod action;
mod agent_scope;
mod author;
mod document;
mod encompass;
mod extension;
mod limit;
mod names;
mod proven;
mod schedule;
mod words;

pub(crate) use document::{Node as DocumentNode, Value as DocumentValue, from_toml as document_from_toml};

pub use action::{ActionName, Pattern};
pub use agent_scope::{Condition, Delegation, Scope, ScopeError, ScopeParts};
pub use author::{AuthorError, DraftScope};
pub use encompass::Overclaim;
pub use extension::{DecodeError, MAX_EXTENSION};
pub use limit::{Limit, Rate, Window};
pub use names::{CanonicalName, NameEntry, NameError, NameList, NameLists, NameRule, NameSet};
pub use proven::{NAMES_FIELD, ProvenNames, ProvenNamesError, prove_names};
pub use schedule::{LoadedZone, Schedule, Slot, WeekMap, Zone, ZoneError};
