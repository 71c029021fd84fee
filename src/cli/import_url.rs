//! `stagewright import-url` and `stagewright update`.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use clap::Args;
use stagewright::{
    config::Config,
    digest::Md5,
    origin::{Origin, OriginError, Seen},
    store::LocalStore,
    track::{self, Dep, Tracked},
};

use super::{CliError, Exit, Scene, checkout, gc, screen, transfer};

/// Version data from a URL with git, as `add` does, and keep where it came from
///
/// The pointer file says what the server had (its ETag, or the MD5 of a path), so that `update` fetches it again when that has changed. Its
/// format is that of `dvc import-url`.
#[derive(Args)]
pub struct ImportUrlArgs {
    /// https://…, http://…, s3://bucket/key, file:///… or a path
    url: String,
    /// Where it goes [default: the last part of the URL, here]
    out: Option<PathBuf>,
    /// Replace what is there, although it is nowhere else
    #[arg(short, long)]
    force: bool,
}

/// Fetch imported data again where it has changed at its place
#[derive(Args)]
pub struct UpdateArgs {
    /// Data, pointer files or folders [default: all of the project]
    paths: Vec<PathBuf>,
    /// Only say what has changed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Replace data, although you changed it and did not add the change
    #[arg(short, long)]
    force: bool,
}

pub fn import(scene: &Scene, args: &ImportUrlArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let here = scene.path(Path::new("."))?;
    let origin = Origin::parse(&args.url, &here)?;
    let name = || {
        origin.name().ok_or_else(|| {
            CliError::user(format_args!("what is the data of {} to be called?", args.url))
                .hint("name it: `stagewright import-url URL OUT`")
        })
    };
    let data = match &args.out {
        None => here.join(name()?),
        Some(out)
            if scene.folder.join(out).is_dir() && !track::Pointer::file_of(&scene.path(out)?).is_file() =>
        {
            scene.path(out)?.join(name()?)
        }
        Some(out) => scene.path(out)?,
    };
    let place = match &origin {
        // From where the pointer file is, so that it holds in another clone too.
        Origin::Path(path) if Path::new(&args.url).is_relative() && !args.url.contains("://") => {
            relative(data.parent().unwrap_or(&here), &plain(path))
        }
        Origin::Path(path) => path.display().to_string(),
        _ => args.url.clone(),
    };
    let added = bring(&config, &store, &origin, &place, &data, args.force)?;
    let shown = checkout::shown(&config.root, &added.tracked.data);
    println!("{} {shown} ({})", if added.changed { "imported" } else { "unchanged" }, size(&added.tracked));
    let pointer = checkout::shown(&config.root, &added.tracked.file);
    let ignored = added
        .ignored
        .then(|| checkout::shown(&config.root, &added.tracked.file.with_file_name(".gitignore")));
    let files: Vec<String> = added.changed.then_some(pointer).into_iter().chain(ignored).collect();
    if !files.is_empty() {
        println!("for git: git add {}", files.join(" "));
    }
    Ok(Exit::Success)
}

pub fn update(scene: &Scene, args: &UpdateArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let mut imported = Vec::new();
    for tracked in checkout::find(scene, &config, &args.paths)? {
        if let Some(dep) = Dep::read(&tracked.file)? {
            imported.push((tracked, dep));
        }
    }
    if imported.is_empty() {
        println!("no data here was imported; `stagewright import-url URL` imports some");
        return Ok(Exit::Success);
    }
    for (tracked, dep) in imported {
        let shown = checkout::shown(&config.root, &tracked.data);
        let origin = origin(&tracked, &dep)?;
        let seen = transfer::block_on(origin.look(&config, &store))??;
        let word = if seen.tag.as_ref() == Some(&dep.tag) {
            "unchanged"
        } else if args.dry_run {
            if seen.tag.is_some() { "changed" } else { "unknown" }
        } else {
            let added = bring(&config, &store, &origin, &dep.place, &tracked.data, args.force)?;
            if added.changed { "updated" } else { "unchanged" }
        };
        println!("{word:9} {shown}  from {}", dep.place);
    }
    Ok(Exit::Success)
}

/// Where imported data came from.
pub fn origin(tracked: &Tracked, dep: &Dep) -> Result<Origin, OriginError> {
    let folder = tracked.file.parent().unwrap_or(Path::new("."));
    Origin::parse(&dep.place, folder)
}

/// Imported data whose place has something else now, with words. Servers are asked only where that is wanted.
pub fn changed(
    config: &Config,
    tracked: &[Tracked],
    store: &LocalStore,
    servers: bool,
) -> Result<Vec<Vec<String>>, CliError> {
    let mut rows = Vec::new();
    for tracked in tracked {
        let Some(dep) = Dep::read(&tracked.file)? else { continue };
        let origin = origin(tracked, &dep)?;
        if origin.is_remote() && !servers {
            continue;
        }
        let word = match transfer::block_on(origin.look(config, store))? {
            Ok(seen) if seen.tag.as_ref() == Some(&dep.tag) => continue,
            Ok(Seen { tag: None, .. }) => format!("{} does not tell whether it has changed", dep.place),
            Ok(_) => format!("{} has changed; `stagewright update` fetches it", dep.place),
            Err(error) => error.to_string(),
        };
        rows.push(vec![checkout::shown(&config.root, &tracked.data), word]);
    }
    Ok(rows)
}

/// Brings data from its place and takes it under version control.
fn bring(
    config: &Config,
    store: &LocalStore,
    origin: &Origin,
    place: &str,
    data: &Path,
    force: bool,
) -> Result<track::Added, CliError> {
    // Where gc finds what a killed process leaves, and where nobody takes half of it for the data.
    let tmp = store.folder().join("tmp");
    let folder = tempfile::tempdir_in(&tmp)
        .map_err(|error| CliError::environment(format_args!("cannot write to {}: {error}", tmp.display())))?;
    let fresh = folder.path().join("data");
    let seen = transfer::block_on(origin.bring(config, store, &fresh))??;
    let parent = data.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| {
        CliError::environment(format_args!("cannot create {}: {error}", parent.display()))
    })?;
    let tag = match seen.tag {
        Some(tag) => tag,
        // A server that tells nothing is asked for the content every time.
        None => Md5::of_file(&fresh)
            .map_err(|error| CliError::environment(format_args!("cannot read what came: {error}")))?
            .to_string(),
    };
    let dep =
        Dep { place: place.to_owned(), kind: seen.kind.to_owned(), tag, size: seen.size, files: seen.files };
    Ok(track::import(&config.root, data, &fresh, &dep, store, force)?)
}

fn size(tracked: &Tracked) -> String {
    match (tracked.pointer.files, tracked.pointer.size) {
        (Some(files), Some(size)) => format!("{}, {}", screen::count(files, "file"), screen::bytes(size)),
        (_, size) => screen::bytes(size.unwrap_or(0)),
    }
}

/// A path without `.` and `..`, as they are written.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// A path as seen from a folder, both absolute.
fn relative(folder: &Path, path: &Path) -> String {
    let folder = plain(folder);
    let common = folder.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(common).map(|_| "..".to_owned());
    let down = path.components().skip(common).map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

impl From<OriginError> for CliError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Store(error) => error.into(),
            OriginError::Place { .. } => Self::user(&error),
            OriginError::Absent { .. } => Self::user(&error).hint("is it spelled right?"),
            OriginError::Refused { status: 401 | 403, .. } => Self::user(&error)
                .hint("only what anybody may read is fetched over http; for s3:// the credentials come from the environment or a profile"),
            OriginError::Refused { .. } | OriginError::Network { .. } | OriginError::Io { .. } => {
                Self::environment(&error)
            }
        }
    }
}
