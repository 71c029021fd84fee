//! DVC's listing of a folder, the object that ends in `.dir`.
//!
//! Its bytes are hashed, so they are written as Python's `json.dumps(list, sort_keys=True)` writes them: `", "` and `": "` between
//! things, all that is not printable ASCII as a `\u` escape of four hex digits (two of them above U+FFFF), sorted by path, no
//! newline at the end.

use serde::Deserialize;

use crate::digest::Md5;

/// A file in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Relative to the folder, with `/`; a plain path that does not leave it.
    pub path: String,
    /// Content.
    pub md5: Md5,
}

/// DVC's listing of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirListing {
    entries: Vec<DirEntry>,
}

#[derive(Deserialize)]
struct Written {
    md5: String,
    relpath: String,
}

impl DirListing {
    /// Sorts entries into a listing.
    pub fn new(mut entries: Vec<DirEntry>) -> Self {
        // Code points order as their UTF-8 bytes do.
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Self { entries }
    }

    /// The files in order.
    pub fn entries(&self) -> &[DirEntry] {
        &self.entries
    }

    /// The bytes that DVC hashes.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::from("[");
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(&format!("{{\"md5\": \"{}\", \"relpath\": ", entry.md5));
            quote(&entry.path, &mut text);
            text.push('}');
        }
        text.push(']');
        text.into_bytes()
    }

    /// Reads a listing; one that leaves the folder, or names a path twice, is refused. Fields that we do not know are passed over.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let written: Vec<Written> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut entries = Vec::with_capacity(written.len());
        for Written { md5, relpath } in written {
            let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
            if !relpath.split('/').all(plain) {
                return Err(format!("the path {relpath:?} leaves the folder"));
            }
            entries.push(DirEntry { md5: md5.parse()?, path: relpath });
        }
        let listing = Self::new(entries);
        for pair in listing.entries.windows(2) {
            let (first, second) = (&pair[0].path, &pair[1].path);
            if first == second {
                return Err(format!("the path {first:?} is there twice"));
            }
        }
        // A file can't be a folder too; what lies below it does not always follow at once.
        let paths: std::collections::BTreeSet<&str> =
            listing.entries.iter().map(|entry| entry.path.as_str()).collect();
        for path in &paths {
            let mut rest = *path;
            while let Some((folder, _)) = rest.rsplit_once('/') {
                if paths.contains(folder) {
                    return Err(format!("{folder:?} is a file and a folder"));
                }
                rest = folder;
            }
        }
        Ok(listing)
    }

    /// MD5 of the listing, which names the folder.
    pub fn md5(&self) -> Md5 {
        Md5::of(&self.encode())
    }
}

/// A text as Python's JSON has it.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn listing(paths: &[&str]) -> DirListing {
        DirListing::new(
            paths
                .iter()
                .map(|path| DirEntry { path: (*path).to_owned(), md5: Md5::of(path.as_bytes()) })
                .collect(),
        )
    }

    #[test]
    fn bytes_are_those_of_python() {
        let text = String::from_utf8(
            listing(&["ünï-日本-😀.txt", "sub/a b.txt", "sub.x", "\"\\\n\u{7f}\u{1}"]).encode(),
        )
        .unwrap();
        insta::assert_snapshot!(text);
        assert_eq!(listing(&[]).md5().to_string(), "d751713988987e9331980363e24189ce");
    }

    #[test]
    fn what_leaves_the_folder_is_refused() {
        let md5 = Md5::of(b"");
        for path in ["../x", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a/", "..", "a\0b"] {
            let text = serde_json::json!([{"md5": md5.to_string(), "relpath": path}]).to_string();
            assert!(DirListing::decode(text.as_bytes()).is_err(), "{path:?}");
        }
        for paths in [["a", "a"], ["a", "a/b"], ["a/b/c", "a"]] {
            let entries = paths.map(|path| serde_json::json!({"md5": md5.to_string(), "relpath": path}));
            assert!(
                DirListing::decode(serde_json::json!(entries).to_string().as_bytes()).is_err(),
                "{paths:?}"
            );
        }
        // `a.x` sorts between `a` and `a/b`.
        let entries =
            ["a", "a.x", "a/b"].map(|path| serde_json::json!({"md5": md5.to_string(), "relpath": path}));
        assert!(DirListing::decode(serde_json::json!(entries).to_string().as_bytes()).is_err());
        assert!(DirListing::decode(b"[{\"md5\": \"x\", \"relpath\": \"a\"}]").is_err());
        assert!(DirListing::decode(b"{").is_err());
    }

    proptest! {
        #[test]
        fn decode_is_the_inverse_of_encode(names in prop::collection::btree_set("[^/\0]{1,8}", 0..8)) {
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "." && *name != "..").collect();
            let listing = listing(&names);
            prop_assert!(listing.encode().is_ascii());
            prop_assert_eq!(DirListing::decode(&listing.encode()), Ok(listing));
        }
    }
}
