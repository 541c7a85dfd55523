//! The scope of an agent as clients of the hosted service send it: permitted actions and a few limits in USD.
//!
//! It becomes a scope like any other and is signed. What it says is mandatory for every permitted action: an action
//! without an amount, a venue or an instrument is denied where a limit, venues or instruments were named. Without
//! permitted actions the certificate is an identity and allows nothing that anybody guards.

use serde_json::{Map, Value, json};

use super::error::Refusal;

/// The scope, in the form of a scope file.
///
/// # Errors
/// [`Refusal`] for what cannot be kept: dropping it would leave less bound than its sender believes.
pub(crate) fn scope(actions: Option<&Value>, financial: Option<&Value>) -> Result<Value, Refusal> {
    let actions = match actions {
        None | Some(Value::Null) => json!([NOTHING]),
        Some(Value::Array(list)) if list.is_empty() => json!([NOTHING]),
        Some(list) => texts("permitted_actions", list)?,
    };
    let mut scope = Map::new();
    if let Some(financial) = financial {
        let wrong = || Refusal::invalid("`financial_scope` has to be an object");
        let mut financial = financial.as_object().cloned().ok_or_else(wrong)?;
        let mut limit = json!({ "for": actions, "currency": "USD", "scale": 2 });
        let mut limited = false;
        for (name, rule) in [("max_single_trade_usd", "per_action"), ("daily_limit_usd", "per_day")] {
            if let Some(value) = present(&mut financial, name) {
                if let Some(limit) = limit.as_object_mut() {
                    limit.insert(rule.into(), amount(name, &value)?.into());
                }
                limited = true;
            }
        }
        if limited {
            scope.insert("limit".into(), json!([limit]));
        }
        for (name, rule) in [("permitted_venues", "counterparties"), ("permitted_instruments", "resources")] {
            if let Some(value) = present(&mut financial, name).filter(|value| *value != json!([])) {
                let allow = texts(name, &value)?;
                scope.insert(rule.into(), json!([{ "for": actions, "allow": allow }]));
            }
        }
        // Without leverage is what every scope says: there is no rule that would allow it.
        match present(&mut financial, "leverage_permitted") {
            None | Some(Value::Bool(false)) => {}
            Some(_) => return Err(unsupported("leverage_permitted")),
        }
        if present(&mut financial, "max_leverage_ratio").is_some() {
            return Err(unsupported("max_leverage_ratio"));
        }
        if let Some(name) = financial.keys().next() {
            return Err(unsupported(name));
        }
    }
    scope.insert("actions".into(), actions);
    Ok(Value::Object(scope))
}

fn present(members: &mut Map<String, Value>, name: &str) -> Option<Value> {
    members.remove(name).filter(|value| !value.is_null())
}

fn texts(name: &str, value: &Value) -> Result<Value, Refusal> {
    let list = value.as_array().filter(|list| list.iter().all(Value::is_string));
    let wrong = || Refusal::invalid(format!("`{name}` has to be a list of texts"));
    list.map(|list| Value::from(list.clone())).ok_or_else(wrong)
}

/// A number of dollars as it is written: digits, and cents at most. Nothing is rounded.
fn amount(name: &str, value: &Value) -> Result<String, Refusal> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    // `5000.0` is how some languages write five thousand; the digit after the point says nothing.
    let text = text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(cents) && whole.len() <= 15 && cents.len() <= 2 {
        return Ok(text);
    }
    Err(Refusal::invalid(format!("`{name}` has to be an amount in dollars, with two decimals at most")))
}

fn unsupported(name: &str) -> Refusal {
    let text =
        format!("`{name}` of `financial_scope` cannot be enforced here, so it is not accepted; leave it out");
    Refusal::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "scope.invalid", text)
}

/// Allowed by the certificates of agents that were given no actions. Nobody guards it.
const NOTHING: &str = "identity:only";

#[cfg(test)]
mod tests {
    use kakunin_core::scope::DraftScope;

    use super::*;

    #[test]
    fn limits_of_the_hosted_service_become_rules_or_are_refused() {
        let financial = json!({ "max_single_trade_usd": 5000.0, "daily_limit_usd": 20000, "permitted_venues": ["NYSE"],
            "permitted_instruments": ["AAPL"], "leverage_permitted": false, "max_leverage_ratio": null });
        let made = scope(Some(&json!(["trade.execute"])), Some(&financial)).unwrap();
        let none = |_: &str| Err(std::io::Error::other("none"));
        let draft = DraftScope::parse(&made.to_string(), &none).unwrap();
        let words =
            draft.for_agent(kakunin_core::id::AgentId::from_random([7; 16])).unwrap().to_words().join("\n");
        for said in ["5000.00 USD", "20000.00 USD", "NYSE", "AAPL", "trade.execute"] {
            assert!(words.contains(said), "{said}: {words}");
        }
        let bare = scope(None, None).unwrap();
        assert_eq!(bare, json!({ "actions": ["identity:only"] }));
        DraftScope::parse(&bare.to_string(), &none).unwrap();
        for wrong in [
            json!({ "max_single_trade_usd": 0.001 }),
            json!({ "max_single_trade_usd": -5 }),
            json!({ "max_single_trade_usd": 1e21 }),
            json!({ "max_single_trade_usd": true }),
            json!({ "leverage_permitted": true }),
            json!({ "max_leverage_ratio": 2 }),
            json!({ "permitted_venues": [1] }),
            json!({ "max_daily_trades": 3 }),
            json!([]),
        ] {
            assert!(scope(Some(&json!(["trade.execute"])), Some(&wrong)).is_err(), "{wrong}");
        }
        assert!(scope(Some(&json!("trade.execute")), None).is_err());
    }
}
