//! The `.gitignore` beside tracked data.

use std::{fs, path::Path};

use super::{TrackError, pointer::write_whole};

/// Adds the data to the `.gitignore` beside it, as DVC does: `/name`. True when it was not there.
pub(super) fn ignore(data: &Path) -> Result<bool, TrackError> {
    let (Some(folder), Some(name)) = (data.parent(), data.file_name().and_then(|name| name.to_str())) else {
        return Ok(false);
    };
    let file = folder.join(".gitignore");
    let rule = rule(name);
    let old = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(TrackError::io("read", &file)(error)),
    };
    if old.lines().any(|line| line == rule) {
        return Ok(false);
    }
    let separator = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    write_whole(&file, &format!("{old}{separator}{rule}\n"))?;
    Ok(true)
}

/// A rule that means this name and no other: what git would read as a pattern is escaped.
fn rule(name: &str) -> String {
    let mut rule = String::from("/");
    for c in name.chars() {
        if "*?[]\\!#".contains(c) {
            rule.push('\\');
        }
        rule.push(c);
    }
    // Git drops blanks at the end.
    match rule.strip_suffix(' ') {
        Some(start) => format!("{start}\\ "),
        None => rule,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rule_is_added_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".gitignore"), "/other").unwrap();
        assert!(ignore(&folder.path().join("data")).unwrap());
        assert!(!ignore(&folder.path().join("data")).unwrap());
        assert!(ignore(&folder.path().join("a*[1] ")).unwrap());
        assert_eq!(
            fs::read_to_string(folder.path().join(".gitignore")).unwrap(),
            "/other\n/data\n/a\\*\\[1\\]\\ \n"
        );
    }
}
