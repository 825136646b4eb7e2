//! What is done in parts of bounded work, and what outlives the process.

mod bench;
mod failures;
mod heard;
mod many;
mod records;
