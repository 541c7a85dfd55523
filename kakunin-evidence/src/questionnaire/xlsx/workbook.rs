//! What a workbook says of itself: its sheets by name, where each lies, and the strings that cells share.

use std::collections::BTreeMap;

use quick_xml::events::Event;

use super::WorkbookError;
use super::package::Package;
use super::text::{Part, shared};

/// A workbook, without what is in its sheets.
pub(super) struct Workbook {
    /// Its sheets in their order; charts and dialogues are none.
    pub(super) sheets: Vec<Listed>,
    pub(super) strings: Vec<String>,
}

/// A sheet by its name.
pub(super) struct Listed {
    pub(super) name: String,
    /// The part that it is.
    pub(super) part: String,
}

/// Where a part leads to.
struct Relation {
    kind: String,
    part: String,
}

pub(super) fn read(package: &mut Package<'_>) -> Result<Workbook, WorkbookError> {
    let root = relations(package, "")?;
    let main = root.into_values().find(|relation| relation.kind == "officeDocument");
    let main = main.ok_or_else(|| WorkbookError::Part("officeDocument".to_owned()))?.part;
    let (text, related) = (package.need(&main)?, relations(package, &main)?);
    let (mut part, mut sheets) = (Part::new(&main, &text), Vec::new());
    loop {
        let event = part.next()?;
        let (Event::Start(element) | Event::Empty(element)) = event else {
            if event == Event::Eof {
                break;
            }
            continue;
        };
        if element.local_name().as_ref() != "sheet" {
            continue;
        }
        let attribute = |name: &str| part.attribute(&element, name);
        let (Some(name), Some(id)) = (attribute("name")?, attribute("id")?) else {
            return Err(part.wrong("has a sheet without name or place"));
        };
        let Some(relation) = related.get(&id) else {
            return Err(part.wrong(format!("says nowhere where the sheet `{name}` is")));
        };
        // Each is unpacked when it is its turn, so none has two.
        if sheets.iter().any(|known: &Listed| known.part == relation.part) {
            return Err(part.wrong(format!("lists `{}` twice", relation.part)));
        }
        if sheets.len() >= MOST_SHEETS {
            return Err(WorkbookError::TooLarge { most: "1,024 sheets" });
        }
        if relation.kind == "worksheet" {
            sheets.push(Listed { name, part: relation.part.clone() });
        }
    }
    let strings = match related.values().find(|relation| relation.kind == "sharedStrings") {
        Some(relation) => shared(&relation.part, &package.need(&relation.part)?)?,
        None => Vec::new(),
    };
    Ok(Workbook { sheets, strings })
}

/// What `part` names, by the ids by which it names it. The root has no name.
fn relations(package: &mut Package<'_>, part: &str) -> Result<BTreeMap<String, Relation>, WorkbookError> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let base = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let name = format!("{base}_rels/{file}.rels");
    let text = package.need(&name)?;
    let (mut part, mut found) = (Part::new(&name, &text), BTreeMap::new());
    loop {
        let event = part.next()?;
        let (Event::Start(element) | Event::Empty(element)) = event else {
            if event == Event::Eof {
                return Ok(found);
            }
            continue;
        };
        let attribute = |name: &str| part.attribute(&element, name);
        let (Some(id), Some(kind), Some(target)) =
            (attribute("Id")?, attribute("Type")?, attribute("Target")?)
        else {
            continue;
        };
        if attribute("TargetMode")?.as_deref() == Some("External") {
            continue;
        }
        let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
        // From the root, or from where the part is that names it.
        let target = target.strip_prefix('/').map_or_else(|| format!("{base}{target}"), str::to_owned);
        found.insert(id, Relation { kind, part: target });
    }
}

const MOST_SHEETS: usize = 1024;
