//! The link arguments of an extension of Node.

fn main() {
    napi_build::setup();
}
