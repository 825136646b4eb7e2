//! One program for all targets: `CHAPADA_FUZZ_TARGET` names the one to feed, so that there is one build for all of them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&chapada_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("CHAPADA_FUZZ_TARGET").unwrap_or_default();
    chapada_fuzz::target(&name).unwrap_or_else(|| panic!("CHAPADA_FUZZ_TARGET is '{name}', which is no target"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.body)(bytes));
