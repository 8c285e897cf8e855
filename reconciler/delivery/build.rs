//! Generates the messages and stubs of schemas/delivery.proto; no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../schemas/delivery.proto");
    let files = protox::compile(["delivery.proto"], ["../../schemas"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
