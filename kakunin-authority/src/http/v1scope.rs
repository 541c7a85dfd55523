//! The scope of an agent as clients of the hosted service send it: permitted actions and a few limits in USD.
//!
//! It becomes a scope like any other and is signed. What it says is mandatory for every permitted action: an action
//! without an amount, a venue or an instrument is denied where a limit, venues or instruments were named. Without
//! permitted actions the certificate is an identity and allows nothing that anybody guards.

use kakunin_core::scope::{Delegation, DraftScope, NameRule, NameSet, Pattern, Scope};
use serde_json::{Map, Number, Value, json};

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

/// What clients of the hosted service read as the financial scope: what is signed, if that is all of it. A scope with
/// rules for which they have no word is not shown as one with less.
pub(crate) fn financial(scope: &Scope) -> Option<Value> {
    let parts = scope.parts();
    let others = !parts.denied.is_empty()
        || parts.schedule.is_some()
        || !parts.rates.is_empty()
        || !parts.conditions.is_empty()
        || parts.delegation.is_some_and(|delegation| delegation != Delegation::default());
    if others || (parts.limits.is_empty() && parts.parties.is_empty() && parts.resources.is_empty()) {
        return None;
    }
    let mut shown = Map::new();
    if let [limit] = parts.limits.as_slice() {
        let whole = limit.r#for == parts.actions && limit.currency.as_str() == "USD";
        if !whole || limit.optional || limit.approve_above.is_some() {
            return None;
        }
        if let Some(most) = limit.per_action {
            shown.insert("max_single_trade_usd".into(), dollars(&most.to_decimal(limit.scale)));
        }
        match limit.windows.as_slice() {
            [] => {}
            [day] if day.seconds == 86_400 => {
                shown.insert("daily_limit_usd".into(), dollars(&day.max.to_decimal(limit.scale)));
            }
            _ => return None,
        }
    } else if !parts.limits.is_empty() {
        return None;
    }
    for (name, rules) in [("permitted_venues", &parts.parties), ("permitted_instruments", &parts.resources)] {
        if !rules.is_empty() {
            shown.insert(name.into(), names(rules, &parts.actions)?);
        }
    }
    shown.insert("leverage_permitted".into(), false.into());
    Some(Value::Object(shown))
}

/// Whether a financial scope that somebody sends says what is signed, and nothing else.
pub(crate) fn says(financial: &Value, signed: &Scope) -> bool {
    let actions: Vec<&str> = signed.parts().actions.iter().map(Pattern::as_str).collect();
    let Ok(said) = scope(Some(&json!(actions)), Some(financial)) else { return false };
    let none = |_: &str| Err(std::io::Error::other("nobody reads files for a stranger"));
    let draft = DraftScope::parse(&said.to_string(), &none).ok();
    let said = draft.and_then(|draft| draft.for_agent(signed.agent()).ok());
    said.is_some_and(|said| said.to_der() == signed.to_der())
}

fn names(rules: &[NameRule], actions: &[Pattern]) -> Option<Value> {
    let [NameRule { r#for, allow: NameSet::Inline(names), deny: None, optional: false }] = rules else {
        return None;
    };
    (r#for == actions).then(|| names.iter().map(|name| name.as_str()).collect())
}

/// An amount as these clients have it: a number, where that is exactly the amount, and a text otherwise.
fn dollars(text: &str) -> Value {
    let whole = text.strip_suffix(".00").unwrap_or(text);
    if let Ok(number) = whole.parse::<i64>() {
        return number.into();
    }
    let exact = text.parse().ok().filter(|number: &f64| format!("{number:.2}") == text);
    exact.and_then(Number::from_f64).map_or_else(|| text.into(), Value::Number)
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

    fn signed(text: &Value) -> Scope {
        let none = |_: &str| Err(std::io::Error::other("none"));
        let draft = DraftScope::parse(&text.to_string(), &none).unwrap();
        draft.for_agent(kakunin_core::id::AgentId::from_random([7; 16])).unwrap()
    }

    #[test]
    fn what_is_signed_is_read_back_and_nothing_less() {
        let sent = json!({ "max_single_trade_usd": 5000.0, "daily_limit_usd": 20000.5,
            "permitted_venues": ["NYSE", "LSE"], "permitted_instruments": ["AAPL"] });
        let one = signed(&scope(Some(&json!(["trade.execute", "quote"])), Some(&sent)).unwrap());
        let shown = financial(&one).unwrap();
        assert_eq!(
            (&shown["max_single_trade_usd"], &shown["daily_limit_usd"]),
            (&json!(5000), &json!(20000.5))
        );
        assert_eq!(shown["permitted_venues"], json!(["LSE", "NYSE"]));
        assert!(says(&shown, &one) && says(&sent, &one));
        for (name, value) in [
            ("max_single_trade_usd", json!(5000.01)),
            ("daily_limit_usd", json!(null)),
            ("permitted_venues", json!(["NYSE", "LSE", "XETRA"])),
            ("permitted_venues", json!(["NYSE"])),
            ("permitted_instruments", json!([])),
            ("leverage_permitted", json!(true)),
            ("unknown", json!(1)),
        ] {
            let mut other = sent.clone();
            other[name] = value;
            assert!(!says(&other, &one), "{other}");
        }
        // Amounts that no number is exactly stay texts, and are understood as such.
        let large = json!({ "daily_limit_usd": "123456789012345.67" });
        let one = signed(&scope(Some(&json!(["pay"])), Some(&large)).unwrap());
        assert!(says(&financial(&one).unwrap(), &one), "{:?}", financial(&one));

        for more in [
            json!({ "actions": ["pay"] }),
            json!({ "actions": ["pay"], "limit": [{ "for": ["pay"], "currency": "EUR", "per_action": "1" }] }),
            json!({ "actions": ["pay", "read"], "limit": [{ "for": ["pay"], "currency": "USD", "per_action": "1" }] }),
            json!({ "actions": ["pay"], "limit": [{ "for": ["pay"], "currency": "USD", "per_week": "1" }] }),
            json!({ "actions": ["pay"], "deny": ["pay:abroad"], "limit": [{ "for": ["pay"], "currency": "USD", "per_day": "1" }] }),
            json!({ "actions": ["pay"], "hours": { "zone": "UTC", "slots": ["Mon-Fri 09:00-17:00"] },
                "limit": [{ "for": ["pay"], "currency": "USD", "per_day": "1" }] }),
        ] {
            assert_eq!(financial(&signed(&more)), None, "{more}");
        }
    }
}
