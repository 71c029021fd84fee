//! The one comment on a pull request: made once, and from then on changed.

use serde::Deserialize;

use super::CiError;

/// Most characters of a comment that GitHub takes.
pub const LONGEST_COMMENT: usize = 65_536;

/// Comments of a pull request that are looked through, newest pages last.
const MOST_PAGES: u32 = 50;
/// Comments a page.
const PAGE: u32 = 100;

/// A comment to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// A line that nobody sees and by which it is found again.
    pub marker: String,
    /// Its whole text, the marker first.
    pub body: String,
}

/// What came of posting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// There was none; it was written.
    Created,
    /// There was one with another text.
    Updated,
    /// It was there already.
    Same,
}

/// The comment about a pipeline.
pub fn comment(pipeline: &str, summary: &str, run_url: Option<&str>) -> Comment {
    // What ends a comment of HTML or stands in a tag is not in a name that could get in here.
    let name: String = pipeline
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_. ".contains(*c))
        .collect::<String>()
        .replace("--", "-");
    let marker = format!("<!-- stagewright: {name} -->");
    let link = run_url.map(|url| format!("\n[The job]({url})\n")).unwrap_or_default();
    Comment { body: format!("{marker}\n{summary}{link}"), marker }
}

/// Comments of a pull request at a code host.
pub trait Comments {
    /// One page of them, from 1; empty behind the last one.
    fn page(&self, page: u32, size: u32) -> impl Future<Output = Result<Vec<Found>, CiError>>;
    /// Writes a new one.
    fn create(&self, body: &str) -> impl Future<Output = Result<(), CiError>>;
    /// Changes one.
    fn update(&self, id: u64, body: &str) -> impl Future<Output = Result<(), CiError>>;
}

/// A comment that is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// By which it is changed.
    pub id: u64,
    /// Its text.
    #[serde(default)]
    pub body: Option<String>,
}

/// Makes sure that the comment is there, once. Posting the same again changes nothing.
pub async fn post(comments: &impl Comments, comment: &Comment) -> Result<Posted, CiError> {
    for page in 1..=MOST_PAGES {
        let found = comments.page(page, PAGE).await?;
        let last = found.len() < PAGE as usize;
        for Found { id, body } in found {
            let body = body.unwrap_or_default();
            if !body.starts_with(&comment.marker) {
                continue;
            }
            // GitHub gives line ends as it likes.
            if body.replace('\r', "").trim_end() == comment.body.trim_end() {
                return Ok(Posted::Same);
            }
            comments.update(id, &comment.body).await?;
            return Ok(Posted::Updated);
        }
        if last {
            break;
        }
    }
    comments.create(&comment.body).await?;
    Ok(Posted::Created)
}
