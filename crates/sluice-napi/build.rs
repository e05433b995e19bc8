//! Link options of the addon.

fn main() {
    napi_build::setup();
    // Without it the loader unmaps the addon when the last environment that loaded it ends, under running
    // reactor threads: SIGSEGV.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
