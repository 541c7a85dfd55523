//! Evidence has one origin: programs that make it up do not compile (`tests/ui`), and neither do guards that could not
//! guard (`tests/ui/attribute`).

#[test]
fn forged_evidence_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

/// One program for each refusal of `#[verify_agent_scope(..)]`; what is beside it says what to write instead.
#[test]
fn what_cannot_be_guarded_does_not_compile_and_is_told_how() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/attribute/*.rs");
    cases.pass("tests/ui/attribute/pass/*.rs");
}
