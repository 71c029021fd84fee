//! The expression language: what stands between `${{` and `}}`.
//!
//! Operators, precedence and functions are GitHub's; `stages.train[seed=0]` and `stages.train[*]` select from a matrix.

mod lexer;
mod parser;
pub(super) mod reference;
mod template;

use super::types::{Name, Span};

pub use reference::{Selector, StageReference, WantedValue};
pub use template::{Piece, Template};

pub(super) use reference::stage_reference;
pub(super) use template::{Text, bare_dollar, template};

/// Parses one expression, without the `${{ }}` around it; its places are offsets into the text.
pub fn parse(text: &str) -> Result<Expression, super::Diagnostic> {
    let place = Text { text, whole: 0..text.len(), verbatim: Some(0) };
    parser::expression(&place, 0, text.len())
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: ExpressionKind,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpressionKind {
    /// `null`, a boolean, a number or a text.
    Literal(serde_json::Value),
    /// `params.train.epochs`: a context and the way into it.
    Reference(Context, Vec<Step>),
    /// `fromJSON(…).key`: the way into another expression's value.
    Access(Box<Expression>, Vec<Step>),
    /// `!a`.
    Not(Box<Expression>),
    /// `a && b`.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `f(a, b)`.
    Call(Function, Vec<Expression>),
}

/// One step into a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `.key`.
    Key(Name),
    /// `[expression]`.
    Index(Box<Expression>),
    /// `[seed=0]` or `[*]` behind a stage.
    Select(Selector),
}

/// Two-sided operators, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// Names an enum's variants as the language writes them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All words.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word as written.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// From the word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// What an expression can refer to.
    Context {
        /// `params:` of the pipeline.
        Params = "params",
        /// Values of this combination of the matrix.
        Matrix = "matrix",
        /// Outputs of other stages.
        Stages = "stages",
        /// Declared environment variables.
        Env = "env",
        /// State of the git repository.
        Git = "git",
        /// The run.
        Run = "run",
        /// Facts about the machine, from the stage programs.
        Host = "host",
        /// Secrets, by name.
        Secrets = "secrets",
    }
}

words! {
    /// What an expression can call.
    Function {
        /// True when nothing it depends on has failed.
        Success = "success",
        /// True when something it depends on has failed.
        Failure = "failure",
        /// True whatever happened.
        Always = "always",
        /// True when the run was cancelled.
        Cancelled = "cancelled",
        /// Text in text, or item in list.
        Contains = "contains",
        /// Text at the start of a text.
        StartsWith = "startsWith",
        /// Text at the end of a text.
        EndsWith = "endsWith",
        /// `{0}` replaced by arguments.
        Format = "format",
        /// Items of a list with a separator.
        Join = "join",
        /// Value from JSON text.
        FromJson = "fromJSON",
        /// JSON text of a value.
        ToJson = "toJSON",
        /// Digest of files.
        HashFiles = "hashFiles",
    }
}

impl Function {
    /// Asks how things stand in the run.
    pub fn is_status(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Always | Self::Cancelled)
    }

    /// Fewest and most arguments.
    pub fn arity(self) -> (usize, usize) {
        match self {
            Self::Success | Self::Failure | Self::Always | Self::Cancelled => (0, 0),
            Self::Contains | Self::StartsWith | Self::EndsWith => (2, 2),
            Self::Format | Self::HashFiles => (1, 64),
            Self::Join => (1, 2),
            Self::FromJson | Self::ToJson => (1, 1),
        }
    }
}

impl Expression {
    /// Calls `visit` with this expression and all inside it.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expression)) {
        visit(self);
        let steps = match &self.kind {
            ExpressionKind::Literal(_) => &[][..],
            ExpressionKind::Reference(_, steps) => steps,
            ExpressionKind::Access(base, steps) => {
                base.walk(visit);
                steps
            }
            ExpressionKind::Not(inner) => {
                inner.walk(visit);
                &[]
            }
            ExpressionKind::Binary(_, left, right) => {
                left.walk(visit);
                right.walk(visit);
                &[]
            }
            ExpressionKind::Call(_, arguments) => {
                arguments.iter().for_each(|argument| argument.walk(visit));
                &[]
            }
        };
        for step in steps {
            if let Step::Index(inner) = step {
                inner.walk(visit);
            }
        }
    }
}
