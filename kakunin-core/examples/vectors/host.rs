//! `vectors/host.json`: what every binding has to make of its host's numbers and environment.

use kakunin_core::environment::{VARIABLES, asks_for_less};
use kakunin_core::written;
use serde_json::{Value, json};

/// The file.
pub(crate) fn vectors() -> String {
    let numbers: Vec<Value> =
        numbers().iter().map(|json| json!({ "json": json, "text": text(json) })).collect();
    let variables: Vec<Value> = VARIABLES
        .iter()
        .chain(&OTHERS)
        .flat_map(|name| VALUES.iter().map(move |value| (name, value)))
        .map(|(name, value)| json!({ "name": name, "value": value, "asks": asks_for_less(name, value) }))
        .collect();
    // One line each, so that a difference is seen.
    let lines = |list: &[Value]| list.iter().map(Value::to_string).collect::<Vec<_>>().join(",\n    ");
    format!(
        "{{\n  \"format\": 1,\n  \"numbers\": [\n    {}\n  ],\n  \"variables\": [\n    {}\n  ]\n}}\n",
        lines(&numbers),
        lines(&variables)
    )
}

/// What a JSON number means: an integer if it is written as one.
fn text(json: &str) -> Option<String> {
    if json.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return json.parse().ok().and_then(written::integer);
    }
    written::float(json.parse().unwrap())
}

fn numbers() -> Vec<String> {
    let mut numbers: Vec<String> = PLACES.iter().map(ToString::to_string).collect();
    numbers.push("1".repeat(400));
    let mut seed = 7_u64;
    for round in 0..160 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.push(match round % 4 {
            // Prices, rates, sums of prices, and any double of a size that money has.
            0 => format!("{}.{:02}", seed >> 44, seed % 100),
            1 => format!("0.{:06}", seed >> 44),
            2 => format!("{:?}", f64::from((seed >> 40) as u32) * 0.01 + 0.07),
            _ => format!("{:?}", f64::from_bits((1023 + seed % 50) << 52 | seed >> 12)),
        });
    }
    numbers
}

const PLACES: [&str; 47] = [
    "0",
    "5",
    "125",
    "-1",
    "999999999999999",
    "1000000000000000",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "0.0",
    "-0.0",
    "1.0",
    "12.5",
    "0.1",
    "0.5",
    "0.01",
    "1.005",
    "0.005",
    "-1.5",
    "0.30000000000000004",
    "1e3",
    "1E3",
    "1e14",
    "999999999999999.0",
    "999999999999999.5",
    "1e15",
    "1e16",
    "1e21",
    "1e22",
    "1e300",
    "1e400",
    "-1e400",
    "0.001",
    "0.0001",
    "0.00010",
    "0.00012345",
    "0.00009",
    "1e-5",
    "1e-7",
    "5e-324",
    "123456789012.345",
    "1234567890123.45",
    "12345678901234.5",
    "123456789012345.6",
    "0.123456789012345",
    "9007199254740993.0",
];
const OTHERS: [&str; 3] = ["KAKUNIN_AGENT_DIR", "KAKUNIN_STATE_DIR", "MODE"];
const VALUES: [&str; 27] = [
    "",
    "0",
    "1",
    "2",
    "false",
    "FALSE",
    "true",
    "True",
    "no",
    "yes",
    "on",
    " on ",
    "off",
    "Off\n",
    "none",
    "observe",
    "OBSERVE",
    "disable",
    "disabled",
    "allow",
    "permissive",
    "open",
    "check",
    "dry-run",
    "audit",
    "enforce",
    "strict",
];
