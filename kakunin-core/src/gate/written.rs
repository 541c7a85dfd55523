//! Times and spans as people write them into a policy.

/// Reads a span of time, `14d`, `24h`, `30m` or `90s`: a whole positive number and one unit. Gives its seconds.
#[must_use]
pub fn span(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    // A sign is no digit, and `parse` would take one.
    let number: i64 = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    number.checked_mul(unit).filter(|seconds| (1..=MAX_SPAN).contains(seconds))
}

/// Ten years: what is older says nothing of an agent.
const MAX_SPAN: i64 = 3_660 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_whole_number_and_one_unit() {
        assert_eq!(span("14d"), Some(14 * 86_400));
        assert_eq!(span("90s"), Some(90));
        for wrong in [
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1.5h",
            "1 h",
            "1w",
            "14",
            "1D",
            "9223372036854775807d",
            "٣d",
            "4000d",
            "é",
        ] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }
}
