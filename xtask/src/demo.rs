//! `cargo xtask demo`: from a fresh clone to a model that is ready to deploy, and what came out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    Outcome, native, root,
    step::{self, bytes, cargo, say, seconds},
};

/// The example's pipeline, from its folder.
const PIPELINE: &str = "pipelines/quickstart.yaml";

/// Results that the demo prints, by file name, in this order. The others are listed.
const SHOWN: [&str; 2] = ["comparison.md", "checklist.md"];

/// Fetches, builds, runs the quickstart, shows its tables. The arguments go to `stagewright run`.
pub fn run(arguments: &[String]) -> Outcome {
    let started = Instant::now();
    native::run(&native::Request::default())?;
    step::run("build", &mut cargo(&["build", "--release", "--workspace", "--exclude", "xtask", "--bins"]))?;

    let project = root().join("examples/quickstart");
    let pipeline = project.join(PIPELINE);
    if !pipeline.is_file() {
        return Err(format!("{} is missing from this clone", pipeline.display()));
    }
    let mut stagewright = Command::new(release_folder()?.join("stagewright"));
    stagewright.current_dir(&project).args(["run", PIPELINE]).args(arguments);
    let ran = step::run("run", &mut stagewright);
    // A checklist with a missed target fails the run, and its table says why.
    show(&project.join("results"))?;
    if ran.is_err() {
        say("Note", "the run failed; what it did not reach is of an earlier run");
    }
    say("Finished", format_args!("the demo in {}", seconds(started.elapsed())));
    ran
}

/// Where cargo puts release builds: beside the folder this program was built into.
fn release_folder() -> Outcome<PathBuf> {
    let own =
        std::env::current_exe().map_err(|error| format!("cannot find out where this program is: {error}"))?;
    match own.parent().and_then(Path::parent) {
        Some(target) => Ok(target.join("release")),
        None => Err(format!("{} is in no target folder; start it as `cargo xtask demo`", own.display())),
    }
}

/// Prints the tables among the results, and says where the rest is.
fn show(results: &Path) -> Outcome {
    let files = files_below(results)?;
    if files.is_empty() {
        say("Results", format_args!("none under {}", results.display()));
        return Ok(());
    }
    for wanted in SHOWN {
        for (path, _) in files.iter().filter(|(path, _)| path.ends_with(wanted)) {
            let text = fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            println!("\n{}\n", text.trim_end());
        }
    }
    say("Results", format_args!("under {}", results.display()));
    for (path, size) in &files {
        say("", format_args!("{} ({})", path.strip_prefix(results).unwrap_or(path).display(), bytes(*size)));
    }
    Ok(())
}

/// All files below a folder with their sizes, sorted; none if there is no such folder.
fn files_below(folder: &Path) -> Outcome<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop().filter(|folder| folder.is_dir()) {
        let failed = |error| format!("cannot list {}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => waiting.push(path),
                Ok(metadata) => found.push((path, metadata.len())),
                Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_at_any_depth_and_none_is_no_error() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(files_below(&folder.path().join("results")), Ok(Vec::new()));
        for (path, text) in [("b/checklist.md", "ok"), ("a.json", "{}{}"), ("b/c/d.png", "p")] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        let found = files_below(folder.path()).expect("found");
        let names: Vec<_> = found
            .iter()
            .map(|(path, size)| (path.strip_prefix(folder.path()).unwrap_or(path), *size))
            .collect();
        let wanted =
            [(Path::new("a.json"), 4), (Path::new("b/c/d.png"), 1), (Path::new("b/checklist.md"), 2)];
        assert_eq!(names, wanted);
        assert_eq!(show(folder.path()), Ok(()));
    }

    #[test]
    fn the_release_folder_is_beside_this_programs_own() {
        assert_eq!(release_folder().expect("a folder").file_name(), Some("release".as_ref()));
    }
}
