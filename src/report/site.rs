//! Where a page stands that is served beside others.

/// Surroundings of a page that is served. Links between pages are relative, so no page holds the address that it is served under.
#[derive(Debug, Clone)]
pub struct Site {
    /// Name of the project.
    pub project: String,
    /// Which of the site's parts the page belongs to.
    pub part: Part,
    /// How deep the page lies: 0 for the first page and its neighbours, 1 for those in a folder.
    pub depth: usize,
    /// Where changes of the page are told, relative to it; none for a page that stays as it is.
    pub live: Option<String>,
}

/// A part of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Runs.
    Runs,
    /// Releases.
    Releases,
    /// Artifacts and what they were made from.
    Lineage,
}

impl Part {
    /// All of them in the order of the menu: name, and address from the first page.
    pub(super) const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Runs, "Runs", "."),
        (Self::Releases, "Releases", "releases"),
        (Self::Lineage, "Lineage", "lineage"),
    ];
}

impl Site {
    /// Address of another page, from this one. `path` is relative to the first page.
    pub(super) fn to(&self, path: &str) -> String {
        format!("{}{path}", "../".repeat(self.depth))
    }

    /// Address of the page of a run.
    pub(super) fn run(&self, run: &str) -> String {
        self.to(&format!("run/{}", escaped(run)))
    }

    /// Address of the page of a release.
    pub(super) fn release(&self, name: &str) -> String {
        self.to(&format!("release/{}", escaped(name)))
    }

    /// Address of the page on an artifact, by its SHA-256, its stage or the beginning of either.
    pub(super) fn lineage(&self, of: &str) -> String {
        self.to(&format!("lineage?of={}", escaped(of)))
    }
}

/// A text as one segment of an address, or one value of a query: everything but letters, digits and `-._~` by its bytes.
pub fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && text.len() > 2) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_segment() {
        let found = ["v1.2", "..", ".", "a/b", "ü?#&=%", "\"><script>"].map(escaped);
        assert_eq!(found, ["v1.2", "%2E%2E", "%2E", "a%2Fb", "%C3%BC%3F%23%26%3D%25", "%22%3E%3Cscript%3E"]);
        let site = Site { project: "p".to_owned(), part: Part::Runs, depth: 1, live: None };
        assert_eq!(site.release("a/b"), "../release/a%2Fb");
        assert_eq!(site.run("1"), "../run/1");
        assert_eq!(site.lineage("train[lr=1]"), "../lineage?of=train%5Blr%3D1%5D");
    }
}
