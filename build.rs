//! Builds the observer (`src/observer/lib.rs`): the shared object that `hopwatch run` preloads into the processes it
//! watches. It is compiled apart from the crate, without `std` and without any library, so that one file loads into
//! every dynamically linked program of the machine. The crate includes the result as bytes.
//!
//! Targets without an observer (not Linux, no assembly for the architecture) get an empty file. Packagers who build the
//! object themselves name it in `HOPWATCH_OBSERVER_SO`.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// Architectures that `src/observer/` has the assembly for.
const ARCHITECTURES: [&str; 1] = ["x86_64"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/observer");
    println!("cargo::rerun-if-env-changed=HOPWATCH_OBSERVER_SO");
    if env::var_os("CARGO_FEATURE_CLI").is_none() {
        return Ok(());
    }
    let object = PathBuf::from(env::var("OUT_DIR")?).join("libhopwatch_observer.so");
    if let Some(path) = env::var_os("HOPWATCH_OBSERVER_SO") {
        let path = PathBuf::from(path);
        println!("cargo::rerun-if-changed={}", path.display());
        fs::copy(&path, &object).map_err(|error| format!("HOPWATCH_OBSERVER_SO={}: {error}", path.display()))?;
        return Ok(());
    }
    let linux = env::var("CARGO_CFG_TARGET_OS")? == "linux";
    let known = ARCHITECTURES.contains(&env::var("CARGO_CFG_TARGET_ARCH")?.as_str());
    let wide = env::var("CARGO_CFG_TARGET_POINTER_WIDTH")? == "64";
    if !(linux && known && wide) {
        fs::write(&object, [])?;
        return Ok(());
    }

    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc
        .args(["src/observer/lib.rs", "--crate-name=hopwatch_observer", "--crate-type=cdylib", "--edition=2024"])
        .args(["--cfg=hopwatch_observer", "--check-cfg=cfg(hopwatch_observer,test)"])
        .arg(format!("--target={}", env::var("TARGET")?))
        .args(["-Copt-level=3", "-Cpanic=abort", "-Ccodegen-units=1", "-Cstrip=symbols"])
        .args(["-Cdebug-assertions=no", "-Coverflow-checks=no"])
        // Thread cancellation unwinds through the hooks of blocking calls.
        .arg("-Cforce-unwind-tables=yes")
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nodefaultlibs", "-Clink-arg=-Wl,--gc-sections"])
        .args(["-Clink-arg=-Wl,-z,initfirst", "-Clink-arg=-Wl,-z,now", "-Clink-arg=-Wl,-z,nodelete"]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "musl") {
        rustc.arg("-Ctarget-feature=-crt-static");
    }
    rustc.arg("-o").arg(&object);
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("the observer does not build: {rustc:?}").into());
    }
    Ok(())
}
