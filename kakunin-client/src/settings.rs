//! The lines of `agent.toml` that are the client's; every other line is its owner's and stays.

use std::path::Path;

use crate::files::{self, FileError};
use crate::place::PlaceError;

/// The settings of `dir` with these keys set, in the place of what they were; new ones if there are none.
pub(crate) fn changed(dir: &Path, lines: &[(&str, String)]) -> Result<String, PlaceError> {
    let path = dir.join(FILE);
    let old = match files::read_text(&path, MAX_SETTINGS) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(source) => return Err(FileError { verb: "read", path, source }.into()),
    };
    Ok(set(&old, lines))
}

fn set(old: &str, lines: &[(&str, String)]) -> String {
    let repins = lines.iter().any(|(key, _)| *key == PIN);
    let is_ours = |line: &str| {
        let key = line.split_once('=').map(|(key, _)| key.trim());
        // A move that ended leaves one pin.
        let is_over = repins && key == Some(NEXT_PIN);
        is_over || lines.iter().any(|(ours, _)| key == Some(ours))
    };
    // A key behind the first table would be a member of it.
    let table = old.lines().position(|line| line.trim_start().starts_with('[')).unwrap_or(usize::MAX);
    let mut text = String::new();
    for line in old.lines().take(table).filter(|line| !is_ours(line)) {
        text.extend([line, "\n"]);
    }
    for (key, value) in lines {
        // JSON strings without control characters are TOML's basic strings.
        text.push_str(&format!("{key} = \"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    for line in old.lines().skip(table) {
        text.extend([line, "\n"]);
    }
    text
}

/// The key that pins the issuing authority: another one under the same root could name any agent.
pub(crate) const PIN: &str = "issuer";
/// The key that names the next one, while a directory moves to it.
pub(crate) const NEXT_PIN: &str = "next_issuer";
pub(crate) const FILE: &str = "agent.toml";
const MAX_SETTINGS: u64 = 1 << 20;
const HEAD: &str = "# Kept by the client; a relative path is relative to this folder.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_owner_stay_and_ours_come_before_the_first_table() {
        let old =
            "# mine\nissuer = \"old\"\nsealed = true\n[journal]\n\"pay\" = \"sync\"\nissuer = \"not ours\"\n";
        let new = set(old, &[("issuer", "new".into()), ("name", "a\"b\\".into())]);
        let expected = "# mine\nsealed = true\nissuer = \"new\"\nname = \"a\\\"b\\\\\"\n[journal]\n\"pay\" = \"sync\"\nissuer = \"not ours\"\n";
        assert_eq!(new, expected);
        let moving = set("issuer = \"old\"\nlists = \"x\"\n", &[(NEXT_PIN, "new".into())]);
        assert_eq!(moving, "issuer = \"old\"\nlists = \"x\"\nnext_issuer = \"new\"\n");
        assert_eq!(set(&moving, &[(PIN, "new".into())]), "lists = \"x\"\nissuer = \"new\"\n");
    }
}
