//! What of DVC's configuration matters here.

use std::path::{Path, PathBuf};

use crate::spec::Reader;

/// Settings of a DVC project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Where DVC keeps its objects, relative to the project's root; `cache.dir`.
    pub cache: PathBuf,
    /// A `false` in a map of arguments becomes `--no-<name>`; `parsing.bool`.
    pub negates: bool,
    /// A list in a map of arguments repeats its name; `parsing.list`.
    pub repeats: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache: Path::new(super::FOLDER).join("cache"), negates: false, repeats: false }
    }
}

impl Settings {
    /// Reads `.dvc/config` and, over it, `.dvc/config.local`.
    pub fn read(files: &mut Reader<'_>) -> Self {
        let mut settings = Self::default();
        for name in ["config", "config.local"] {
            if let Ok(text) = files(&format!("{}/{name}", super::FOLDER)) {
                settings.apply(&text);
            }
        }
        settings
    }

    fn apply(&mut self, text: &str) {
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.trim();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = value.trim().trim_matches(['"', '\'']);
            match (section, key.trim()) {
                // Relative to the folder that the configuration lies in.
                ("cache", "dir") => self.cache = Path::new(super::FOLDER).join(value),
                ("parsing", "bool") => self.negates = value == "boolean_optional",
                ("parsing", "list") => self.repeats = value == "append",
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_file_wins() {
        let mut files = |name: &str| match name {
            ".dvc/config" => Ok(
                "[core]\n    remote = x\n[cache]\n    dir = ../../shared\n['remote \"x\"']\n    url = dir\n"
                    .to_owned(),
            ),
            ".dvc/config.local" => {
                Ok("[parsing]\n    bool = \"boolean_optional\"\n    list = append\n".to_owned())
            }
            _ => Err("absent".to_owned()),
        };
        let settings = Settings::read(&mut files);
        assert_eq!(settings.cache, Path::new(".dvc/../../shared"));
        assert!(settings.negates && settings.repeats);
    }
}
