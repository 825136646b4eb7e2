//! Compiles every `.proto` file below `proto/` and writes, into the build folder:
//!
//! - `descriptors.bin`: the descriptors as written, with what is required;
//! - the prost structs and tonic services, made from a copy in which `required` is `optional`, because prost fills
//!   in a missing required field without a word;
//! - `codec.rs`: for each message of the API its JSON codec and its check of required fields.

mod codec;
mod names;
mod relax;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);

    let mut files = Vec::new();
    collect_protos(root, &mut files)?;
    files.sort();
    let described = protox::compile(&files, [root])?;
    fs::write(out.join("descriptors.bin"), described.encode_to_vec())?;
    fs::write(out.join("codec.rs"), codec::generate(&described))?;

    let mut config = prost_build::Config::new();
    config.btree_map(["."]).bytes([".chapada.link.v1.HeldTask.task"]).include_file("modules.rs");
    let services = tonic_prost_build::configure().codec_path("crate::grpc::LeanCodec");
    services.compile_fds_with_config(relax::relaxed(described), config)?;
    Ok(())
}

/// All `.proto` files at and below `folder`, so that a new one needs no line here.
fn collect_protos(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            collect_protos(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}
