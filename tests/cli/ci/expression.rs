//! Expressions of GitHub's workflows, as far as the generated ones use them.

use serde_json::{Value, json};

/// What names mean, and how the jobs before have ended.
pub struct Scope<'a> {
    pub names: &'a Value,
    pub failed: bool,
}

/// Text with `${{ … }}` in it.
pub fn text(text: &str, scope: &Scope<'_>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${{") {
        let (inner, after) = behind.split_once("}}").unwrap();
        out.push_str(before);
        out.push_str(&match value(inner, scope) {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        });
        rest = after;
    }
    out + rest
}

/// One expression, with or without its `${{ }}`.
pub fn value(text: &str, scope: &Scope<'_>) -> Value {
    let inner = text.trim();
    let inner = inner.strip_prefix("${{").and_then(|inner| inner.strip_suffix("}}")).unwrap_or(inner);
    let mut parser = Parser { rest: inner.trim(), scope };
    let value = parser.either();
    assert_eq!(parser.rest, "", "left of {text}");
    value
}

pub fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && *value != json!("") && *value != json!(0)
}

struct Parser<'a> {
    rest: &'a str,
    scope: &'a Scope<'a>,
}

impl Parser<'_> {
    fn takes(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn either(&mut self) -> Value {
        let mut left = self.both();
        while self.takes("||") {
            let right = self.both();
            left = if truthy(&left) { left } else { right };
        }
        left
    }

    fn both(&mut self) -> Value {
        let mut left = self.compared();
        while self.takes("&&") {
            let right = self.compared();
            left = if truthy(&left) { right } else { left };
        }
        left
    }

    fn compared(&mut self) -> Value {
        let left = self.single();
        if self.takes("==") {
            return json!(left == self.single());
        }
        if self.takes("!=") {
            return json!(left != self.single());
        }
        left
    }

    fn single(&mut self) -> Value {
        if self.takes("!") {
            return json!(!truthy(&self.single()));
        }
        let mut value = if self.takes("(") {
            let inner = self.either();
            assert!(self.takes(")"));
            inner
        } else if self.takes("'") {
            let (text, rest) = self.rest.split_once('\'').unwrap();
            self.rest = rest.trim_start();
            json!(text)
        } else {
            let name = self.name();
            if self.takes("(") {
                let mut arguments = Vec::new();
                while !self.takes(")") {
                    arguments.push(self.either());
                    self.takes(",");
                }
                self.call(&name, &arguments)
            } else {
                self.scope.names.get(&name).unwrap_or_else(|| panic!("no context `{name}`")).clone()
            }
        };
        loop {
            if self.takes(".") {
                let name = self.name();
                value = value.get(&name).cloned().unwrap_or_default();
            } else if self.takes("[") {
                let key = self.either();
                assert!(self.takes("]"));
                value = key.as_str().and_then(|key| value.get(key)).cloned().unwrap_or_default();
            } else {
                return value;
            }
        }
    }

    fn name(&mut self) -> String {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        assert!(!name.is_empty(), "a name is wanted before {}", self.rest);
        self.rest = rest.trim_start();
        name.to_owned()
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Value {
        match (name, arguments) {
            ("failure", []) => json!(self.scope.failed),
            ("cancelled", []) => json!(false),
            ("fromJSON", [Value::String(text)]) => serde_json::from_str(text).unwrap(),
            ("contains", [Value::Array(items), item]) => json!(items.contains(item)),
            _ => panic!("no function {name}({arguments:?})"),
        }
    }
}
