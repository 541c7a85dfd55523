//! Variables of the environment that ask for less enforcement.
//!
//! None is obeyed: observe mode is set in code, and nothing turns a guard off. Bindings warn of each that is set, because
//! whoever set it believes something else. Takes in names and values, reads nothing itself.

/// The variables, in the order in which they are warned of.
pub const VARIABLES: [&str; 10] = [
    "KAKUNIN_MODE",
    "KAKUNIN_ENFORCE",
    "KAKUNIN_ENABLED",
    "KAKUNIN_GUARD",
    "KAKUNIN_DISABLE",
    "KAKUNIN_DISABLED",
    "KAKUNIN_OBSERVE",
    "KAKUNIN_FAIL_OPEN",
    "KAKUNIN_ALLOW_ALL",
    "KAKUNIN_SKIP",
];

/// Whether the variable `name` with this value asks for less enforcement; case and outer white space do not matter.
#[must_use]
pub fn asks_for_less(name: &str, value: &str) -> bool {
    let value = value.trim().to_lowercase();
    let one_of = |values: &[&str]| values.contains(&value.as_str());
    match name {
        "KAKUNIN_MODE" => one_of(&OFF) || one_of(&OTHER_MODES),
        "KAKUNIN_ENFORCE" | "KAKUNIN_ENABLED" | "KAKUNIN_GUARD" => one_of(&OFF),
        known if VARIABLES.contains(&known) => one_of(&ON),
        _ => false,
    }
}

/// What is said instead of obeying.
#[must_use]
pub fn warning(name: &str, value: &str) -> String {
    format!(
        "{name}={value} is ignored: the environment cannot loosen enforcement; observe mode is set in code"
    )
}

const OFF: [&str; 11] =
    ["0", "false", "no", "off", "none", "observe", "disable", "disabled", "allow", "permissive", "open"];
const OTHER_MODES: [&str; 3] = ["check", "dry-run", "audit"];
const ON: [&str; 4] = ["1", "true", "yes", "on"];
