//! What may not leave the machine is taken out of a statement before it is signed.
//!
//! A statement is made to be shared and kept for years, and params, commands, file names and error texts come from anywhere. So
//! every text of it goes through here: values of the environment's secret-looking variables, credentials in addresses, what
//! looks like a token or a private key, values under secret-looking names, home folders and the machine's name. Rather too
//! much than too little is replaced, always by a visible mark.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::{Sensitive, is_secretive};

/// What stands where a secret stood.
const MARK: &str = "[redacted]";

/// The word in [`MARK`]: what is looked through twice is not marked twice.
const MARKED: &str = "redacted";

/// Beginnings of tokens of well-known services.
const TOKENS: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "sk-",
    "sk_live_",
    "hf_",
    "AKIA",
    "ASIA",
    "AIza",
    "npm_",
    "pypi-",
    "dop_v1_",
    "ya29.",
];

/// Shortest text that a token's beginning makes a token.
const SHORTEST_TOKEN: usize = 16;

/// Shorter machine names are words.
const SHORTEST_HOST: usize = 4;

/// Takes secrets out of texts.
#[derive(Clone)]
pub struct Redactor {
    /// What is replaced wherever it stands, the longest first.
    needles: Vec<(String, &'static str)>,
    /// The machine's name, replaced in texts that people wrote.
    host: Option<String>,
}

impl Redactor {
    /// For a project in `root` on this machine.
    pub fn new(root: &Path, sensitive: &Sensitive) -> Self {
        let mut needles: Vec<(String, &'static str)> =
            sensitive.secrets.iter().map(|secret| (secret.clone(), MARK)).collect();
        let mut place = |path: &Path, mark| {
            let text = path.to_string_lossy().trim_end_matches('/').to_owned();
            if text.len() > 1 {
                needles.push((text, mark));
            }
        };
        place(root, "<project>");
        if let Some(home) = &sensitive.home {
            place(home, "~");
        }
        needles.sort_by_key(|(needle, _)| std::cmp::Reverse(needle.len()));
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = Some(host).filter(|host| host.len() >= SHORTEST_HOST && host != "localhost");
        Self { needles, host }
    }

    /// A text that names something of ours: everything but the machine's name is taken out, which could be a word.
    pub fn name(&self, text: &str) -> String {
        if self.is_harmless(text) { text.to_owned() } else { self.name_with_care(text) }
    }

    fn is_harmless(&self, text: &str) -> bool {
        looks_harmless(text) && !self.needles.iter().any(|(needle, _)| text.contains(needle.as_str()))
    }

    fn name_with_care(&self, text: &str) -> String {
        if text.contains("PRIVATE KEY-----") {
            return MARK.to_owned();
        }
        let mut text = text.to_owned();
        for (needle, mark) in &self.needles {
            if text.contains(needle.as_str()) {
                text = text.replace(needle.as_str(), mark);
            }
        }
        text = credentials(&text);
        text = homes(&text);
        words(&text)
    }

    /// A text that people or programs wrote.
    pub fn text(&self, text: &str) -> String {
        let text = self.name(text);
        match &self.host {
            Some(host) => replace_word(&text, host, "[host]"),
            None => text,
        }
    }

    /// A value that people wrote: texts, and whatever has a secret-looking name.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                let field = |(name, item): (&String, &Value)| {
                    let secret = item.is_string() && is_secretive(name);
                    (self.text(name), if secret { Value::from(MARK) } else { self.value(item) })
                };
                Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    /// A whole JSON text, at the end: what got in somewhere else. Nearly always all of it stays, and then it is only looked
    /// through, because that of a run is long.
    pub fn scrub_text(&self, json: Vec<u8>) -> Result<Vec<u8>, serde_json::Error> {
        if strings(&json)
            .all(|text| text.is_some_and(|text| self.is_harmless(text) || self.name_with_care(text) == text))
        {
            return Ok(json);
        }
        let mut value: Value = serde_json::from_slice(&json)?;
        self.scrub(&mut value);
        serde_json::to_vec(&value)
    }

    /// A whole value. In place, since nearly all of it stays.
    pub fn scrub(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.is_harmless(text) => {}
            Value::String(text) => *text = self.name_with_care(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.scrub(item)),
            Value::Object(fields) => {
                if !fields.keys().all(|name| self.is_harmless(name)) {
                    *fields = std::mem::take(fields)
                        .into_iter()
                        .map(|(name, item)| (self.name(&name), item))
                        .collect();
                }
                fields.values_mut().for_each(|item| self.scrub(item));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The strings of a JSON text, names of fields as well, in order; none for one that is not spelled out as it is.
fn strings(json: &[u8]) -> impl Iterator<Item = Option<&str>> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|&byte| byte == b'"')? + 1;
        let length = rest[start..].iter().position(|&byte| byte == b'"')?;
        let text = &rest[start..start + length];
        rest = &rest[start + length + 1..];
        // Behind a backslash the quotation mark may not be the end, so nothing is known of the rest either.
        Some(std::str::from_utf8(text).ok().filter(|text| !text.contains('\\')))
    })
}

/// True for texts that hold nothing to take out by their looks alone: digests, words and paths. Most of a statement is that, and
/// looking through it with care would take longer than all else that a run with nothing to do does.
fn looks_harmless(text: &str) -> bool {
    let hash = text.strip_prefix("sha256:").unwrap_or(text);
    if hash.len() >= 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b':')) {
        return true;
    }
    // A secret follows a name behind `=`, `:` or a flag, as do credentials a scheme; folders of people have a slash before them.
    let (mut longest, mut length, mut slash) = (0, 0, false);
    let plain = text.bytes().all(|byte| {
        length = if byte == b' ' { 0 } else { length + 1 };
        longest = longest.max(length);
        slash |= byte == b'/';
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ' | b'.' | b'/')
    });
    let has = |part: &&str| text.contains(*part);
    let folder = slash && ["/home/", "/Users/", "/root"].iter().any(has);
    let token = longest >= SHORTEST_TOKEN && text.split(' ').any(is_token);
    plain && !folder && !token && !["--", "eyJ"].iter().any(has)
}

/// `scheme://user:secret@host` without what is before the `@`.
fn credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>' | '?' | '#'))
            .unwrap_or(tail.len());
        let authority = &tail[..end];
        out.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

/// Home folders, also of other people.
fn homes(text: &str) -> String {
    let mut text = text.to_owned();
    for parent in ["/home/", "/Users/"] {
        let mut from = 0;
        while let Some(at) = text[from..].find(parent).map(|at| at + from) {
            let name = at + parent.len();
            let end = text[name..]
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
                .map_or(text.len(), |end| end + name);
            // `/data/home/x` is somebody's folder as well; `/home/` alone is nobody's.
            if end > name {
                text.replace_range(at..end, "~");
            }
            from = at + 1;
        }
    }
    replace_word(&text, "/root", "~")
}

fn is_token(word: &str) -> bool {
    word.len() >= SHORTEST_TOKEN && TOKENS.iter().any(|begin| word.starts_with(begin))
}

/// Tokens by their looks, and what follows `password=`, `--token ` and the like.
fn words(text: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '~' | '%');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Set after a secret-looking name and what can stand between it and its value.
    let mut armed = false;
    while let Some(start) = rest.find(part) {
        let between = &rest[..start];
        out.push_str(between);
        let tail = &rest[start..];
        let end = tail.find(|c: char| !part(c)).unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        let joined = armed && !between.is_empty();
        // A JSON Web Token has three parts; the base64 of any JSON text begins like one.
        let token = is_token(word) || (word.starts_with("eyJ") && word.matches('.').count() == 2);
        out.push_str(if token || (joined && word != MARKED) { MARK } else { word });
        let flag = word.starts_with("--");
        let next = after.trim_start_matches(['"', '\'']);
        armed = is_secretive(word)
            && (next.starts_with('=') || next.starts_with(':') || (flag && next.starts_with(' ')));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Replaces a word where no letter or digit touches it.
fn replace_word(text: &str, word: &str, mark: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        out.push_str(before);
        let whole = !touches(out.chars().next_back()) && !touches(after.chars().next());
        out.push_str(if whole { mark } else { word });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn what_looks_harmless_is(
            text in "(sha256:)?[0-9a-f]{60,70}(:[0-9]{1,4})?|((eyJ|ghp_|sk-|--token|pwd|api_key|/home/|/root|https://)?[ a-zA-Z0-9_.:=/-]{0,9}){0,4}"
        ) {
            if looks_harmless(&text) {
                let redactor = Redactor { needles: Vec::new(), host: None };
                prop_assert_eq!(redactor.name_with_care(&text), text);
            }
        }
    }

    fn redactor() -> Redactor {
        let sensitive = Sensitive {
            home: Some("/home/ada".into()),
            secrets: vec!["hunter2hunter2".to_owned(), "/odd/secret".to_owned()],
        };
        Redactor {
            host: Some("build-7".to_owned()),
            ..Redactor::new(Path::new("/home/ada/work/cnn"), &sensitive)
        }
    }

    #[test]
    fn secrets_go_and_what_looks_like_them_stays() {
        let redactor = redactor();
        for (text, shown) in [
            ("use hunter2hunter2 here", "use [redacted] here"),
            ("https://ada:ghp_1234@git.example/x.git", "https://git.example/x.git"),
            ("s3://key:secret@bucket/a?b=c@d", "s3://bucket/a?b=c@d"),
            ("a ghp_0123456789abcdefghij b", "a [redacted] b"),
            ("eyJhbGciOi.eyJzdWIi.c2ln; eyJhbGciOiJIUzI1NiJ9", "[redacted]; eyJhbGciOiJIUzI1NiJ9"),
            ("sk-learn and sk-image", "sk-learn and sk-image"),
            ("TOKEN=abc ./run --password s3cret x", "TOKEN=[redacted] ./run --password [redacted] x"),
            ("{\"api_key\": \"abc\"}", "{\"api_key\": \"[redacted]\"}"),
            ("max-tokens=512 token count", "max-tokens=512 token count"),
            ("/home/ada/work/cnn/data", "<project>/data"),
            ("/home/ada/x and /home/bob/y and /Users/eve", "~/x and ~/y and ~"),
            ("/root/x /rooted", "~/x /rooted"),
            ("on build-7: failed; build-77", "on [host]: failed; build-77"),
            ("-----BEGIN PRIVATE KEY-----\nabc", "[redacted]"),
            ("ordinary ä text", "ordinary ä text"),
        ] {
            assert_eq!(redactor.text(text), shown);
            assert_eq!(redactor.text(shown), shown, "once is enough");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_scrubbed_like_its_value(
            texts in proptest::collection::vec("(/home/ada/|hunter2hunter2|\"|\\\\|token=|ü|ghp_0123456789abcdef)?[ a-z/._-]{0,12}", 1..5)
        ) {
            let mut value = json!({ "list": texts, "map": { (texts[0].as_str()): 1, "plain": "sha256:0" } });
            let text = redactor().scrub_text(serde_json::to_vec(&value).unwrap()).unwrap();
            redactor().scrub(&mut value);
            prop_assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn values_are_walked_and_numbers_stay() {
        let value = json!({
            "token": "abc", "lr": 0.1, "password": 5, "list": ["/home/ada/x", {"apiKey": "k", "name": "build-7"}],
            "/home/ada": 1,
        });
        assert_eq!(
            redactor().value(&value),
            json!({
                "token": "[redacted]", "lr": 0.1, "password": 5,
                "list": ["~/x", {"apiKey": "[redacted]", "name": "[host]"}], "~": 1,
            })
        );
    }
}
