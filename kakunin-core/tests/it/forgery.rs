//! Evidence has one origin: programs that make it up do not compile (`tests/ui`), and neither do guards that could not
//! guard (`tests/ui/attribute`).

#[test]
fn forged_evidence_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

/// One program for each refusal of `#[verify_agent_scope(..)]`; what is beside it says what to write instead. None of them
/// is to compile: one that did would make trybuild build everything, and each program by itself. `tests/lints.rs` does.
#[test]
fn what_cannot_be_guarded_does_not_compile_and_is_told_how() {
    trybuild::TestCases::new().compile_fail("tests/ui/attribute/*.rs");
}
