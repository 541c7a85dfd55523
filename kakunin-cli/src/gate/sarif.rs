//! The refusals as SARIF 2.1.0, for whoever shows findings beside code.

use std::path::Path;

use kakunin_core::gate::{Check, Outcome};
use serde_json::{Value, json};

use super::record::{Told, short};

/// One run with a result for every check that did not pass, each at the policy that asked for it.
pub(crate) fn to_sarif(told: &Told<'_>, policy: &Path) -> Value {
    let mut codes: Vec<_> = told.refusals().map(Check::code).collect();
    codes.dedup_by_key(|code| code.as_str());
    let mut seen = Vec::new();
    for code in codes {
        if !seen.iter().any(|(known, _): &(&str, &str)| *known == code.as_str()) {
            seen.push((code.as_str(), code.fix()));
        }
    }
    let rule = |(code, fix): &(&str, &str)| {
        json!({
            "id": code,
            "shortDescription": { "text": code },
            "help": { "text": fix },
            "defaultConfiguration": { "level": "error" },
        })
    };
    let uri = uri_of(policy);
    let result = |check: &Check| {
        let code = check.code().as_str();
        let step = check.step().word();
        json!({
            "ruleId": code,
            "ruleIndex": seen.iter().position(|(known, _)| *known == code),
            "kind": "fail",
            "level": "error",
            "message": { "text": format!("{step}: {}", short(check.sentence())) },
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": { "uri": uri },
                    "region": { "startLine": line_of(check.sentence()) },
                },
            }],
            "partialFingerprints": { "kakuninGate/v1": format!("{step}:{code}") },
            "properties": { "outcome": check.outcome().word() },
        })
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kakunin gate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": seen.iter().map(rule).collect::<Vec<_>>(),
            } },
            "invocations": [{
                "executionSuccessful": told.verdict() != Outcome::CannotEvaluate,
                "exitCode": told.verdict().exit_code(),
                "endTimeUtc": told.judgement.at().to_string(),
            }],
            "results": told.refusals().map(result).collect::<Vec<_>>(),
            "columnKind": "unicodeCodePoints",
        }],
    })
}

/// The line of the policy that a sentence begins with, else the first.
fn line_of(sentence: &str) -> u64 {
    let number = sentence.strip_prefix("line ").and_then(|rest| rest.split(':').next());
    number.and_then(|number| number.parse().ok()).filter(|line| *line > 0).unwrap_or(1)
}

/// A path as a URI reference: only what stands for itself stays as it is.
fn uri_of(path: &Path) -> String {
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_uri_reference_whatever_its_name() {
        assert_eq!(uri_of(Path::new("ci/gate.toml")), "ci/gate.toml");
        assert_eq!(uri_of(Path::new("a b:c%\"é.toml")), "a%20b%3Ac%25%22%C3%A9.toml");
        assert_eq!(uri_of(Path::new("/x/y")), "file:///x/y");
    }

    #[test]
    fn the_line_of_an_example_is_where_it_is_shown() {
        assert_eq!(line_of("line 12: `a` must be denied and is allowed"), 12);
        assert_eq!((line_of("line x: y"), line_of("of anything"), line_of("line 0: y")), (1, 1, 1));
    }
}
