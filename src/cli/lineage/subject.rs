//! What a user means by the name of a result.

use std::path::Path;

use stagewright::{
    config::Config,
    lineage::{Kind, Library, LineageError, Node},
    release::{self, ReleaseError},
    store::LocalStore,
};

use crate::cli::CliError;

/// A result: the statement on what made it, and the SHA-256 of the file or folder that is meant; none for all that the stage made.
pub type Meant<'a> = (&'a Node, Option<String>);

/// Finds a file, folder, digest, stage, or stage of a run; or a release, which is all that it delivers.
pub fn find<'a>(
    wanted: &str,
    library: &'a Library,
    config: &Config,
    folder: &Path,
    store: &LocalStore,
) -> Result<Vec<Meant<'a>>, CliError> {
    let unknown = match library.find_in(wanted, config, folder, store) {
        Ok(found) => return Ok(vec![found]),
        Err(error @ LineageError::Unknown { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let release = match release::find(&config.root, wanted) {
        Ok(release) => release,
        Err(ReleaseError::NoRepository | ReleaseError::Unknown { .. }) => return Err(unknown.into()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for (id, stage) in release.manifest.delivered() {
        let mut nodes = stage.statements.iter().filter_map(|digest| library.blob(&digest.hex()));
        let node = nodes.find(|node| node.kind == Kind::Stage).ok_or_else(|| {
            CliError::environment(format_args!(
                "the statement on stage `{id}` of release {wanted} is not here"
            ))
            .hint("`stagewright pull` brings what others have pushed")
        })?;
        all.push((node, None));
    }
    Ok(all)
}
