//! The table: what, how long, beside which floor, at which ratio, and what was promised.

use std::fmt;
use std::fs;

/// A number of nanoseconds as a person reads it.
pub(crate) struct Nanos(pub(crate) f64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            nanos if nanos < 1_000.0 => write!(f, "{nanos:.0} ns"),
            nanos if nanos < 100_000.0 => write!(f, "{:.2} µs", nanos / 1_000.0),
            nanos => write!(f, "{:.0} µs", nanos / 1_000.0),
        }
    }
}

/// Prints a row whose promise is a ratio.
pub(crate) fn ratio(what: &str, measured: f64, (floor, nanos): (&str, f64), ratio: f64, hold: Option<f64>) {
    let hold = hold.map_or_else(String::new, |hold| format!("≤ {hold}{}", mark(ratio <= hold)));
    row(what, &Nanos(measured), &format!("{floor}: {}", Nanos(nanos)), &format!("{ratio:.2}"), &hold);
}

/// Prints a row whose promise is a count.
pub(crate) fn count(what: &str, measured: u64, hold: u64) {
    row(what, &measured, &"", &"", &format!("≤ {hold}{}", mark(measured <= hold)));
}

/// Prints a row whose promise is a ratio of two sizes.
pub(crate) fn sizes(what: &str, (measured, floor): (f64, f64), of: &str, hold: f64) {
    let ratio = measured / floor;
    let (measured, floor) = (format!("{measured:.0} octets"), format!("{of}: {floor:.0} octets"));
    row(what, &measured, &floor, &format!("{ratio:.2}"), &format!("≤ {hold}{}", mark(ratio <= hold)));
}

/// Prints a row whose promise is a size, beside that of something smaller.
pub(crate) fn size(what: &str, (measured, smaller): (f64, f64), unit: &str, of: &str, hold: f64) {
    let (ratio, holds) = (measured / smaller, mark(measured <= hold));
    let (measured, smaller) = (format!("{measured:.0} {unit}"), format!("{of}: {smaller:.0} {unit}"));
    row(what, &measured, &smaller, &format!("{ratio:.2}"), &format!("≤ {hold} {unit}{holds}"));
}

/// Prints a row.
pub(crate) fn row(
    what: &str,
    measured: &dyn fmt::Display,
    floor: &dyn fmt::Display,
    ratio: &dyn fmt::Display,
    hold: &dyn fmt::Display,
) {
    println!("| {what} | {measured} | {floor} | {ratio} | {hold} |");
}

/// How many processes wanted a core in the last minute: what an absolute time has to be read beside.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

pub(crate) fn mark(holds: bool) -> &'static str {
    if holds { "" } else { ", does not hold" }
}
