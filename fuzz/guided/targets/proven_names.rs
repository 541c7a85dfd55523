#![no_main]

kakunin_fuzz_guided::law!("proven_names");
