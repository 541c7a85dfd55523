#![no_main]

kakunin_fuzz_guided::law!("suggestion");
