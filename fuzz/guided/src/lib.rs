//! What every target is: a law of `kakunin-fuzz`, handed to libFuzzer.

pub use kakunin_fuzz::law;
pub use libfuzzer_sys::fuzz_target;

/// The target of one law, by its name.
#[macro_export]
macro_rules! law {
    ($name:literal) => {
        $crate::fuzz_target!(|input: &[u8]| {
            static LAW: std::sync::OnceLock<fn(&[u8])> = std::sync::OnceLock::new();
            (LAW.get_or_init(|| $crate::law($name).map(|law| law.holds).unwrap_or_else(|| panic!("no law of this name"))))(input)
        });
    };
}
