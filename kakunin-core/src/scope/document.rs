//! A TOML or JSON document as a tree that remembers lines.
//!
//! Both languages become the same tree, so the author's room is written once and every error can name the line.
//! Duplicate keys, comments in JSON and everything else outside the two standards are refused here.

use std::collections::HashSet;
use std::fmt;

use jsonc_parser::ast;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::author::AuthorError;

/// A value and the line it starts in.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Whole(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(Vec<(Key, Node)>),
    /// Something a scope has no use for: its kind, for the error.
    Other(&'static str),
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) line: usize,
    pub(crate) name: String,
}

impl fmt::Display for Value {
    /// What kind of value this is, in the words of an error message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "a whole number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        })
    }
}

pub(crate) fn from_toml(text: &str) -> Result<Node, AuthorError> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        AuthorError::new(lines.at(at), error.message().trim(), "see https://toml.io for the syntax")
    })?;
    let line = 1;
    Ok(Node { line, value: toml_table(&lines, table.into_inner()) })
}

fn toml_table(lines: &Lines, table: DeTable<'_>) -> Value {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let line = lines.at(key.span().start);
        (Key { line, name: std::borrow::Cow::into_owned(key.into_inner()) }, toml_node(lines, value))
    };
    let mut entries: Vec<(Key, Node)> = table.into_iter().map(entry).collect();
    entries.sort_by_key(|(key, _)| key.line);
    Value::Table(entries)
}

fn toml_node(lines: &Lines, node: Spanned<DeValue<'_>>) -> Node {
    let line = lines.at(node.span().start);
    let value = match node.into_inner() {
        DeValue::String(string) => Value::Text(string.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Whole(number),
            Err(_) => Value::Other("a number out of range"),
        },
        DeValue::Float(_) => Value::Other("a fraction; write it as a quoted decimal, for example \"12.50\""),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(items.into_iter().map(|item| toml_node(lines, item)).collect()),
        DeValue::Table(table) => toml_table(lines, table),
    };
    Node { line, value }
}

pub(super) fn from_json(text: &str) -> Result<Node, AuthorError> {
    let strict = jsonc_parser::ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = jsonc_parser::parse_to_ast(text, &jsonc_parser::CollectOptions::default(), &strict);
    let refuse = |line, what: &str| AuthorError::new(line, what, "see https://www.json.org for the syntax");
    let lines = Lines::of(text);
    let tree = parsed.map_err(|error| refuse(lines.at(error.range().start), &error.kind().to_string()))?;
    json_node(&lines, tree.value.as_ref().ok_or_else(|| refuse(1, "the document is empty"))?)
}

fn json_node(lines: &Lines, node: &ast::Value<'_>) -> Result<Node, AuthorError> {
    use jsonc_parser::common::Ranged;
    let line = lines.at(node.range().start);
    let value = match node {
        ast::Value::StringLit(string) => Value::Text(string.value.to_string()),
        ast::Value::NumberLit(number) => match number.value.parse() {
            Ok(whole) => Value::Whole(whole),
            Err(_) => Value::Other("a fraction; write it as a quoted decimal, for example \"12.50\""),
        },
        ast::Value::BooleanLit(flag) => Value::Flag(flag.value),
        ast::Value::NullKeyword(_) => Value::Other("null"),
        ast::Value::Array(array) => {
            Value::List(array.elements.iter().map(|item| json_node(lines, item)).collect::<Result<_, _>>()?)
        }
        ast::Value::Object(object) => {
            let (mut entries, mut names) = (Vec::new(), HashSet::new());
            for property in &object.properties {
                let line = lines.at(property.range.start);
                let name = property.name.as_str().to_owned();
                if !names.insert(name.clone()) {
                    return Err(AuthorError::new(
                        line,
                        &format!("the key `{name}` stands there twice"),
                        "remove one",
                    ));
                }
                entries.push((Key { line, name }, json_node(lines, &property.value)?));
            }
            Value::Table(entries)
        }
    };
    Ok(Node { line, value })
}

/// Where the lines of a document end. Every value asks for its line, and a document may have a million.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line, counted from one, in which the byte at `offset` lies.
    fn at(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|end| *end < offset)
    }
}
