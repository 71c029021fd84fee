//! What a path asks for.

use percent_encoding::percent_decode_str;

use crate::record::RunId;

/// Most runs that are put side by side.
const MOST_COMPARED: usize = 100;

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The list of runs, from this one back.
    Runs { before: Option<RunId> },
    /// Changes of that list, which was in this state.
    RunsChanges { state: String },
    /// A run.
    Run { run: RunId, verify: bool },
    /// Changes of a run's page, which shows the event log up to this place.
    RunChanges { run: RunId, from: u64 },
    /// Runs side by side.
    Compare { runs: Vec<RunId> },
    /// The list of releases.
    Releases,
    /// A release.
    Release { name: String, verify: bool },
    /// An artifact or a stage; without a name, where to look for one.
    Lineage { of: Option<String> },
}

/// Reads the path behind the token, and the query. None for what there is not.
pub(super) fn route(path: &str, query: Option<&str>) -> Option<Route> {
    let query = Query(query.unwrap_or_default());
    let verify = query.first("verify").as_deref() == Some("yes");
    let segments: Option<Vec<String>> = path.split('/').map(decoded).collect();
    let segments = segments?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    Some(match segments[..] {
        [""] => Route::Runs {
            before: match query.first("before") {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            },
        },
        ["changes"] => Route::RunsChanges { state: query.first("state").unwrap_or_default() },
        ["run", run] => Route::Run { run: run.parse().ok()?, verify },
        ["changes", run] => {
            let from = query.first("from").and_then(|from| from.parse().ok()).unwrap_or(0);
            Route::RunChanges { run: run.parse().ok()?, from }
        }
        ["compare"] => {
            let runs = query.all("run").take(MOST_COMPARED);
            Route::Compare { runs: runs.map(|run| run.parse().ok()).collect::<Option<_>>()? }
        }
        ["releases"] => Route::Releases,
        ["release", name] => Route::Release { name: name.to_owned(), verify },
        ["lineage"] => Route::Lineage {
            of: query.first("of").map(|of| of.trim().to_owned()).filter(|of| !of.is_empty()),
        },
        _ => return None,
    })
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

struct Query<'a>(&'a str);

impl Query<'_> {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.filter(move |(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    fn first(&self, name: &str) -> Option<String> {
        self.all(name).next()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_that_there_are() {
        let id = "0192e4a0-7c1e-7f3a-9d55-1b8f1d7f6a10";
        let run: RunId = id.parse().unwrap();
        let found = |path: &str, query: &str| route(path, Some(query)).unwrap();
        assert_eq!(found("", ""), Route::Runs { before: None });
        assert_eq!(found("", &format!("before={id}")), Route::Runs { before: Some(run) });
        assert_eq!(found(&format!("run/{id}"), "verify=yes"), Route::Run { run, verify: true });
        assert_eq!(found(&format!("run/{id}"), "verify=1"), Route::Run { run, verify: false });
        assert_eq!(found(&format!("changes/{id}"), "from=12"), Route::RunChanges { run, from: 12 });
        let both = format!("run={id}&x=1&run={id}");
        assert_eq!(found("compare", &both), Route::Compare { runs: vec![run, run] });
        let release = |name: &str| Route::Release { name: name.to_owned(), verify: false };
        assert_eq!(found("release/models%2Fv1", ""), release("models/v1"));
        assert_eq!(
            found("release/%2e%2e%2fetc%2Fpasswd", ""),
            release("../etc/passwd"),
            "a name of no release"
        );
        assert_eq!(found("lineage", "of=+train%5B1%5D+"), Route::Lineage { of: Some("train[1]".to_owned()) });
        assert_eq!(found("lineage", "of="), Route::Lineage { of: None });
    }

    #[test]
    fn nothing_else_is_a_path() {
        for path in [
            "run",
            "run/",
            "run/..",
            "run/last",
            "run/../../etc/passwd",
            "run/%2e%2e",
            "..",
            "../x",
            "/",
            "x",
            "releases/",
            "run/0192E4A0-7C1E-7F3A-9D55-1B8F1D7F6A10",
            "release/%ff",
            "%00",
            "lineage/x",
            "runs",
            "index.html",
        ] {
            assert_eq!(route(path, None), None, "{path}");
        }
        assert_eq!(route("", Some("before=x")), None);
        assert_eq!(route("compare", Some("run=x")), None);
    }
}
