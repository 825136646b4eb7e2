//! The shim program as bytes: `chapada_shim::Launcher` runs it from sealed memory, so an agent is one file.
#![forbid(unsafe_code)]

/// A static executable of the machine this crate was built for.
pub static SHIM_IMAGE: &[u8] = include_bytes!(env!("CHAPADA_SHIM_IMAGE"));

#[cfg(test)]
mod tests {
    use super::SHIM_IMAGE;

    /// Program header type of the path of a dynamic loader. Source: `man 5 elf`.
    const PT_INTERP: u64 = 3;
    const ET_EXEC: u64 = 2;

    fn number(at: usize, bytes: usize) -> u64 {
        SHIM_IMAGE[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    #[test]
    fn it_is_a_static_executable_and_small() {
        assert_eq!(&SHIM_IMAGE[..4], b"\x7fELF");
        assert_eq!(number(16, 2), ET_EXEC, "position independence dirties memory in every shim");
        let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        let mut types = (0..count).map(|index| number((offset + index * size) as usize, 4));
        assert!(types.all(|kind| kind != PT_INTERP), "it asks for a dynamic loader");
        assert!(SHIM_IMAGE.len() < 2 << 20, "{} bytes", SHIM_IMAGE.len());
    }
}
