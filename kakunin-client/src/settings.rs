//! The lines of `agent.toml` that are the client's; every other line is its owner's and stays.

use std::path::Path;

use crate::files::{self, FileError, Readers};
use crate::place::PlaceError;

/// Sets these keys in the settings of `dir`, which are made if there are none.
pub(crate) fn write(dir: &Path, lines: &[(&str, String)]) -> Result<(), PlaceError> {
    let path = dir.join("agent.toml");
    let old = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(source) => return Err(FileError { verb: "read", path, source }.into()),
    };
    Ok(files::replace(&path, set(&old, lines).as_bytes(), Readers::Everyone)?)
}

fn set(old: &str, lines: &[(&str, String)]) -> String {
    let is_ours = |line: &str| {
        let key = line.split_once('=').map(|(key, _)| key.trim());
        lines.iter().any(|(ours, _)| key == Some(ours))
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
    }
}
