//! DVC's configuration files: `[section]` or `['remote "name"']`, and `key = value` under it.

use std::collections::BTreeMap;

/// Sections by name, and in each of them values by key.
pub(super) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Reads a text over what is known already; a later value takes the place of an earlier one.
pub(super) fn read(text: &str, sections: &mut Sections) {
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().trim_matches('\'').to_owned();
            sections.entry(section.clone()).or_default();
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim();
            let plain = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            let value = plain.unwrap_or(value).to_owned();
            sections.entry(section.clone()).or_default().insert(key.trim().to_owned(), value);
        }
    }
}

/// The remotes with their keys.
pub(super) fn remotes(sections: &Sections) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
    sections.iter().filter_map(|(name, keys)| {
        let name = name.strip_prefix("remote")?.trim().strip_prefix('"')?.strip_suffix('"')?;
        Some((name, keys))
    })
}
