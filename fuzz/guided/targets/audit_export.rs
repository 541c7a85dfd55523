#![no_main]

kakunin_fuzz_guided::law!("audit_export");
