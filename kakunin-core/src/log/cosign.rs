//! Cosignatures (C2SP tlog-cosignature, Ed25519): a witness saw this head of a log, at this time, and none larger.
//!
//! ```text
//! signature line = u64 time, big-endian | 64 octets of Ed25519 over
//!
//! cosignature/v1
//! time <time, decimal seconds>
//! <text of the checkpoint>
//! ```

use super::checkpoint::OpenedCheckpoint;
use super::note::{NoteSignature, SignedNote};
use super::vkey::{KeyKind, VerifierKey, VerifierKeyError};
use crate::key::{SignError, Signer};
use crate::time::UnixTime;

/// The key of a witness: cosigns checkpoints.
#[derive(Debug)]
pub struct WitnessKey {
    signer: Signer,
    verifier: VerifierKey,
}

impl WitnessKey {
    /// Lets `signer` cosign as `name`. The signed message does not carry the name, so a key belongs to one witness only.
    ///
    /// # Errors
    /// [`VerifierKeyError`] when `name` is no name or the key is not Ed25519.
    pub fn new(name: &str, signer: Signer) -> Result<Self, VerifierKeyError> {
        let verifier = VerifierKey::new(name, KeyKind::Witness, signer.public().clone())?;
        Ok(Self { signer, verifier })
    }

    /// What cosignatures are checked with.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The checkpoint with this witness's line at its end. Only a witness that remembers what it signed calls this.
    ///
    /// Lines of others stay behind where there is no room: a note with more of them than it may have is never read again.
    pub(super) fn cosign(&self, seen: &OpenedCheckpoint, at: UnixTime) -> Result<SignedNote, SignError> {
        let time = u64::try_from(at.seconds()).ok().filter(|time| *time != 0);
        let time = time.ok_or_else(|| SignError::Provider("the clock is before 1970".into()))?;
        let signature = self.signer.sign(message(time, seen.note().text()).as_bytes())?;
        let line = [time.to_be_bytes().as_slice(), signature.as_bytes()].concat();
        let note = |signature| SignedNote::new(seen.note().text().to_owned(), signature);
        let own = note(NoteSignature::new(&self.verifier, line));
        let whole = seen.note().joined(&own).filter(SignedNote::can_be_read);
        // INVARIANT: an opened checkpoint has a line of its log.
        let log =
            || seen.note().by(seen.log()).next().map(|line| NoteSignature::new(seen.log(), line.to_vec()));
        Ok(whole.or_else(|| note(log()?).joined(&own)).unwrap_or(own))
    }
}

impl OpenedCheckpoint {
    /// When `witness` says that it had seen this checkpoint: the earliest time of its cosignatures. `None` when it has
    /// none, or when one in its name does not match, which makes them all worthless.
    #[must_use]
    pub fn cosigned_by(&self, witness: &VerifierKey) -> Option<UnixTime> {
        if witness.kind() != KeyKind::Witness {
            return None;
        }
        let mut earliest = None;
        for line in self.note().by(witness) {
            let (time, signature) = line.split_first_chunk::<8>()?;
            let time = u64::from_be_bytes(*time);
            witness.verify(message(time, self.note().text()).as_bytes(), signature).ok()?;
            // No witness was there in 1970: a time left out stands for no time.
            let at = UnixTime::from_seconds(i64::try_from(time).ok().filter(|time| *time != 0)?);
            earliest = Some(earliest.map_or(at, |earlier: UnixTime| earlier.min(at)));
        }
        earliest
    }
}

fn message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::LogKey;
    use super::*;
    use crate::digest::Digest;
    use crate::key::{Algorithm, SoftKey};

    fn signer() -> Signer {
        Signer::soft(SoftKey::generate(Algorithm::Ed25519).unwrap().0)
    }

    fn opened() -> OpenedCheckpoint {
        let log = LogKey::new("log.example/a", signer()).unwrap();
        log.sign(7, Digest::of(b"root")).unwrap().open(log.verifier()).unwrap()
    }

    #[test]
    fn a_cosignature_says_when_and_only_for_its_witness() {
        let (seen, witness) = (opened(), WitnessKey::new("w.example/1", signer()).unwrap());
        assert_eq!(seen.cosigned_by(witness.verifier()), None);
        let at = UnixTime::from_seconds(1_679_315_147);
        let note = witness.cosign(&seen, at).unwrap().to_string();
        let again = SignedNote::parse(note.as_bytes()).unwrap().open(seen.log()).unwrap();
        assert_eq!(again.cosigned_by(witness.verifier()), Some(at));
        let other = WitnessKey::new("w.example/1", signer()).unwrap();
        assert_eq!(again.cosigned_by(other.verifier()), None);
    }

    #[test]
    fn of_two_cosignatures_the_earlier_counts_and_a_forged_one_spoils_both() {
        let (seen, witness) = (opened(), WitnessKey::new("w.example/1", signer()).unwrap());
        let [late, early] =
            [200, 100].map(|time| witness.cosign(&seen, UnixTime::from_seconds(time)).unwrap());
        let with = |line: &dyn std::fmt::Display| {
            let note = SignedNote::parse(format!("{late}{line}\n").as_bytes()).unwrap();
            note.open(seen.log()).unwrap().cosigned_by(witness.verifier())
        };
        assert_eq!(with(&early.signatures()[1]), Some(UnixTime::from_seconds(100)));
        assert_eq!(with(&NoteSignature::new(witness.verifier(), vec![0; 72])), None);
    }

    #[test]
    fn no_time_is_no_cosignature() {
        let witness = WitnessKey::new("w.example/1", signer()).unwrap();
        assert!(witness.cosign(&opened(), UnixTime::from_seconds(0)).is_err());
        assert!(witness.cosign(&opened(), UnixTime::from_seconds(-1)).is_err());
    }
}
