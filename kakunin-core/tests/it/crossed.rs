//! A root that certifies another owner's issuing authority, its name, its key and its key identifier, without being asked:
//! then our certificates have a path to two roots. The other one neither speaks against us nor excuses us.

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::journal::Archive;
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::verify::{Report, Verdict};

use crate::bundle::{World, invalid, reasons, verify, verify_journals};
use crate::bundle_time::{allow, keep};
use crate::house::{House, stamp};

/// One allowance by a list of the 22nd, seen at once. Another root, which is believed too, vouches for our authority, and
/// the bank's journal holds that.
struct Crossed {
    world: World,
    vouched: Vec<u8>,
    revoking: Vec<u8>,
}

impl Crossed {
    fn of(serial: &[u8], is_revoked: bool) -> Self {
        let mut world = World::new();
        let [root, vouched, revoking] = House::vouching(&world.support.house, serial);
        let roots = [world.support.house.root.as_slice(), &world.bank.house.root, &root];
        world.anchors = TrustAnchors::new(roots).unwrap();
        let (support, bank) = (world.support.open(), world.bank.open());
        let list = keep(&world.support, &support, &world.support.house.later_list);
        allow(&world.support, &support, list, 10, &[]);
        if is_revoked {
            keep_list(&Archive::of(&world.support.journal), &world.support.house.revoking_root_list);
        }
        support.close(stamp(20_000)).unwrap();
        bank.close(stamp(91)).unwrap();
        for owner in world.owners() {
            owner.log();
            world.see(owner, 3600);
        }
        Self { world, vouched, revoking }
    }

    /// In the bank's journal, as a bundle, and in our own.
    fn judged(&self) -> [Report; 3] {
        let policy = [self.world.policy()];
        let terms = self.world.terms().witnesses(&policy);
        let beside = || verify_journals(&self.world, &self.world.owners(), &terms);
        Archive::of(&self.world.bank.journal).keep_certificate(&self.vouched).unwrap();
        let apart = beside();
        self.world.export(None, "crossed.zip").unwrap();
        let bundle = verify(&self.world.path("crossed.zip"), &terms);
        Archive::of(&self.world.support.journal).keep_certificate(&self.vouched).unwrap();
        [apart, bundle, beside()]
    }
}

fn keep_list(archive: &Archive, list: &[u8]) {
    archive.keep_list(&UnverifiedList::decode(list).unwrap().digest(), list).unwrap();
}

/// So that the one or the other certificate comes first, in whatever order they are looked at.
const SERIALS: [&[u8]; 2] = [&[1], &[0x7f; 20]];

#[test]
fn another_root_that_vouches_for_our_authority_cannot_end_it() {
    for serial in SERIALS {
        let crossed = Crossed::of(serial, false);
        let [apart, bundle, own] = crossed.judged();
        assert_eq!(apart.verdict(), Verdict::Complete, "our journal holds our authority itself");
        assert_eq!(reasons(&bundle), ["agent.ambiguous"]);
        assert_eq!(reasons(&own), ["agent.ambiguous"]);
        // Its list says that our authority was revoked before the list that we acted by.
        let crossed = Crossed::of(serial, false);
        keep_list(&Archive::of(&crossed.world.bank.journal), &crossed.revoking);
        let [apart, bundle, own] = crossed.judged();
        assert_eq!(apart.verdict(), Verdict::Complete);
        for report in [bundle, own] {
            assert_eq!(reasons(&report), ["time.unproven", "agent.ambiguous"]);
        }
    }
}

#[test]
fn another_root_that_vouches_for_our_authority_takes_no_revocation_back() {
    for serial in SERIALS {
        let crossed = Crossed::of(serial, true);
        let [apart, bundle, own] = crossed.judged();
        assert_eq!(invalid(&apart), "receipt.revoked", "our root's word, and nobody else's");
        for report in [bundle, own] {
            assert_eq!(reasons(&report), ["time.unproven", "agent.ambiguous"]);
        }
        // What both roots have revoked is revoked.
        let crossed = Crossed::of(serial, true);
        keep_list(&Archive::of(&crossed.world.bank.journal), &crossed.revoking);
        assert_eq!(crossed.judged().map(|report| invalid(&report)), ["receipt.revoked"; 3]);
    }
}
