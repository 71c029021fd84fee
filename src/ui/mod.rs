//! The project's pages in a browser, for whoever sits at this machine.
//!
//! ```text
//! request ─gate→ path ─route→ Route ─pages→ one of `report`'s pages ─reply→ response
//!            └ 403, 405            └ changes of a page that is looked at ─live→ server-sent events
//! ```
//!
//! It listens on 127.0.0.1 only, answers GET and HEAD only and changes nothing. The address holds a random token, because other
//! users of the machine can connect as well; the Host header is checked, because a name of somebody else's may be made to lead
//! here. What the pages show was written by pipelines, stages and data, so they come with the policy of the reports: no script
//! but their own runs, and nothing is loaded from elsewhere.

mod error;
mod gate;
mod live;
mod pages;
mod reply;
mod route;
mod serve;
mod watch;

pub use error::UiError;
pub use gate::{Gate, Refusal, Token};
pub use pages::Pages;
pub use serve::{PORT, Server};
