//! The page that says why there is no other.

use jiff::Timestamp;
use maud::html;

use super::frame::{Section, page};
use crate::report::site::Site;

/// Says what is wrong, and what to do.
pub fn problem_page(title: &str, message: &str, hint: Option<&str>, now: Timestamp, site: &Site) -> String {
    let body = html! {
        p.bad { (message) }
        @if let Some(hint) = hint { p { "What to do: " (hint) } }
    };
    let head = html! { h1 { (title) } };
    let sections = [Section { id: "problem", title: "What is wrong", body }];
    page(&format!("{title} · {}", site.project), &head, &sections, now, Some(site))
}
