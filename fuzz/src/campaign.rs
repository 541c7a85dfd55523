//! Random inputs that are the same each time: seeds, changed as fuzzers change them.
//!
//! There is no feedback here. What reaches new code is found by `make fuzz` and kept in `corpus/`; this goes around those
//! inputs, so that a change of a decoder meets neighbours of everything that was ever interesting.

/// A sequence of inputs that its name and its seeds decide.
#[derive(Clone, Debug)]
pub struct Campaign {
    seeds: Vec<Vec<u8>>,
    state: u64,
}

impl Campaign {
    /// The inputs around `seeds`; another `name` gives others.
    #[must_use]
    pub fn new(name: &str, seeds: Vec<Vec<u8>>) -> Self {
        // FNV-1a: whatever the name is, no state of zero.
        let mix = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self { seeds, state: name.bytes().fold(0xcbf2_9ce4_8422_2325, mix) | 1 }
    }

    /// A number below `end`, 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from((next(&mut self.state) >> 16) % end).unwrap_or(0)
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds.get(at).cloned().unwrap_or_default()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(16)).min(input.len());
        match self.below(9) {
            0 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= bit;
                }
            }
            1 => {
                let value = INTERESTING[self.below(INTERESTING.len())];
                if let Some(byte) = input.get_mut(at) {
                    *byte = value;
                }
            }
            2 => input.insert(at, INTERESTING[self.below(INTERESTING.len())]),
            3 if at < end => drop(input.drain(at..end)),
            4 => input.truncate(at),
            // A part twice, where it stands or elsewhere.
            5 if at < end => {
                let (part, to) = (input[at..end].to_vec(), self.below(input.len()));
                drop(input.splice(to..to, part));
            }
            // A part of another seed.
            6 => {
                let other = self.seed();
                let from = self.below(other.len() + 1);
                let to = (from + 1 + self.below(64)).min(other.len());
                drop(input.splice(at..end.max(at), other[from.min(to)..to].iter().copied()));
            }
            // A number, one more or one less.
            7 => {
                let more = self.below(2) == 0;
                if let Some(byte) = input.get_mut(at) {
                    *byte = if more { byte.wrapping_add(1) } else { byte.wrapping_sub(1) };
                }
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())].as_bytes();
                drop(input.splice(at..at, word.iter().copied()));
            }
        }
    }
}

impl Iterator for Campaign {
    type Item = Vec<u8>;

    /// It has no end.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut input = self.seed();
        for _ in 0..=self.below(4) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        Some(input)
    }
}

/// Octets that look like chance and are always those of `state`, which is not 0.
pub(crate) fn octets(mut state: u64) -> impl Iterator<Item = u8> {
    std::iter::repeat_with(move || next(&mut state).to_be_bytes()).flatten()
}

/// xorshift64* (Vigna 2016).
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

const LONGEST: usize = 256 << 10;
const INTERESTING: [u8; 16] =
    [0, 1, 0x1f, 0x20, b'"', b'*', b',', b'.', b':', b'=', b'\\', 0x7f, 0x80, 0x81, 0xfe, 0xff];
const WORDS: [&str; 16] = [
    "*",
    ":*",
    "sha256:",
    "\"",
    "\\u0000",
    "{}",
    "[]",
    "null",
    "-0",
    "1e9",
    "18446744073709551616",
    "9007199254740993",
    "\r\n",
    ";",
    "\u{430}",
    "\u{feff}",
];
