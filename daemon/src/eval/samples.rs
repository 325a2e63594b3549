//! Pictures and what is truly in them, one after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{
    EvalError,
    annotations::{self, Annotations},
    labels::Labels,
    pictures::{self, Video},
    run::Data,
};
use crate::media::Frame;

const MAX_FILES: usize = 500_000;

/// An object that is truly there, of a category by its index in the data's own list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Labelled {
    pub(super) category: usize,
    /// Left, top, width, height in pixels.
    pub(super) bbox: [f64; 4],
    pub(super) area: f64,
    pub(super) crowd: bool,
    /// Neither to be found nor wrong to be found.
    pub(super) ignore: bool,
}

/// A picture and what is in it.
pub(super) struct Sample {
    /// The picture's id in the annotations.
    pub(super) id: Option<u64>,
    pub(super) name: String,
    /// `None` where only stored results are judged.
    pub(super) frame: Option<Frame>,
    pub(super) objects: Vec<Labelled>,
}

/// Where samples come from.
pub(super) struct Source {
    /// Class names of the labels; `None`: nothing is labelled.
    pub(super) categories: Option<Vec<String>>,
    /// What people should know about the data.
    pub(super) notes: Vec<String>,
    /// How many samples there are, if known.
    pub(super) len: Option<usize>,
    kind: Kind,
}

enum Kind {
    Stills(Stills),
    Video(Clip),
    #[cfg(feature = "sim")]
    Streets(Drawing),
}

impl Source {
    /// `annotations` where [`Data`] names a file of them: read before, since results go with them too.
    pub(super) fn open(data: &Data, annotations: Option<Annotations>) -> Result<Self, EvalError> {
        match data {
            Data::Images { folder, skip_missing, .. } => Stills::open(folder.as_deref(), annotations, *skip_missing),
            Data::Video { file, labels, every } => Clip::open(file, labels.as_deref(), *every),
            #[cfg(feature = "sim")]
            Data::Streets(streets) => Ok(Drawing::open(*streets)),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Sample>, EvalError> {
        match &mut self.kind {
            Kind::Stills(stills) => stills.next(&mut self.notes),
            Kind::Video(clip) => clip.next(&mut self.notes),
            #[cfg(feature = "sim")]
            Kind::Streets(drawing) => Ok(drawing.next()),
        }
    }
}

/// Picture files.
struct Stills {
    left: std::vec::IntoIter<Still>,
    skip: bool,
    number: u64,
}

struct Still {
    id: Option<u64>,
    name: String,
    path: Option<PathBuf>,
    size: Option<(u32, u32)>,
    objects: Vec<Labelled>,
}

impl Stills {
    fn open(folder: Option<&Path>, annotations: Option<Annotations>, skip: bool) -> Result<Source, EvalError> {
        let mut notes = Vec::new();
        let (categories, stills) = match (folder, annotations) {
            (folder, Some(Annotations { categories, images, notes: said, .. })) => {
                notes.extend(said);
                let stills = annotated(folder, images, skip, &mut notes)?;
                (Some(categories), stills)
            }
            (Some(folder), None) => {
                let still = |path: PathBuf| Still {
                    id: None,
                    name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    path: Some(path),
                    size: None,
                    objects: Vec::new(),
                };
                (None, files(folder)?.into_iter().map(still).collect())
            }
            (None, None) => return Err(EvalError::Arguments("give --images DIR")),
        };
        let len = Some(stills.len());
        Ok(Source { categories, notes, len, kind: Kind::Stills(Self { left: stills.into_iter(), skip, number: 0 }) })
    }

    fn next(&mut self, notes: &mut Vec<String>) -> Result<Option<Sample>, EvalError> {
        for Still { id, name, path, size, objects } in self.left.by_ref() {
            let Some(path) = path else { return Ok(Some(Sample { id, name, frame: None, objects })) };
            let picture = pictures::read_image(&path).and_then(|picture| match (size, (picture.width(), picture.height())) {
                (Some(told), is) if told != is => Err(format!(
                    "it has {}x{} pixels, the annotations say {}x{}: they were made for another version of it",
                    is.0, is.1, told.0, told.1
                )),
                _ => Ok(picture),
            });
            match picture {
                Ok(picture) => {
                    self.number += 1;
                    return Ok(Some(Sample { id, name, frame: Some(pictures::frame(picture, self.number)), objects }));
                }
                Err(reason) if self.skip => notes.push(format!("left out: {name}: {reason}")),
                Err(reason) => {
                    let reason = format!("{reason}; replace it, or leave such pictures out with --skip-missing");
                    return Err(EvalError::Picture { name, reason });
                }
            }
        }
        Ok(None)
    }
}

/// The annotated pictures that are there.
fn annotated(
    folder: Option<&Path>,
    images: Vec<annotations::Image>,
    skip: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Still>, EvalError> {
    let of = images.len();
    let (mut stills, mut missing, mut first) = (Vec::with_capacity(of), 0, None);
    for annotations::Image { id, name, size, objects } in images {
        let path = folder.map(|folder| match annotations::path_in(folder, &name) {
            Some(path) if path.is_file() => Ok(path),
            Some(path) => Err(format!("{} is not there", path.display())),
            None => Err(format!("{name:?} is no file name inside the folder")),
        });
        match path.transpose() {
            Ok(path) => stills.push(Still { id: Some(id), name, path, size, objects }),
            Err(reason) => {
                missing += 1;
                first.get_or_insert(reason);
            }
        }
    }
    if let Some(first) = first {
        if !skip || stills.is_empty() {
            return Err(EvalError::Missing { count: missing, of, first });
        }
        notes.push(format!("{missing} of {of} annotated pictures were left out, the first: {first}"));
    }
    if let Some(folder) = folder {
        let known: BTreeSet<&Path> = stills.iter().filter_map(|still| still.path.as_deref()).collect();
        let strangers = files(folder)?.iter().filter(|path| !known.contains(path.as_path())).count();
        if strangers > 0 {
            notes.push(format!("{strangers} pictures of the folder are not annotated and were left out"));
        }
    }
    Ok(stills)
}

/// The picture files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let failed = |source| EvalError::Read { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if pictures::is_picture(&path) && path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            let what = "more than 500000 pictures; take some of them";
            return Err(EvalError::Nothing { place: folder.to_owned(), what });
        }
    }
    files.sort();
    Ok(files)
}

/// A video file.
struct Clip {
    file: PathBuf,
    video: Video,
    labels: Option<BTreeMap<u64, Vec<Labelled>>>,
    every: u64,
    number: u64,
}

impl Clip {
    fn open(file: &Path, labels: Option<&Path>, every: u64) -> Result<Source, EvalError> {
        let labels = labels.map(Labels::read).transpose()?;
        let video = Video::open(file).map_err(|reason| EvalError::Video { file: file.to_owned(), reason })?;
        let every = every.max(1);
        let (categories, labels) = labels.map(|labels| (labels.classes, labels.frames)).unzip();
        let len = labels.as_ref().map(|labels| labels.keys().filter(|frame| *frame % every == 0).count());
        let clip = Self { file: file.to_owned(), video, labels, every, number: 0 };
        Ok(Source { categories, notes: Vec::new(), len, kind: Kind::Video(clip) })
    }

    fn next(&mut self, notes: &mut Vec<String>) -> Result<Option<Sample>, EvalError> {
        let failed = |reason| EvalError::Video { file: self.file.clone(), reason };
        // Nothing is labelled from here on: the rest of the video need not be decoded.
        while self.labels.as_ref().is_none_or(|labels| !labels.is_empty()) {
            let Some(picture) = self.video.next().map_err(failed)? else { break };
            let number = self.number;
            self.number += 1;
            let objects = match &mut self.labels {
                Some(labels) => labels.remove(&number),
                None => Some(Vec::new()),
            };
            if let Some(objects) = objects.filter(|_| number.is_multiple_of(self.every)) {
                let frame = Some(pictures::frame(picture, number));
                return Ok(Some(Sample { id: None, name: format!("frame {number}"), frame, objects }));
            }
        }
        if let Some(left) = self.labels.take().filter(|labels| !labels.is_empty()) {
            notes.push(format!("{} labelled frames lie beyond the end of the video, which has {}", left.len(), self.number));
        }
        Ok(None)
    }
}

/// Streets that egret draws itself: `frames` pictures from seeds `seed`, `seed + 1`, …, four of each.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streets {
    /// The first street.
    pub seed: u64,
    /// How many pictures in all.
    pub frames: u64,
    /// By night.
    pub night: bool,
    /// In rain.
    pub rain: bool,
}

/// Streets on their way.
#[cfg(feature = "sim")]
struct Drawing(Box<dyn Iterator<Item = crate::sim::scene::Shot>>);

#[cfg(feature = "sim")]
impl Drawing {
    fn open(Streets { seed, frames, night, rain }: Streets) -> Source {
        use crate::sim::scene::{Class, SceneConfig, TimeOfDay, Tour};

        let time = if night { TimeOfDay::Night } else { TimeOfDay::Day };
        let config = move |seed| SceneConfig { seed, time, rain, ..SceneConfig::default() };
        let len = usize::try_from(frames).unwrap_or(usize::MAX);
        let name = |class: &Class| format!("{class:?}").to_lowercase();
        let categories = Class::ALL.iter().map(name).collect();
        let kind = Kind::Streets(Self(Box::new(Tour::new(seed, config).take(len))));
        Source { categories: Some(categories), notes: Vec::new(), len: Some(len), kind }
    }

    fn next(&mut self) -> Option<Sample> {
        use crate::{media::HostPicture, sim::scene::Class};

        let shot = self.0.next()?;
        let objects = shot.truth.objects.iter().map(|object| {
            let [x1, y1, x2, y2] = object.visible_box.map(f64::from);
            let (w, h) = (x2 - x1, y2 - y1);
            let ignore = !super::labels::judged(h, f64::from(object.visible), f64::from(object.inside));
            let category = Class::ALL.iter().position(|class| *class == object.class).unwrap_or_default();
            Labelled { category, bbox: [x1, y1, w, h], area: w * h, crowd: false, ignore }
        });
        let objects = objects.collect();
        let picture = HostPicture::tight_i420(shot.size, shot.i420.into()).ok()?;
        let name = format!("street {}, frame {}", shot.seed, shot.number);
        Some(Sample { id: None, name, frame: Some(pictures::frame(picture, shot.number)), objects })
    }
}
