//! Makes the stubs from the contract; protoc comes with `protoc-bin-vendored`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::env::set_var("PROTOC", protoc_bin_vendored::protoc_bin_path()?);
    tonic_prost_build::configure().build_client(false).compile_protos(
        &["../../../proto/livequery/v1/livequery.proto"],
        &["../../../proto"],
    )?;
    Ok(())
}
