//! stub
use crate::cli::Failure;
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {}
#[derive(Debug, clap::Args)]
pub(super) struct AgentArgs {}
pub(super) fn demo(_: DemoArgs) -> Result<u8, Failure> {
    Ok(0)
}
pub(super) fn agent(_: &AgentArgs) -> Result<u8, Failure> {
    Ok(0)
}
