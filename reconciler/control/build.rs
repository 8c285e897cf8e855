//! Generates the messages and stubs of schemas/control.proto; no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../schemas/control.proto");
    let files = protox::compile(["control.proto"], ["../../schemas"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
