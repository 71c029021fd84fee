//! Where the project's files come from.

use std::path::Path;

use git2::Repository;

/// Address of the repository's `origin`, without what may be secret in it: user, password, query. None for a folder of this
/// machine, which would mean nothing elsewhere.
pub fn source_address(root: &Path) -> Option<String> {
    let repository = Repository::discover(root).ok()?;
    let remote = repository.find_remote("origin").ok()?;
    public_address(remote.url().ok()?)
}

fn public_address(url: &str) -> Option<String> {
    if let Some((scheme, rest)) = url.split_once("://") {
        if !matches!(scheme, "https" | "http" | "ssh" | "git") {
            return None;
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/')?;
        let host = authority.rsplit('@').next().unwrap_or_default();
        return (!host.is_empty()).then(|| format!("{scheme}://{host}/{path}"));
    }
    // `user@host:path`, as scp writes it.
    let (host, path) = url.split_once(':')?;
    let host = host.rsplit('@').next().unwrap_or_default();
    let plain = !host.is_empty() && !host.contains('/') && !path.is_empty();
    plain.then(|| format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_secrets() {
        for (url, shown) in [
            ("https://ada:ghp_x@git.example/a/b.git", Some("https://git.example/a/b.git")),
            ("https://git.example/a/b.git?token=x#y", Some("https://git.example/a/b.git")),
            ("ssh://git@git.example:2222/a/b", Some("ssh://git.example:2222/a/b")),
            ("git@git.example:a/b.git", Some("ssh://git.example/a/b.git")),
            ("file:///srv/git/a.git", None),
            ("/srv/git/a.git", None),
            ("../a.git", None),
        ] {
            assert_eq!(public_address(url).as_deref(), shown, "{url}");
        }
    }
}
