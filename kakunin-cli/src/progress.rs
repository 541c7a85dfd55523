//! A bar for long work: on a terminal only, and gone when the answer comes.

use std::io::{self, IsTerminal, Write};

use kakunin_core::verify::{Seen, Watch};

/// Counts receipts that go by.
pub(crate) struct Progress {
    seen: u64,
    expected: Option<u64>,
    visible: bool,
}

impl Progress {
    /// Shows nothing to programs.
    pub(crate) fn new(json: bool) -> Self {
        Self { seen: 0, expected: None, visible: !json && io::stderr().is_terminal() }
    }

    /// One more receipt goes by.
    pub(crate) fn step(&mut self) {
        self.seen += 1;
        if self.visible && self.seen.is_multiple_of(STEP) {
            self.draw();
        }
    }

    fn draw(&self) {
        let line = match self.expected.filter(|expected| *expected > 0) {
            Some(expected) => {
                let done = self.seen.saturating_mul(WIDTH).checked_div(expected).unwrap_or(0).min(WIDTH);
                let bar: String = (0..WIDTH).map(|place| if place < done { '#' } else { '.' }).collect();
                format!("\r[{bar}] {} of {expected} receipts", self.seen)
            }
            None => format!("\r{} receipts", self.seen),
        };
        let mut out = io::stderr().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        if self.visible && self.seen >= STEP {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}

impl Watch for Progress {
    fn expect(&mut self, receipts: u64) {
        self.expected = Some(receipts);
    }

    fn receipt(&mut self, _: &Seen<'_>) {
        self.step();
    }
}

const WIDTH: u64 = 30;
/// Some tenths of a second: short work shows nothing.
const STEP: u64 = 4096;
