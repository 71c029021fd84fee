//! Secrets: values given to stage programs as variables, and taken out again of everything those say.

use std::{collections::BTreeMap, fmt, io::Read, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// Shortest value, in bytes: a shorter one can't be told from ordinary text, and masking it would garble every log.
pub const SHORTEST_SECRET: usize = 4;

/// Shortest form of a value that is looked for when it is encoded or a part of it.
const SHORTEST_FORM: usize = 6;

/// Values by the name of their variable. Neither `Debug` nor anything else shows them.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, String>);

/// Takes secrets out of what a program says: as they are, inside JSON, URL-encoded, in base64 and in hex.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Patterns>>);

struct Patterns {
    searcher: AhoCorasick,
    forms: Vec<Vec<u8>>,
    longest: usize,
}

impl Patterns {
    /// Where the longest end of a text starts that may be the start of a secret.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let first = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        let opens = |start: &usize| {
            let end = &bytes[*start..];
            self.forms.iter().any(|form| form.len() > end.len() && form.starts_with(end))
        };
        (first..bytes.len()).find(opens).unwrap_or(bytes.len())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Redactor(of secrets)" } else { "Redactor(of nothing)" })
    }
}

impl FromIterator<(String, String)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Secrets {
    /// None at all.
    pub fn none() -> &'static Self {
        static NONE: Secrets = Secrets(BTreeMap::new());
        &NONE
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    /// Those with these names, as far as they are there.
    pub fn only(&self, names: &[String]) -> Self {
        names.iter().filter_map(|name| Some((name.clone(), self.get(name)?.to_owned()))).collect()
    }

    /// Names with values, for the environment of a process.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Takes these out of texts.
    pub fn redactor(&self) -> Redactor {
        let mut forms: Vec<Vec<u8>> = self.0.values().flat_map(|value| forms(value)).collect();
        forms.sort_unstable();
        forms.dedup();
        let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
        if forms.is_empty() {
            return Redactor(None);
        }
        let searcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms);
        match searcher {
            Ok(searcher) => Redactor(Some(Arc::new(Patterns { searcher, forms, longest }))),
            // The automaton has no room only for gigabytes of patterns, which no environment holds.
            Err(error) => {
                tracing::error!(%error, "secrets can't be looked for");
                Redactor(None)
            }
        }
    }
}

impl Redactor {
    /// There is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        match &self.0 {
            Some(patterns) => {
                // Forms begin and end at characters, as all that is replaced is ASCII or a whole value.
                String::from_utf8_lossy(&self.bytes_of(patterns, text.as_bytes())).into_owned()
            }
            None => text.to_owned(),
        }
    }

    fn bytes_of(&self, patterns: &Patterns, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for found in patterns.searcher.find_iter(bytes) {
            out.extend_from_slice(&bytes[at..found.start()]);
            out.extend_from_slice(MASK.as_bytes());
            at = found.end();
        }
        out.extend_from_slice(&bytes[at..]);
        out
    }

    /// A secret is in these bytes.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|patterns| patterns.searcher.is_match(bytes))
    }

    /// A secret is in what can be read.
    pub fn finds_in(&self, mut reader: impl Read) -> std::io::Result<bool> {
        const PIECE: usize = 1 << 18;
        let Some(patterns) = &self.0 else { return Ok(false) };
        // Enough of the piece before stays in front of the next one for a secret that lies across both.
        let mut window = Vec::with_capacity(PIECE + patterns.longest);
        loop {
            let before = window.len();
            let read = (&mut reader).take(PIECE as u64).read_to_end(&mut window)?;
            if patterns.searcher.is_match(&window) {
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            window.drain(..(before + read).saturating_sub(patterns.longest - 1));
        }
    }

    /// The value without secrets, in keys and texts.
    pub fn json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        if self.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(entries) => Value::Object(
                entries.into_iter().map(|(key, value)| (self.text(&key), self.json(value))).collect(),
            ),
            other => other,
        }
    }

    /// A stream that comes in pieces.
    pub fn stream(&self) -> RedactedStream {
        RedactedStream { redactor: self.clone(), held: Vec::new() }
    }
}

/// Takes secrets out of a stream, those that are cut by the ends of its pieces too: what may be the start of one is held back.
#[derive(Debug)]
pub struct RedactedStream {
    redactor: Redactor,
    held: Vec<u8>,
}

impl RedactedStream {
    /// The next piece; gives what can be passed on.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(patterns) = self.redactor.0.clone() else { return bytes.to_vec() };
        self.held.extend_from_slice(bytes);
        // A match from there on could be cut, or go on to be a longer one; one from before could not.
        let safe = patterns.open_end(&self.held);
        let mut out = Vec::new();
        let mut at = 0;
        for found in patterns.searcher.find_iter(&self.held) {
            if found.start() >= safe {
                break;
            }
            out.extend_from_slice(&self.held[at..found.start()]);
            out.extend_from_slice(MASK.as_bytes());
            at = found.end();
        }
        let keep = safe.max(at);
        out.extend_from_slice(&self.held[at..keep]);
        self.held.drain(..keep);
        out
    }

    /// What was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        match &self.redactor.0 {
            Some(patterns) => self.redactor.bytes_of(patterns, &held),
            None => held,
        }
    }
}

/// The forms a value is looked for in.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![value.as_bytes().to_vec()];
    // A value of several lines is often printed line by line.
    let mut parts: Vec<&str> = vec![value];
    parts.extend(value.lines().map(str::trim).filter(|line| *line != value && line.len() >= SHORTEST_FORM));
    for part in parts {
        let mut encoded = vec![part.to_owned()];
        encoded.extend(serde_json::to_string(part).map(|json| json[1..json.len() - 1].to_owned()));
        encoded.extend(url(part));
        encoded.extend(base64(part.as_bytes()));
        encoded.push(hex::encode(part));
        encoded.push(hex::encode_upper(part));
        forms.extend(encoded.into_iter().filter(|form| form.len() >= SHORTEST_FORM).map(String::into_bytes));
    }
    forms
}

/// Percent-encoded, as strictly as can be and as loosely as browsers do, digits in either case; in forms a space is a plus.
fn url(value: &str) -> Vec<String> {
    let encode = |kept: &str, upper: bool, plus: bool| {
        let mut out = String::new();
        for byte in value.bytes() {
            let c = char::from(byte);
            if byte.is_ascii_alphanumeric() || kept.contains(c) && byte.is_ascii() {
                out.push(c);
            } else if plus && byte == b' ' {
                out.push('+');
            } else {
                out.push_str(&if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") });
            }
        }
        out
    };
    let mut forms = Vec::new();
    // RFC 3986's unreserved characters; those that `encodeURIComponent` keeps; those of a form; those of a whole address.
    for kept in ["-._~", "-._~!*'()", "-._*", "-._~!*'();,/?:@&=+$#"] {
        for upper in [true, false] {
            forms.extend([encode(kept, upper, false), encode(kept, upper, true)]);
        }
    }
    forms
}

/// In base64, alone and inside of a longer text, where it may begin at any of three places: then only the characters that are
/// made of nothing else.
fn base64(value: &[u8]) -> Vec<String> {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let encode = |alphabet: &[u8; 64], shift: usize, whole: bool| {
        let bytes: Vec<u8> = std::iter::repeat_n(0, shift).chain(value.iter().copied()).collect();
        let bits = bytes.len() * 8;
        let characters: String = (0..bits.div_ceil(6))
            .map(|index| {
                let six = (0..6).fold(0_usize, |six, bit| {
                    let at = index * 6 + bit;
                    let one = bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
                    six << 1 | usize::from(one)
                });
                char::from(alphabet[six])
            })
            .collect();
        if whole {
            let padding = "=".repeat((4 - characters.len() % 4) % 4);
            return characters + &padding;
        }
        characters[(shift * 8).div_ceil(6)..bits / 6].to_owned()
    };
    let mut forms = Vec::new();
    for alphabet in [STANDARD, URL_SAFE] {
        forms.push(encode(alphabet, 0, true));
        forms.push(encode(alphabet, 0, true).trim_end_matches('=').to_owned());
        forms.extend((0..3).map(|shift| encode(alphabet, shift, false)));
    }
    forms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn redactor(values: &[&str]) -> Redactor {
        let named = values.iter().enumerate().map(|(index, value)| (index.to_string(), (*value).to_owned()));
        named.collect::<Secrets>().redactor()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let redactor = redactor(&["pa$s \"wörd\"/?"]);
        insta::assert_snapshot!([
            "plain pa$s \"wörd\"/? text",
            r#"{"json": "pa$s \"wörd\"/?"}"#,
            "url pa%24s%20%22w%C3%B6rd%22%2F%3F",
            "url pa%24s%20%22w%c3%b6rd%22%2f%3f",
            "form pa%24s+%22w%C3%B6rd%22%2F%3F",
            "address pa$s%20%22w%C3%B6rd%22/?",
            "base64 cGEkcyAid8O2cmQiLz8=",
            "base64 of a:… YTpwYSRzICJ3w7ZyZCIvPw==",
            "base64 of user:… dXNlcjpwYSRzICJ3w7ZyZCIvPw==",
            "base64url cGEkcyAid8O2cmQiLz8",
            "hex 706124732022",
            "hex 7061247320227 7061247320 2277c3b672642 70612473202277c3b67264222f3f",
            "nothing pa$s",
        ].map(|text| redactor.text(text)).join("\n"), @r#"
        plain *** text
        {"json": "***"}
        url ***
        url ***
        form ***
        address ***
        base64 ***
        base64 of a:… YTp***w==
        base64 of user:… dXNlcjp***w==
        base64url ***
        hex 706124732022
        hex 7061247320227 7061247320 2277c3b672642 ***
        nothing pa$s
        "#);
    }

    #[test]
    fn lines_of_a_key_are_found_alone() {
        let redactor = redactor(&["-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nab\n-----END KEY-----"]);
        assert_eq!(redactor.text("got MIIEpAIBAAKCAQEA and ab"), "got *** and ab");
    }

    #[test]
    fn nothing_is_shown_of_the_values() {
        let secrets: Secrets = [("TOKEN".to_owned(), "hunter22".to_owned())].into_iter().collect();
        assert_eq!(format!("{secrets:?} {:?}", secrets.redactor()), "{\"TOKEN\"} Redactor(of secrets)");
    }

    proptest! {
        /// However a stream is cut, what comes out is what the whole text would give.
        #[test]
        fn cutting_a_stream_hides_nothing(
            pieces in prop::collection::vec("(abcdef|abc|def|[a-f]{0,3}|secret-one|abcdefgh)", 0..12),
            cuts in prop::collection::vec(1_usize..7, 1..20),
        ) {
            let text = pieces.concat();
            let redactor = redactor(&["abcdef", "secret-one", "abcdefgh"]);
            let mut stream = redactor.stream();
            let mut out = Vec::new();
            let (mut rest, mut cuts) = (text.as_bytes(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                out.extend(stream.push(now));
                rest = later;
            }
            out.extend(stream.finish());
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.contains("abcdef") && !out.contains("secret-one"), "{out}");
            prop_assert_eq!(out, redactor.text(&text));
        }

        #[test]
        fn base64_is_found_wherever_it_stands(value in "[ -~]{8,24}", before in "[ -~]{0,5}", after in "[ -~]{0,5}") {
            let forms = base64(value.as_bytes());
            let whole = forms_of_whole(&format!("{before}{value}{after}"));
            prop_assert!(forms.iter().any(|form| whole.contains(form.as_str())));
        }
    }

    fn forms_of_whole(text: &str) -> String {
        base64(text.as_bytes()).swap_remove(0)
    }
}
