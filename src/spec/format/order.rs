//! Where in the language a map stands, the order of its keys, and words that are written otherwise.

/// What a map is to the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The file.
    Pipeline,
    /// `stages:`.
    Stages,
    /// One of them.
    Stage,
    /// `defaults:`.
    Defaults,
    /// `resources:`.
    Resources,
    /// `retry:`.
    Retry,
    /// `inputs:`.
    Inputs,
    /// One of them, or an item of one.
    Input,
    /// `targets:`.
    Targets,
    /// One of them.
    Target,
    /// `search:`.
    Search,
    /// Anything else: the user's.
    Other,
}

impl Kind {
    /// What the map under a key of this one is; items of a list are what the list's key says.
    pub fn under(self, key: &str) -> Self {
        match (self, key) {
            (Self::Pipeline, "stages") => Self::Stages,
            (Self::Pipeline, "defaults") => Self::Defaults,
            (Self::Pipeline, "targets") => Self::Targets,
            (Self::Pipeline, "search") => Self::Search,
            (Self::Stages, _) => Self::Stage,
            (Self::Targets, _) => Self::Target,
            (Self::Stage | Self::Defaults, "resources") => Self::Resources,
            (Self::Stage | Self::Defaults, "retry") => Self::Retry,
            (Self::Stage, "inputs") => Self::Inputs,
            (Self::Inputs, _) => Self::Input,
            _ => Self::Other,
        }
    }

    /// Place of a key among its kind; the user's keys stand behind, in their own order.
    pub fn rank(self, key: &str) -> usize {
        let order: &[&str] = match self {
            Self::Pipeline => &[
                "version", "name", "include", "params", "env", "seed", "defaults", "targets", "search",
                "stages",
            ],
            Self::Stage | Self::Defaults => super::super::stage::KEYS,
            Self::Resources => &["cpus", "memory", "gpus", "exclusive", "output", "network"],
            Self::Retry => &["max", "on", "backoff"],
            Self::Input => &["from", "path", "as", "role", "type", "if"],
            Self::Target => &["on", "metric", "max", "min", "max-drop-vs", "max-ratio-vs", "value"],
            Self::Search => &["over", "trials", "strategy", "seed", "maximize", "minimize"],
            Self::Stages | Self::Inputs | Self::Targets | Self::Other => return 0,
        };
        order.iter().position(|known| *known == key).unwrap_or(order.len())
    }

    /// The canonical word for a key.
    pub fn canonical(self, key: &str) -> &str {
        match (self, key) {
            (Self::Resources, "cpu") => "cpus",
            (Self::Resources, "gpu") => "gpus",
            (Self::Stage, "run") => "cmd",
            _ => key,
        }
    }
}
