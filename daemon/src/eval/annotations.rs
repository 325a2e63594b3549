//! COCO's `instances.json`, and COCO's results. Outlines, key points and whatever else is in there are passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use super::{
    EvalError,
    bounded::{self, Bounded},
    samples::Labelled,
};

/// `instances_train2017.json` has 449 MB.
const MAX_BYTES: u64 = 512 << 20;
const MAX_IMAGES: usize = 500_000;
const MAX_ANNOTATIONS: usize = 5_000_000;
const MAX_CATEGORIES: usize = 10_000;
/// No picture reaches so far, in pixels.
const MAX_EDGE: f64 = 1e6;
const REMEDY: &str = "give a COCO instances file: images with id and file_name, categories with id and name, annotations with \
                      image_id, category_id and bbox";
const RESULTS_REMEDY: &str = "give COCO results: a list of objects with image_id, category_id, bbox and score";

#[derive(Deserialize)]
struct Document {
    images: Bounded<ImageEntry, MAX_IMAGES>,
    categories: Bounded<CategoryEntry, MAX_CATEGORIES>,
    annotations: Bounded<AnnotationEntry, MAX_ANNOTATIONS>,
}

#[derive(Deserialize)]
struct ImageEntry {
    id: u64,
    #[serde(default)]
    file_name: String,
    width: Option<u32>,
    height: Option<u32>,
}

#[derive(Deserialize)]
struct CategoryEntry {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct AnnotationEntry {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct ResultEntry {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    score: f64,
}

/// A picture that is annotated.
#[derive(Debug, PartialEq)]
pub(super) struct Image {
    pub(super) id: u64,
    pub(super) name: String,
    /// As the file says, if it does.
    pub(super) size: Option<(u32, u32)>,
    pub(super) objects: Vec<Labelled>,
}

/// A whole file, by ascending id of the pictures.
#[derive(Debug)]
pub(super) struct Annotations {
    pub(super) categories: Vec<String>,
    /// Index of a category by its id.
    by_id: BTreeMap<u64, usize>,
    pub(super) images: Vec<Image>,
    pub(super) notes: Vec<String>,
}

impl Annotations {
    pub(super) fn read(path: &Path) -> Result<Self, EvalError> {
        let document: Document = bounded::json(path, MAX_BYTES, REMEDY)?;
        Self::of(document).map_err(|what| EvalError::Form { file: path.to_owned(), line: None, what, remedy: REMEDY })
    }

    fn of(document: Document) -> Result<Self, String> {
        let (categories, by_id) = categories(document.categories.0)?;
        let mut images: Vec<Image> = document
            .images
            .0
            .into_iter()
            .map(|ImageEntry { id, file_name: name, width, height }| Image {
                id,
                name,
                size: width.zip(height).filter(|(w, h)| *w > 0 && *h > 0),
                objects: Vec::new(),
            })
            .collect();
        images.sort_by_key(|image| image.id);
        if let Some(pair) = images.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(format!("two images have the id {}", pair[0].id));
        }
        let (mut no_image, mut no_category) = (0, 0);
        for (i, entry) in document.annotations.0.into_iter().enumerate() {
            let [x, y, w, h] = entry.bbox;
            if w < 0.0 || h < 0.0 || entry.bbox.iter().any(|edge| edge.abs() > MAX_EDGE) {
                return Err(format!(
                    "annotation {i} (of image {}) has the bbox [{x}, {y}, {w}, {h}]; it is left, top, width, height",
                    entry.image_id
                ));
            }
            let Ok(image) = images.binary_search_by_key(&entry.image_id, |image| image.id) else {
                no_image += 1;
                continue;
            };
            let Some(&category) = by_id.get(&entry.category_id) else {
                no_category += 1;
                continue;
            };
            let area = entry.area.unwrap_or(w * h);
            images[image].objects.push(Labelled { category, bbox: entry.bbox, area, crowd: entry.iscrowd != 0, ignore: false });
        }
        let notes = [
            (no_image, "annotations of images that the file does not list were left out"),
            (no_category, "annotations of categories that the file does not list were left out"),
        ];
        let notes = notes.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        Ok(Self { categories, by_id, images, notes })
    }

    /// Leaves only images that one of the results is about.
    pub(super) fn only(&mut self, ids: &BTreeSet<u64>) {
        self.images.retain(|image| ids.contains(&image.id));
    }
}

/// Names by index, and indices by id.
fn categories(mut entries: Vec<CategoryEntry>) -> Result<(Vec<String>, BTreeMap<u64, usize>), String> {
    entries.sort_by_key(|entry| entry.id);
    let mut by_id = BTreeMap::new();
    for (i, entry) in entries.iter().enumerate() {
        if by_id.insert(entry.id, i).is_some() {
            return Err(format!("two categories have the id {}", entry.id));
        }
    }
    let mut names = BTreeSet::new();
    if let Some(twin) = entries.iter().find(|entry| !names.insert(&entry.name)) {
        return Err(format!("two categories have the name {:?}", twin.name));
    }
    Ok((entries.into_iter().map(|entry| entry.name).collect(), by_id))
}

/// Where a picture is. Names that lead out of the folder are refused.
pub(super) fn path_in(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    let inside = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (inside && !name.as_os_str().is_empty()).then(|| folder.join(name))
}

/// A box of a results file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// The image's id.
    pub(super) image: u64,
    /// Index of the category.
    pub(super) category: usize,
    pub(super) bbox: [f64; 4],
    pub(super) score: f64,
}

/// COCO results that go with annotations: boxes in the order of the file, and what is to be said.
pub(super) fn results(path: &Path, annotations: &Annotations) -> Result<(Vec<Found>, Vec<String>), EvalError> {
    let Bounded(entries): Bounded<ResultEntry, MAX_ANNOTATIONS> = bounded::json(path, MAX_BYTES, RESULTS_REMEDY)?;
    let mut found = Vec::with_capacity(entries.len());
    let (mut no_image, mut no_category) = (0, 0);
    for (i, entry) in entries.into_iter().enumerate() {
        if entry.bbox.iter().any(|edge| edge.abs() > MAX_EDGE) {
            let what = format!("result {i} has the bbox {:?}", entry.bbox);
            return Err(EvalError::Form { file: path.to_owned(), line: None, what, remedy: RESULTS_REMEDY });
        }
        let known = annotations.images.binary_search_by_key(&entry.image_id, |image| image.id).is_ok();
        match annotations.by_id.get(&entry.category_id) {
            Some(&category) if known => {
                found.push(Found { image: entry.image_id, category, bbox: entry.bbox, score: entry.score });
            }
            Some(_) => no_image += 1,
            None => no_category += 1,
        }
    }
    let notes = [(no_image, "images"), (no_category, "categories")].into_iter().filter(|(count, _)| *count > 0);
    let told = |(count, what)| format!("{}: {count} results of {what} that are not annotated were left out", path.display());
    Ok((found, notes.map(told).collect()))
}

#[cfg(test)]
mod tests;
