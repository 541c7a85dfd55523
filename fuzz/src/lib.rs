//! What holds for every input from outside, however hostile.
//!
//! A law is a function of bytes for one decoder, or for one of the two theorems of the leash. It gives the bytes to the
//! public function that anybody's bytes reach, and panics when something comes out that must not: a second spelling of a
//! canonical form, a reading that another implementation does not share, a proof of what was never signed. Bytes that are
//! refused are the ordinary case and prove that nothing panics on the way.
//!
//! The same functions are driven in two ways: by `tests/it`, which `make test` runs on stable over `corpus/` and a random
//! campaign that is the same each time, and by `guided/`, where libFuzzer looks for inputs that reach new code
//! (`make fuzz`). `docs/fuzzing.md` says how.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a law that does not hold ends the program"
)]

mod campaign;
mod law;
mod seeds;
mod world;

#[path = "../../kakunin-core/tests/it/arbitrary.rs"]
mod arbitrary;
#[expect(dead_code, reason = "the tests of the core use what is not used here")]
#[path = "../../kakunin-core/tests/it/authority.rs"]
mod authority;
#[expect(dead_code, reason = "the tests of the core use what is not used here")]
#[path = "../../kakunin-core/tests/it/behaviour.rs"]
mod behaviour;
#[path = "../../kakunin-core/tests/it/reference.rs"]
mod reference;

pub use campaign::Campaign;
pub use world::make as make_world;

/// A law, what it is tried on first, and how often.
#[derive(Clone, Copy)]
pub struct Law {
    /// Its name: of its corpus, of its test and of its target.
    pub name: &'static str,
    /// Panics if it does not hold for these bytes.
    pub holds: fn(&[u8]),
    /// Inputs that reach its deeper parts, made of `vectors/` and of this crate's own world.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many random inputs `make test` tries.
    pub rounds: u32,
    /// At how many octets of memory for each octet of input the decoder has to stop, beside a fixed [`ROOM`]; `None` where
    /// the law itself does far more than the decoder.
    pub memory: Option<usize>,
}

impl std::fmt::Debug for Law {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Law").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Octets that any decoder may take whatever it is given: messages, tables, a first allocation.
pub const ROOM: usize = 16 << 10;

/// Every law.
pub const LAWS: &[Law] = law::ALL;

/// The law of this name.
#[must_use]
pub fn law(name: &str) -> Option<&'static Law> {
    LAWS.iter().find(|law| law.name == name)
}
