//! Two models, tensor by tensor.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{onnx, safetensors};
use crate::{
    compare::{Change, changes},
    digest::Digest,
    lineage::{Resource, TREE},
    store::LocalStore,
};

/// Largest model that is compared, in bytes.
const LARGEST: u64 = 4 << 30;

/// A model as far as two can be compared.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) tensors: BTreeMap<String, Tensor>,
    /// Nodes of the graph by operator; empty where there is no graph.
    pub(super) operators: BTreeMap<String, u64>,
}

/// A tensor with its values, where they are numbers that can be read.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) kind: String,
    pub(super) shape: Vec<u64>,
    /// Identity of its bytes.
    pub(super) digest: Digest,
    pub(super) values: Option<Vec<f32>>,
}

/// What differs between two models.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelChanges {
    /// Name of the file.
    pub name: String,
    /// Tensors that differ.
    pub tensors: Vec<TensorChange>,
    /// Tensors that are the same to the byte.
    pub same: u64,
    /// Nodes by operator, where their number differs.
    pub operators: Vec<Change<u64>>,
    /// Tensors by type of their elements, where their number differs.
    pub types: Vec<Change<u64>>,
}

/// A tensor that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TensorChange {
    /// Its name.
    pub name: String,
    /// In the first model.
    pub from: Option<TensorFacts>,
    /// In the second model.
    pub to: Option<TensorFacts>,
    /// The largest absolute difference of two elements, of tensors of one shape whose values can be read.
    pub largest_difference: Option<f64>,
}

/// What is told of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TensorFacts {
    /// Type of its elements.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Share of elements that are 0, from 0 to 1, where the values can be read.
    pub sparsity: Option<f64>,
    /// The value of a scale or another single number.
    pub value: Option<f64>,
}

impl Tensor {
    fn facts(&self) -> TensorFacts {
        let values = self.values.as_ref().filter(|values| !values.is_empty());
        let zeros = |values: &Vec<f32>| values.iter().filter(|value| **value == 0.0).count() as f64;
        TensorFacts {
            kind: self.kind.clone(),
            shape: self.shape.clone(),
            sparsity: values.map(|values| zeros(values) / values.len() as f64),
            value: values.filter(|values| values.len() == 1).map(|values| f64::from(values[0])),
        }
    }
}

/// The models among two results that have the same name.
pub(super) fn models(
    store: &LocalStore,
    subjects: [&[Resource]; 2],
    hashes: [Option<&str>; 2],
) -> Vec<ModelChanges> {
    let files = |side: usize| -> BTreeMap<String, Digest> {
        let meant =
            subjects[side].iter().filter(|one| hashes[side].is_none_or(|hash| one.sha256() == Some(hash)));
        let mut found = BTreeMap::new();
        for one in meant {
            let Some(artifact) = one.to_artifact() else { continue };
            if one.media_type == TREE {
                let Ok(tree) = store.tree(&artifact.digest) else { continue };
                found.extend(
                    tree.entries().iter().map(|entry| (format!("{}/{}", one.name, entry.path), entry.digest)),
                );
            } else {
                found.insert(one.name.clone(), artifact.digest);
            }
        }
        found.retain(|name, _| name.ends_with(".onnx") || name.ends_with(".safetensors"));
        found
    };
    let (from, to) = (files(0), files(1));
    let both = from.iter().filter_map(|(name, old)| Some((name, old, to.get(name)?)));
    let differ = both.filter(|(_, old, new)| old != new);
    differ
        .filter_map(|(name, old, new)| {
            Some(compare(name, &read(store, name, old)?, &read(store, name, new)?))
        })
        .collect()
}

fn read(store: &LocalStore, name: &str, digest: &Digest) -> Option<Model> {
    let bytes = (digest.size() <= LARGEST).then(|| store.read(digest).ok()).flatten()?;
    if name.ends_with(".onnx") { onnx::read(&bytes) } else { safetensors::read(&bytes) }
}

fn compare(name: &str, from: &Model, to: &Model) -> ModelChanges {
    let names: std::collections::BTreeSet<&String> = from.tensors.keys().chain(to.tensors.keys()).collect();
    let mut tensors = Vec::new();
    let mut same = 0;
    for name in names {
        let (old, new) = (from.tensors.get(name), to.tensors.get(name));
        if let (Some(old), Some(new)) = (old, new)
            && (old.digest, &old.kind, &old.shape) == (new.digest, &new.kind, &new.shape)
        {
            same += 1;
            continue;
        }
        let largest_difference =
            old.zip(new).filter(|(old, new)| old.shape == new.shape).and_then(|(old, new)| {
                let pairs = old.values.as_ref()?.iter().zip(new.values.as_ref()?);
                Some(pairs.map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max))
            });
        let facts = |side: Option<&Tensor>| side.map(Tensor::facts);
        tensors.push(TensorChange {
            name: name.clone(),
            from: facts(old),
            to: facts(new),
            largest_difference,
        });
    }
    let types = |model: &Model| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        model.tensors.values().for_each(|tensor| *counts.entry(tensor.kind.clone()).or_default() += 1);
        counts
    };
    ModelChanges {
        name: name.to_owned(),
        tensors,
        same,
        operators: changes(&from.operators, &to.operators, PartialEq::eq),
        types: changes(&types(from), &types(to), PartialEq::eq),
    }
}

/// Little-endian numbers of 4 bytes.
pub(super) fn floats(bytes: &[u8]) -> Option<Vec<f32>> {
    let chunks = bytes.chunks_exact(4);
    chunks.remainder().is_empty().then(|| {
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn model(tensors: &[(&str, &str, &[f32])], operators: &[(&str, u64)]) -> Model {
        let tensor = |(name, kind, values): &(&str, &str, &[f32])| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let tensor = Tensor {
                kind: (*kind).to_owned(),
                shape: vec![values.len() as u64],
                digest: Digest::of(&bytes),
                values: Some(values.to_vec()),
            };
            ((*name).to_owned(), tensor)
        };
        Model {
            tensors: tensors.iter().map(tensor).collect(),
            operators: operators.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    #[test]
    fn each_difference_of_a_tensor_is_told() {
        let from =
            model(&[("a", "f32", &[1.0, 2.0]), ("b", "f32", &[1.0]), ("c", "f32", &[3.0])], &[("Conv", 2)]);
        let to = model(
            &[("a", "f32", &[0.0, 2.5]), ("b", "i8", &[1.0]), ("d", "f32", &[3.0])],
            &[("Conv", 2), ("Relu", 1)],
        );
        let found = compare("m", &from, &to);
        let names: Vec<&str> = found.tensors.iter().map(|change| change.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(found.tensors[0].largest_difference, Some(1.0));
        assert_eq!(found.tensors[0].to.as_ref().unwrap().sparsity, Some(0.5));
        assert_eq!(found.tensors[1].to.as_ref().unwrap().kind, "i8");
        assert_eq!((found.operators.len(), found.operators[0].name.as_str()), (1, "Relu"));
        assert_eq!(compare("m", &from, &from).same, 3);
    }
}
