//! A project in a repository, and the real git in it.

use std::{path::Path, process::Command};

use crate::bench::{Project, programs};

/// A project in a git repository of its own.
pub struct Git {
    pub project: Project,
}

impl Git {
    /// A project with this pipeline at the top of a new repository, nothing committed yet.
    pub fn new(pipeline: &str) -> Self {
        let git = Self { project: Project::new(pipeline) };
        git.git(&["init", "-q", "-b", "main"]);
        git.project.write(".gitignore", "/.stagewright/\n/results/\n");
        git
    }

    /// Runs git in the project: what it prints. Panics when it fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let (code, said) = self.try_git(arguments);
        assert_eq!(code, 0, "git {arguments:?}: {said}");
        said
    }

    /// Runs git in the project: exit code, and what it prints on stdout and stderr.
    pub fn try_git(&self, arguments: &[&str]) -> (i32, String) {
        run(&self.project.path(""), arguments)
    }

    /// Commits everything that is not ignored.
    pub fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// A clone in a folder of its own.
    pub fn clone(&self, options: &[&str]) -> Self {
        let project = Project::empty();
        let from = format!("file://{}", self.project.path("").display());
        let to = project.path("");
        let mut arguments = vec!["clone", "-q"];
        arguments.extend(options);
        arguments.extend([from.as_str(), to.to_str().unwrap()]);
        let (code, said) = run(Path::new("/"), &arguments);
        assert_eq!(code, 0, "{said}");
        Self { project }
    }
}

/// Runs git in a folder, with no configuration but ours and the tests' program in PATH, as hooks want it.
pub fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let path = format!("{}:/usr/bin:/bin", programs().display());
    let done = Command::new("git")
        .args([
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.org",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.code().unwrap_or(-1), said)
}

/// Signed statements on results have their times in them, so sizes differ from run to run.
pub fn sizeless(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut out = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let after_with =
            index > 0 && ["with", "as"].contains(&words[index - 1]) && word.parse::<f64>().is_ok();
        out.push(if after_with { "<size>" } else { word });
    }
    out.join(" ")
}
