//! The house has floors: a room imports only from rooms that `lib.rs` lists above its own line.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn no_room_looks_up() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for (floor, room) in rooms.iter().enumerate() {
        for file in files_of(room) {
            let text = fs::read_to_string(&file).unwrap();
            for (line, code) in code_lines(&text) {
                for other in rooms_named(code, depth_of(&file)) {
                    let up = rooms.iter().position(|known| *known == other).is_none_or(|its| its > floor);
                    if up {
                        wrong.push(format!("{}:{line}: {room} looks up to {other}", file.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_of_the_crate_is_a_listed_room() {
    let mut found: Vec<String> = fs::read_dir(source())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "lib")
        .collect();
    let mut listed = rooms();
    found.sort_unstable();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

#[test]
fn a_path_is_found_in_each_way_of_writing_it() {
    let named = |code, depth| rooms_named(code, depth).collect::<Vec<_>>();
    assert_eq!(named("use crate::scope::{Limit, Rate};", 0), ["scope"]);
    assert_eq!(named("use crate::{scope, key::PublicKey};", 0), ["scope", "key"]);
    assert_eq!(named("let x = $crate::leash::Leash::y(crate::time::z);", 0), ["leash", "time"]);
    assert_eq!(named("use super::key::PublicKey;", 0), ["key"]);
    assert_eq!(named("use super::action::Pattern;", 1), [""; 0]);
    assert_eq!(named("pub(super) use super::super::key::PublicKey;", 1), ["key"]);
    assert_eq!(named("pub(crate) fn f() {}", 0), [""; 0]);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rooms from the lowest floor to the highest: the order of the modules in `lib.rs`.
fn rooms() -> Vec<String> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let modules = text.lines().map(str::trim).filter_map(|line| {
        let module = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))?;
        module.strip_suffix(';').map(str::to_owned)
    });
    modules.collect()
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let mut open = vec![source().join(format!("{room}.rs")), source().join(room)];
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}

/// How many `super::` stay inside the room of `file`.
fn depth_of(file: &Path) -> usize {
    let inside = file.strip_prefix(source()).unwrap().components().count() - 1;
    if file.ends_with("mod.rs") { inside - 1 } else { inside }
}

/// The lines of a file without comments, up to its unit tests, which stand at the bottom.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    // In a file that is for tests as a whole, they are a plain module.
    let code = code.split("\nmod tests {").next().unwrap_or(code);
    (1..).zip(code.lines()).map(|(line, text)| (line, text.split("//").next().unwrap_or(text)))
}

/// The first segments of every path that starts at the crate's root.
fn rooms_named(code: &str, depth: usize) -> impl Iterator<Item = String> {
    let up = "super::".repeat(depth + 1);
    let roots = ["crate::", up.as_str()];
    let starts = roots.iter().flat_map(|root| code.match_indices(root).map(|(at, root)| at + root.len()));
    let mut found = Vec::new();
    for start in starts {
        let path = code.split_at(start).1;
        match path.strip_prefix('{') {
            // One nesting is all that rustfmt leaves on a line; deeper segments belong to the room before them.
            Some(group) => found.extend(group.split(['}', ';']).next().unwrap_or("").split(',').map(first)),
            None => found.push(first(path)),
        }
    }
    found.into_iter().filter(|name| !name.is_empty() && name != "super")
}

fn first(path: &str) -> String {
    path.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_' || c.is_ascii_digit()).collect()
}
