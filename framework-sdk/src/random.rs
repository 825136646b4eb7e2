//! Random numbers for the functions that take one as an argument.

/// Spread evenly over all of `u64`; for jitter and choices, not for secrets.
pub fn random() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    // Each half has a few fixed bits, at different places.
    high.rotate_left(32) ^ low
}
