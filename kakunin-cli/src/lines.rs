//! Lines of a log on their way out, which hold nobody up.
//!
//! Whoever writes to a pipe that nobody reads waits until somebody does: one stopped reader would stop a service. So one
//! thread writes, and the others put their lines into a queue that has an end. What finds no room there is dropped and
//! counted, and the log says how many those were as soon as it goes on.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// A log that is written by a thread of its own.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    queue: SyncSender<String>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// In the queue, or being written.
    waiting: AtomicU64,
    lost: AtomicU64,
}

/// Gives the last lines a moment when it is dropped: whoever ends says why.
#[must_use]
pub(crate) struct Ending(Arc<Counts>);

impl Drop for Ending {
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.0.waiting.load(Ordering::Acquire) > 0 && begun.elapsed() < MOMENT {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Lines {
    /// Begins to write to `out`.
    pub(crate) fn to(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(ROOM);
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        thread::Builder::new().name("kakunin-log".into()).spawn(move || write(out, &lines, &counted))?;
        Ok(Self { queue, counts })
    }

    /// Waits for what was said when it is dropped, and not for long.
    pub(crate) fn ending(&self) -> Ending {
        Ending(Arc::clone(&self.counts))
    }

    /// Puts a line into the queue. Nobody to read the log is no reason to stop or to wait.
    pub(crate) fn say(&self, line: &str) {
        self.counts.waiting.fetch_add(1, Ordering::AcqRel);
        if self.queue.try_send(line.to_owned()).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::AcqRel);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(mut out: impl Write, lines: &Receiver<String>, counts: &Counts) {
    for line in lines {
        // What cannot be written is gone; the next one may go through.
        let _ = writeln!(out, "{line}");
        let gone = counts.lost.swap(0, Ordering::Relaxed);
        if gone > 0 {
            let told = serde_json::json!({ "event": "log.lines_lost", "lines": gone });
            let _ = writeln!(out, "{told}");
        }
        counts.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A line has some hundred octets, and 64 kB at most: what a request may say of itself.
const ROOM: usize = 4096;
const MOMENT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Somebody who reads a piece when he is told to.
    struct Slow {
        may: Receiver<()>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            // When nobody tells any more, everything is read.
            let _ = self.may.recv();
            let _ = self.read.send(octets.to_vec());
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up_and_says_later_what_is_missing() {
        let (tell, may) = channel();
        let (read, out) = channel();
        let lines = Lines::to(Slow { may, read }).unwrap();
        // One is being written and waits, and the queue is full behind it; none of these waits.
        let said = ROOM + 100;
        (0..said).for_each(|number| lines.say(&number.to_string()));
        drop((tell, lines));
        let text: Vec<u8> = out.into_iter().flatten().collect();
        let text = String::from_utf8(text).unwrap();
        let told = |line: &&str| line.starts_with('{');
        let lost: Vec<serde_json::Value> =
            text.lines().filter(told).map(|line| serde_json::from_str(line).unwrap()).collect();
        let [lost] = lost.as_slice() else { panic!("{lost:?}") };
        assert_eq!(lost["event"], "log.lines_lost");
        let written: Vec<usize> =
            text.lines().filter(|line| !told(line)).map(|line| line.parse().unwrap()).collect();
        assert_eq!(written, (0..written.len()).collect::<Vec<_>>(), "in order, and the first ones");
        assert_eq!(lost["lines"], said - written.len());
        assert!(written.len() >= ROOM && written.len() <= ROOM + 1);
    }
}
