//! Random bytes in small change: one system call fills many salts.

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::receipt::SALT_LENGTH;

/// A pocket of salts, each given out once; wiped when dropped.
pub(super) struct Salts {
    random: SystemRandom,
    pocket: Zeroizing<[u8; SALT_LENGTH * 32]>,
    used: usize,
}

impl Salts {
    pub(super) fn new() -> Self {
        Self {
            random: SystemRandom::new(),
            pocket: Zeroizing::new([0; SALT_LENGTH * 32]),
            used: SALT_LENGTH * 32,
        }
    }

    /// The next salt; `None` when the system gives no randomness.
    pub(super) fn next(&mut self) -> Option<[u8; SALT_LENGTH]> {
        if self.used >= self.pocket.len() {
            self.random.fill(self.pocket.as_mut()).ok()?;
            self.used = 0;
        }
        let salt = self.pocket.get_mut(self.used..)?.first_chunk_mut::<SALT_LENGTH>()?;
        self.used += SALT_LENGTH;
        Some(std::mem::take(salt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_salt_is_given_out_twice() {
        let mut salts = Salts::new();
        let mut seen: Vec<_> = (0..1000).map(|_| salts.next().unwrap()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
        assert!(!seen.contains(&[0; SALT_LENGTH]));
    }
}
