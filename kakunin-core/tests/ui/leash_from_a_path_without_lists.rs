use kakunin_core::certificate::{AgentPath, PathLists, VerifiedAgent};
use kakunin_core::leash::Leash;
use kakunin_core::scope::NameLists;

fn leash(path: AgentPath) {
    let _ = Leash::compile(&path, &NameLists::default());
}

fn agent(path: AgentPath, lists: PathLists) -> VerifiedAgent {
    VerifiedAgent { path, lists }
}

fn main() {}
