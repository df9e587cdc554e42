//! Makes the stubs from the contract; protoc comes with `protoc-bin-vendored`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::env::set_var("PROTOC", protoc_bin_vendored::protoc_bin_path()?);
    // Methods that a tier may leave out answer UNIMPLEMENTED, which is fine.
    tonic_prost_build::configure().build_client(false).generate_default_stubs(true).compile_protos(
        &["../../../proto/livequery/v1/livequery.proto"],
        &["../../../proto"],
    )?;
    Ok(())
}
