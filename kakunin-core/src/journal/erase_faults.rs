//! Erasures that are killed at every step, by the process that erases itself.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A step of an erasure; `before` happens first where the process is to die.
pub(super) fn step(before: impl FnOnce()) {
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    let Ok(last) = std::env::var("KAKUNIN_TEST_DIE_AT") else { return };
    if STEPS.fetch_add(1, Ordering::SeqCst).to_string() == last {
        before();
        // The shell's own: a small system has no program of that name.
        let _ = Command::new("sh").args(["-c", "kill -9 $PPID"]).status();
        std::thread::sleep(Duration::from_secs(60));
    }
}

mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::{Path, PathBuf};
    use std::process::Stdio;
    use std::sync::Arc;

    use super::*;
    use crate::decision::Decision;
    use crate::digest::Digest;
    use crate::id::AgentId;
    use crate::journal::erasing::{Place, Record};
    use crate::journal::faults::{Faults, FaultyDisk};
    use crate::journal::recover::streams;
    use crate::journal::search::{Search, search};
    use crate::journal::segment::{FrameKind, Frames, Tail};
    use crate::journal::sink::is_marked_closed;
    use crate::journal::{
        Archive, DecisionEntry, Erased, Identity, Journal, JournalOptions, Proof, Sealing, StreamReader,
        Which, erase, survey,
    };
    use crate::key::{KeyProvider, PublicKey, SignError, SignInput, Signature, Signer, SoftKey};
    use crate::reason::DenialReason;
    use crate::receipt::{Control, ErasureReason, Event, Mode, Stamp};
    use crate::request::ActionRequest;

    fn identity(home: &Path) -> Identity {
        let key = SoftKey::from_pkcs8(&fs::read(home.join("key")).unwrap()).unwrap();
        Identity {
            agent: AgentId::from_random([1; 16]),
            certificate: b"certificate".to_vec(),
            chain: Vec::new(),
            signer: Arc::new(Signer::soft(key)),
        }
    }

    const fn at(seconds: i64) -> Stamp {
        Stamp {
            micros: seconds * 1_000_000,
            boot: [1; 16],
            mono_nanos: seconds.cast_unsigned() * 1_000_000_000,
        }
    }

    /// A closed stream and one that a killed process left, three calls each.
    fn fill(home: &Path) -> PathBuf {
        let (_, pkcs8) = SoftKey::generate(crate::key::Algorithm::P256).unwrap();
        fs::write(home.join("key"), &*pkcs8).unwrap();
        let journal = home.join("journal");
        for stream in 0..2 {
            let open = Journal::open(&journal, identity(home), at(stream * 10)).unwrap();
            for (call, name) in (1..).zip(["acme", "globex", "initech"]) {
                append(&open, name, at(stream * 10 + call));
            }
            if stream == 0 {
                open.close(at(9)).unwrap();
            }
        }
        journal
    }

    fn append(journal: &Journal, name: &str, stamp: Stamp) {
        let decision = Decision::Deny(DenialReason::ScopeAction.into());
        let request = ActionRequest::new("payments:send").amount("1.00", "EUR").counterparty(name);
        let (decision, request) = (&decision, &request);
        let (list, mode, chain, parents, trace) = (None, Mode::Enforce, None, &[][..], None);
        let entry =
            DecisionEntry { caller: None, decision, request, list, mode, chain, parents, trace, stamp };
        drop(journal.decision(&entry).unwrap());
    }

    fn erase_acme(home: &Path) -> Result<Erased, crate::journal::EraseError> {
        let which = Which::Counterparty("acme".to_owned());
        erase(&home.join("journal"), &which, ErasureReason::SubjectRequest, &identity(home), &|| at(30))
    }

    /// The values of acme's calls that are still there, every other value, and the signed receipts of erasures.
    fn look(journal: &Path) -> (usize, usize, Vec<(u64, Digest)>) {
        let (mut acme, mut others, mut erasures) = (0, 0, Vec::new());
        for entry in StreamReader::streams(journal).unwrap().into_iter().flatten() {
            let entry = entry.unwrap();
            let of_acme = entry.disclosures().iter().any(|it| it.value() == "acme");
            *(if of_acme { &mut acme } else { &mut others }) += entry.disclosures().len();
            if let Event::Control(Control::Erased { count, digest, .. }) = entry.receipt().statement().event {
                // What the killed process wrote and did not sign states nothing.
                if entry.proof() != Proof::Unsigned {
                    erasures.push((count, digest));
                }
            }
        }
        (acme, others, erasures)
    }

    fn hashes(journal: &Path) -> BTreeSet<String> {
        let entries = StreamReader::streams(journal).unwrap().into_iter().flatten();
        entries.map(|entry| entry.unwrap().receipt().hash().to_string()).collect()
    }

    /// The other half of the test below: runs only as its child.
    #[test]
    fn child_that_erases_until_it_is_killed() {
        let Some(home) = std::env::var_os("KAKUNIN_TEST_ERASE") else { return };
        erase_acme(Path::new(&home)).unwrap();
    }

    #[test]
    fn an_erasure_killed_at_any_step_is_finished_by_the_next_opening() {
        for (last, finisher) in (0..).flat_map(|last| [(last, "guard"), (last, "erase")]) {
            let home = tempfile::tempdir().unwrap();
            let journal = fill(home.path());
            let before = hashes(&journal);
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["journal::erase_faults::tests::child_that_erases_until_it_is_killed", "--exact"])
                .env("KAKUNIN_TEST_ERASE", home.path())
                .env("KAKUNIN_TEST_DIE_AT", last.to_string())
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success() || status.signal() == Some(9), "{status}");
            // Before anybody finishes: every receipt is there and can be read.
            let (acme, others, announced) = look(&journal);
            assert!(hashes(&journal).is_superset(&before), "{last}");
            assert_eq!(others, 12, "{last}");
            assert!(acme == 6 || !announced.is_empty(), "{last}: destroyed without a receipt");
            let stated = !announced.is_empty();
            if finisher == "erase" {
                let erased = erase_acme(home.path()).unwrap();
                assert_eq!(erased.finished_earlier, stated && !status.success(), "{last}");
                assert_eq!(erased.survey.values, if stated { 0 } else { 6 }, "{last}");
            } else {
                let next = Journal::open(&journal, identity(home.path()), at(40)).unwrap();
                append(&next, "globex", at(41));
                next.close(at(42)).unwrap();
            }
            assert!(!journal.join("erasing").exists());
            assert!(hashes(&journal).is_superset(&before), "{last}");
            if finisher == "guard" && !stated {
                // Nobody signed the order: it is taken back whole.
                assert_eq!(look(&journal), (6, 15, Vec::new()), "{last}");
                assert!(Archive::of(&journal).erasures().is_empty(), "{last}");
                continue;
            }
            assert_eq!(survey(&journal, &Which::Counterparty("acme".to_owned())).unwrap().values, 0);
            let (acme, _, announced) = look(&journal);
            assert_eq!((acme, announced.len()), (0, 1), "{last}: {finisher}");
            let (count, root) = *announced.first().unwrap();
            assert_eq!(count, 6);
            assert_eq!(Archive::of(&journal).erased(&root).unwrap().len(), 6);
            if status.success() {
                assert!(last >= 8, "{last} steps");
                return;
            }
        }
    }

    /// Cuts the stream that nobody closed within its last receipt, whose values stay in front; gives its folder, and how
    /// much of the segment is whole.
    fn tear(journal: &Path) -> (PathBuf, usize) {
        let mut folders = streams(journal).unwrap().into_iter().map(|it| journal.join(it.to_string()));
        let folder = folders.find(|folder| !is_marked_closed(folder)).unwrap();
        let octets = fs::read(folder.join("0001.seg")).unwrap();
        let mut frames = Frames::new(&octets);
        let (mut end, mut whole, mut before) = (0, 0, 0);
        while let Some(frame) = frames.next() {
            if frame.kind == FrameKind::Disclosure {
                (end, whole) = (frames.offset(), before);
            } else {
                before = frames.offset();
            }
        }
        fs::write(folder.join("0001.seg"), octets.get(..end + 20).unwrap_or_default()).unwrap();
        (folder, whole)
    }

    #[test]
    fn what_a_torn_write_left_is_told_while_somebody_holds_it_and_overwritten_before_it_is_cut() {
        let home = tempfile::tempdir().unwrap();
        let journal = fill(home.path());
        let (folder, whole) = tear(&journal);
        let held = crate::journal::sink::lock(&folder).unwrap().unwrap();
        let erased = erase_acme(home.path()).unwrap();
        let [unsearched] = &erased.survey.unsearched[..] else { panic!("{erased:?}") };
        assert!(unsearched.torn && folder.ends_with(unsearched.stream.to_string()));
        assert_eq!(erased.survey.values, 6);
        drop(held);
        // Killed between the two: the values are gone already, and what is left is still torn.
        let before = fs::read(folder.join("0001.seg")).unwrap();
        let (kept, tail) = before.split_at(whole);
        assert!(tail.iter().any(|octet| *octet != 0));
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["journal::erase_faults::tests::child_that_erases_until_it_is_killed", "--exact"])
            .env("KAKUNIN_TEST_ERASE", home.path())
            .env("KAKUNIN_TEST_DIE_AT", "0")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(9));
        let after = fs::read(folder.join("0001.seg")).unwrap();
        assert!(after == [kept, &vec![0; tail.len()]].concat());
        let mut frames = Frames::new(&after);
        frames.by_ref().for_each(drop);
        assert_eq!((frames.whole(), frames.tail()), (whole, Tail::Torn { bytes: tail.len() as u64 }));
        let erased = erase_acme(home.path()).unwrap();
        assert_eq!((erased.survey.unsearched, is_marked_closed(&folder)), (Vec::new(), true));
    }

    #[test]
    fn values_in_many_small_segments_and_under_seals_are_erased() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path());
        let journal = home.path().join("small");
        let disk = Arc::new(FaultyDisk(Faults::with_segments_of(2_048)));
        let options = JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() };
        let open = Journal::open_on(disk, &journal, identity(home.path()), at(0), options).unwrap();
        for call in 1..=40 {
            append(&open, if call % 4 == 0 { "acme" } else { "globex" }, at(call));
        }
        open.close(at(50)).unwrap();
        let before = hashes(&journal);
        assert_eq!(look(&journal), (30, 90, Vec::new()));
        let which = Which::Counterparty("acme".to_owned());
        let reason = ErasureReason::OwnerRequest;
        let erased = erase(&journal, &which, reason, &identity(home.path()), &|| at(60)).unwrap();
        assert_eq!((erased.survey.decisions, erased.survey.values), (10, 30));
        let (acme, others, announced) = look(&journal);
        assert_eq!((acme, others, announced.len()), (0, 90, 1));
        assert!(hashes(&journal).is_superset(&before));
    }

    /// A key store that has gone away.
    struct Gone(Signer);

    impl KeyProvider for Gone {
        fn public(&self) -> &PublicKey {
            self.0.public()
        }

        fn sign(&self, _: SignInput<'_>) -> Result<Signature, SignError> {
            Err(SignError::Unsupported)
        }
    }

    #[test]
    fn who_cannot_sign_destroys_nothing_and_leaves_no_order_to() {
        let home = tempfile::tempdir().unwrap();
        let journal = fill(home.path());
        let gone =
            Gone(Signer::soft(SoftKey::from_pkcs8(&fs::read(home.path().join("key")).unwrap()).unwrap()));
        let identity =
            Identity { signer: Arc::new(Signer::provider(Box::new(gone))), ..identity(home.path()) };
        let which = Which::Counterparty("acme".to_owned());
        let error = erase(&journal, &which, ErasureReason::Retention, &identity, &|| at(30));
        assert!(error.is_err());
        assert_eq!(look(&journal), (6, 12, Vec::new()));
        assert!(!journal.join("erasing").exists());
    }

    #[test]
    fn an_erasure_that_fails_before_its_receipt_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let journal = fill(home.path());
        for blocked in ["erasing.tmp", "archive"] {
            let path = journal.join(blocked);
            let aside = home.path().join("aside");
            if path.exists() {
                fs::rename(&path, &aside).unwrap();
                fs::write(&path, "in the way").unwrap();
            } else {
                fs::create_dir(&path).unwrap();
            }
            assert!(erase_acme(home.path()).is_err(), "{blocked}");
            if aside.exists() {
                fs::remove_file(&path).unwrap();
                fs::rename(&aside, &path).unwrap();
            } else {
                fs::remove_dir(&path).unwrap();
            }
            assert_eq!(look(&journal), (6, 12, Vec::new()), "{blocked}");
            assert!(Archive::of(&journal).erasures().is_empty(), "{blocked}");
        }
        // One more value, and everything is stated by one receipt.
        let open = Journal::open(&journal, identity(home.path()), at(20)).unwrap();
        append(&open, "acme", at(21));
        open.close(at(22)).unwrap();
        erase_acme(home.path()).unwrap();
        let (acme, _, announced) = look(&journal);
        let roots: Vec<Digest> = announced.iter().map(|(_, root)| *root).collect();
        assert_eq!((acme, Archive::of(&journal).erasures()), (0, roots));
    }

    #[test]
    fn a_planted_order_is_signed_by_nobody_and_destroys_nothing() {
        let home = tempfile::tempdir().unwrap();
        let journal = fill(home.path());
        // Whoever can write beside the journal: the commitments of all values, and the order to erase them.
        let Search { chosen, .. } = search(&journal, &Which::Before(i64::MAX)).unwrap();
        let mut commitments: Vec<Digest> = chosen.iter().flat_map(|it| it.commitments.clone()).collect();
        commitments.sort_unstable();
        let mut places: Vec<Place> = chosen.iter().map(|it| it.place).collect();
        places.sort_unstable();
        let (count, reason) = (commitments.len() as u64, ErasureReason::LegalOrder);
        let plant = |count, root, places: &[Place]| {
            let places = places.to_vec();
            Record { count, root, reason, places, pieces: Vec::new() }.keep(&journal).unwrap();
        };
        let root = Archive::of(&journal).keep_erased(&commitments).unwrap();
        let open_and_close = || {
            let open = Journal::open(&journal, identity(home.path()), at(40)).unwrap();
            open.close(at(42)).unwrap();
        };
        plant(count, root, &places);
        open_and_close();
        assert_eq!(look(&journal), (6, 12, Vec::new()));
        assert!(!journal.join("erasing").exists() && Archive::of(&journal).erasures().is_empty());
        // Under an erasure that a receipt states, an order to erase others as well.
        erase_acme(home.path()).unwrap();
        let (_, _, stated) = look(&journal);
        let (count, root) = *stated.first().unwrap();
        plant(count, root, &places);
        open_and_close();
        assert_eq!(look(&journal), (0, 12, stated));
        assert!(erase_acme(home.path()).unwrap_err().to_string().contains("erasing"));
    }

    #[test]
    fn one_erases_at_a_time_and_a_file_that_may_not_be_written_is_named_before_anything_is_said() {
        let home = tempfile::tempdir().unwrap();
        let journal = fill(home.path());
        let lock = crate::journal::erasing::lock(&journal).unwrap().unwrap();
        assert!(matches!(erase_acme(home.path()), Err(crate::journal::EraseError::Busy)));
        // Who only looks whether there is something to finish is waited for.
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                drop(lock);
            });
            let nobody = Which::Counterparty("nobody".to_owned());
            let reason = ErasureReason::Retention;
            let erased = erase(&journal, &nobody, reason, &identity(home.path()), &|| at(30)).unwrap();
            assert_eq!(erased.survey.values, 0);
        });
        // As a protected segment does: it cannot be opened for writing.
        let folder = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
        let segment = folder.map(|folder| folder.join("0001.seg")).find(|segment| segment.exists()).unwrap();
        let aside = home.path().join("aside");
        fs::rename(&segment, &aside).unwrap();
        std::os::unix::fs::symlink(&aside, &segment).unwrap();
        let error = erase_acme(home.path()).unwrap_err().to_string();
        assert!(error.contains("0001.seg"), "{error}");
        assert_eq!(look(&journal), (6, 12, Vec::new()));
        assert!(!journal.join("erasing").exists());
    }
}
