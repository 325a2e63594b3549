//! Class lists of models and of annotations, brought together by name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::EvalError;

/// COCO's classes as Darknet spells them, and as COCO does.
const DARKNET: [(&str, &str); 6] = [
    ("aeroplane", "airplane"),
    ("diningtable", "dining table"),
    ("motorbike", "motorcycle"),
    ("pottedplant", "potted plant"),
    ("sofa", "couch"),
    ("tvmonitor", "tv"),
];

/// The classes that are judged, and where they are in each list.
#[derive(Debug)]
pub(super) struct Classes {
    /// Names as the annotations spell them, or the first model where there are none.
    pub(super) names: Vec<String>,
    /// For each category of the annotations its index in `names`.
    pub(super) annotated: Vec<Option<usize>>,
    /// For each model, for each of its classes, its index in `names`.
    pub(super) models: Vec<Vec<Option<usize>>>,
    /// What is left out.
    pub(super) left_out: LeftOut,
}

/// Classes that are not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LeftOut {
    /// Annotated ones that one of the models does not know.
    pub annotated: Vec<String>,
    /// Per model the ones that are not annotated, or that another model does not know.
    pub models: BTreeMap<String, Vec<String>>,
}

/// A name as it is compared: case, underscores, hyphens and Darknet's spelling make no difference.
fn plain(name: &str) -> String {
    let lower = name.to_lowercase().replace(['_', '-'], " ");
    let plain = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    DARKNET.iter().find(|(darknet, _)| *darknet == plain).map_or(plain, |(_, coco)| (*coco).to_owned())
}

impl Classes {
    /// Judged is what is annotated (where there are annotations) and known to every model.
    pub(super) fn unite(annotated: Option<&[String]>, models: &[(&str, &[String])]) -> Result<Self, EvalError> {
        let known: Vec<BTreeSet<String>> =
            models.iter().map(|(_, names)| names.iter().map(|name| plain(name)).collect()).collect();
        let base = annotated.or(models.first().map(|(_, names)| *names)).unwrap_or_default();
        let mut index: BTreeMap<String, usize> = BTreeMap::new();
        let mut names = Vec::new();
        for name in base.iter().filter(|name| known.iter().all(|known| known.contains(&plain(name)))) {
            index.entry(plain(name)).or_insert_with(|| {
                names.push(name.clone());
                names.len() - 1
            });
        }
        if names.is_empty() && !models.is_empty() {
            let first = models.first().map_or(&[][..], |(_, names)| names);
            let labels: Vec<&str> = models.iter().map(|(label, _)| *label).collect();
            return Err(EvalError::Classes { models: labels.join(", "), first: some(first), other: some(base) });
        }
        let place = |list: &[String]| list.iter().map(|name| index.get(&plain(name)).copied()).collect::<Vec<_>>();
        let alien = |list: &[String]| list.iter().filter(|name| !index.contains_key(&plain(name))).cloned().collect::<Vec<_>>();
        let left = models.iter().map(|(label, list)| ((*label).to_owned(), alien(list))).filter(|(_, list)| !list.is_empty());
        Ok(Self {
            annotated: annotated.map(place).unwrap_or_default(),
            models: models.iter().map(|(_, list)| place(list)).collect(),
            left_out: LeftOut { annotated: annotated.map(alien).unwrap_or_default(), models: left.collect() },
            names,
        })
    }
}

/// The first few of a list, and how many more there are.
pub(super) fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".to_owned(),
        n if n > SHOWN => format!("{shown} and {} more", n - SHOWN),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_meet_by_name_whatever_their_order_and_spelling() {
        let (annotated, model) =
            (list(&["person", "traffic light", "couch", "zebra"]), list(&["sofa", "Traffic_Light", "person", "bus"]));
        let classes = Classes::unite(Some(&annotated), &[("m", &model)]).unwrap();
        assert_eq!(classes.names, ["person", "traffic light", "couch"]);
        assert_eq!(classes.annotated, [Some(0), Some(1), Some(2), None]);
        assert_eq!(classes.models, [[Some(2), Some(1), Some(0), None]]);
        assert_eq!(classes.left_out.annotated, ["zebra"]);
        assert_eq!(classes.left_out.models["m"], ["bus"]);
    }

    #[test]
    fn several_models_are_judged_by_what_all_of_them_know() {
        let (annotated, one, two) = (list(&["person", "car", "dog"]), list(&["person", "car"]), list(&["dog", "car"]));
        let classes = Classes::unite(Some(&annotated), &[("one", &one), ("two", &two)]).unwrap();
        assert_eq!(classes.names, ["car"]);
        let unlabelled = Classes::unite(None, &[("one", &one), ("two", &two)]).unwrap();
        assert_eq!((unlabelled.names, unlabelled.left_out.models["one"].clone()), (list(&["car"]), list(&["person"])));
    }

    #[test]
    fn lists_with_nothing_in_common_are_refused() {
        let many: Vec<String> = (0..20).map(|i| format!("c{i}")).collect();
        let error = Classes::unite(Some(&many), &[("m", &list(&["person"]))]).unwrap_err().to_string();
        assert!(error.contains("the model has person") && error.contains("c7 and 12 more"), "{error}");
        assert!(Classes::unite(Some(&[]), &[("m", &list(&["person"]))]).is_err());
    }

    #[test]
    fn results_alone_are_judged_by_all_categories() {
        let annotated = list(&["a", "b"]);
        assert_eq!(Classes::unite(Some(&annotated), &[]).unwrap().annotated, [Some(0), Some(1)]);
    }
}
