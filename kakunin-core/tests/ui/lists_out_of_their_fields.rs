use kakunin_core::certificate::PathLists;
use kakunin_core::revocation::RevocationList;

fn lists(issuing: RevocationList, root: RevocationList) -> PathLists {
    PathLists { issuing, root }
}

fn main() {}
