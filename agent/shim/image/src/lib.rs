//! The shim program as bytes: `chapada_shim::Launcher` runs it from sealed memory, so an agent is one file.
#![forbid(unsafe_code)]

/// A static executable of the machine this crate was built for.
pub static SHIM_IMAGE: &[u8] = include_bytes!(env!("CHAPADA_SHIM_IMAGE"));

#[cfg(test)]
mod tests {
    use super::SHIM_IMAGE;

    #[test]
    fn it_is_a_static_executable() {
        assert_eq!(&SHIM_IMAGE[..4], b"\x7fELF");
        assert_eq!(SHIM_IMAGE[16], 2, "ET_EXEC: not position independent");
        assert!(SHIM_IMAGE.len() < 2 << 20, "{} bytes; the shim is to stay small", SHIM_IMAGE.len());
        assert!(!SHIM_IMAGE.windows(9).any(|window| window == b"ld-linux-"), "it names a dynamic loader");
    }
}
