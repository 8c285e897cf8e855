//! Generates the messages and stubs of `schemas/ca.proto`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas");
    println!("cargo::rerun-if-changed={SCHEMAS}/ca.proto");
    let schema = protox::compile(["ca.proto"], [SCHEMAS])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(schema)?;
    Ok(())
}
