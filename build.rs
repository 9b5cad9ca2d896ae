//! Generates the gRPC code from `proto/` without protoc.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    if env::var_os("CARGO_FEATURE_SERVER").is_none() {
        return Ok(());
    }
    let own = ["types", "models", "suites", "jobs", "catalog"].map(|name| format!("assay/v1/{name}.proto"));
    let files = own.into_iter().chain(["inference/grpc_service.proto".to_owned()]);
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("assay.bin");
    // The same bytes are served by reflection.
    fs::write(out, prost::Message::encode_to_vec(&descriptors))?;
    // Maps in the order of their keys: the same message is the same bytes, whoever encodes it.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let builder = tonic_prost_build::configure().btree_map(".").codec_path("crate::wire::Wire");
    builder.compile_fds_with_config(descriptors, config)?;
    Ok(())
}
