//! Evidence has one origin: programs that make it up do not compile (`tests/ui`).

#[test]
fn forged_evidence_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
