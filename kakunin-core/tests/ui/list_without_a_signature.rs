use kakunin_core::revocation::{RevocationList, UnverifiedList};

fn believe(list: UnverifiedList<'_>) -> RevocationList {
    list.into()
}

fn main() {}
