//! The module table of `ARCHITECTURE.md`, held: who may import whom, who may touch what, and that nothing is left off a list.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{UseTree, visit::Visit};

/// Library modules from the ground up: a module imports only modules before it.
const MODULES: &[&str] = &[
    "digest", "config", "spec", "plugin", "catalog", "plan", "store", "track", "remote", "origin", "record",
    "lockfile", "compare", "lineage", "release", "report", "dvc", "project", "author", "lsp", "run", "sweep",
    "ci", "ui",
];

/// Paths that a module must not name, with the reason.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("digest", &["tokio"], "identity is sync"),
    ("spec", &["std::fs", "std::env", "std::process", "tokio"], "parsing text needs nothing of the machine"),
    (
        "plan",
        &["std::fs", "std::env", "std::process", "tokio", "std::time::Instant", "std::time::SystemTime"],
        "a plan is a pure function of what it is given",
    ),
    ("store", &["tokio", "std::env"], "the local store is sync"),
    ("track", &["tokio", "std::process", "std::env"], "versioning runs nothing"),
    ("record", &["tokio"], "records are written by one sync owner"),
    (
        "lockfile",
        &["tokio", "std::process", "std::env"],
        "a lock file is read and written, and nothing is run",
    ),
    ("compare", &["std::fs", "std::env", "tokio"], "a comparison is a pure function of records"),
    ("ci", &["std::env", "std::process"], "what a job says comes from the settings, and nothing is run here"),
    ("lineage", &["tokio"], "statements are made and read by sync code"),
    ("release", &["tokio", "std::process", "std::env"], "a release is read and made by git alone"),
    ("ui", &["std::env", "std::process"], "a page is served of what there is, and nothing is run for it"),
    ("report", &["tokio", "std::fs", "std::env", "std::net"], "a report is made from what it is given"),
];

struct Names {
    paths: BTreeSet<String>,
    prints: bool,
    in_tests: usize,
}

impl Names {
    fn tree(&mut self, prefix: &str, tree: &UseTree) {
        let join = |name: String| if prefix.is_empty() { name } else { format!("{prefix}::{name}") };
        match tree {
            UseTree::Path(path) => self.tree(&join(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => drop(self.paths.insert(join(name.ident.to_string()))),
            UseTree::Rename(name) => drop(self.paths.insert(join(name.ident.to_string()))),
            UseTree::Glob(_) => drop(self.paths.insert(join("*".to_owned()))),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(prefix, item)),
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg") && quote_tokens(attribute).contains("test"))
}

fn quote_tokens(attribute: &syn::Attribute) -> String {
    attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default()
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // Tests of a module may use whatever they need.
        let test = usize::from(is_test(&item.attrs));
        self.in_tests += test;
        syn::visit::visit_item_mod(self, item);
        self.in_tests -= test;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if self.in_tests == 0 {
            self.tree("", &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if self.in_tests == 0 {
            let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.paths.insert(parts.join("::"));
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let name = item.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        self.prints |=
            self.in_tests == 0 && ["println", "print", "eprintln", "eprint", "dbg"].contains(&name.as_str());
        syn::visit::visit_macro(self, item);
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let files =
        walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|item| item.unwrap().into_path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn names(file: &Path) -> Names {
    let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
    let mut names = Names { paths: BTreeSet::new(), prints: false, in_tests: 0 };
    names.visit_file(&parsed);
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_library_has_exactly_the_listed_modules() {
    let found: BTreeSet<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".rs").to_owned())
        .filter(|name| !["lib", "main", "cli"].contains(&name.as_str()))
        .collect();
    assert_eq!(found, MODULES.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn a_module_imports_only_modules_above_it() {
    let mut wrong = Vec::new();
    for (position, module) in MODULES.iter().enumerate() {
        for file in sources(&root().join("src").join(module)) {
            for path in names(&file).paths {
                let Some(rest) = path.strip_prefix("crate::") else { continue };
                let target = rest.split("::").next().unwrap();
                let allowed = target == *module || MODULES[..position].contains(&target);
                if !allowed {
                    wrong.push(format!("{}: `{path}` is not above `{module}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_module_touches_what_is_not_its_business() {
    let mut wrong = Vec::new();
    for (module, forbidden, reason) in FORBIDDEN {
        for file in sources(&root().join("src").join(module)) {
            let found = names(&file).paths;
            for path in forbidden.iter().filter(|path| {
                found.iter().any(|name| name == *path || name.starts_with(&format!("{path}::")))
            }) {
                wrong.push(format!("{}: `{path}`, but {reason}", file.display()));
            }
        }
    }
    for module in MODULES {
        for file in sources(&root().join("src").join(module)) {
            if names(&file).prints {
                wrong.push(format!("{}: the library never prints", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_stage_is_a_member_and_depends_on_no_other() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members: BTreeSet<&str> = manifest["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap())
        .collect();
    let mut wrong = Vec::new();
    for pattern in ["stages", "stages/lib", "examples/quickstart/stages"] {
        for entry in fs::read_dir(root().join(pattern)).unwrap() {
            let folder = entry.unwrap().path();
            let Ok(text) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
            let name = folder.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if !members.contains(name.as_str()) {
                wrong.push(format!("{name} is not in the workspace's member list"));
            }
            let package: toml::Table = text.parse().unwrap();
            let Some(dependencies) = package.get("dependencies").and_then(toml::Value::as_table) else {
                continue;
            };
            for dependency in dependencies.keys() {
                let owner = match dependency.as_str() {
                    "stagewright" => Some("no stage"),
                    "tch" | "torch-sys" => Some("stages/lib/torch"),
                    "ort" => Some("stages/lib/onnx"),
                    _ => None,
                };
                if owner.is_some_and(|owner| owner != name) || dependency.starts_with("stagewright-stage-") {
                    wrong.push(format!("{name} depends on {dependency}"));
                }
            }
        }
    }
    let orchestrator = manifest["dependencies"].as_table().unwrap().keys();
    let heavy = ["tch", "torch-sys", "ort", "stagewright-torch", "stagewright-onnx"];
    wrong.extend(
        orchestrator
            .filter(|name| heavy.contains(&name.as_str()))
            .map(|name| format!("the orchestrator depends on {name}")),
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
