//! How the program is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| env::var(name).unwrap_or_default();
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        // Relative relocations take 8 bytes for 64 pointers and not 24 for each: the loader reads all of them at every start,
        // so every sidecar would hold a megabyte of them.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        // What hardly ever runs lies apart from what does, whose pages are read in together.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,keep-text-section-prefix");
    }
}
