//! Pictures for calibration and for judging, from folders and videos, told apart by their content.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::PrecisionFailure;
#[cfg(feature = "sim")]
use crate::sim::scene::{PER_STREET, SceneConfig, Shot, Tour};
use crate::{
    eval::pictures::{self, Video},
    file,
    media::{Frame, HostPicture},
};

/// Files that a folder may hold.
const MAX_FILES: usize = 200_000;

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// JPEG and PNG files of a folder.
    Folder(PathBuf),
    /// A video file; a picture at every so-manieth instant.
    Video {
        /// The file.
        file: PathBuf,
        /// Time between two pictures.
        every: Duration,
    },
    /// Streets that egret draws itself: day and night, dry and in rain, four pictures of each.
    #[cfg(feature = "sim")]
    Streets {
        /// Their seeds.
        seeds: std::ops::Range<u64>,
    },
}

/// What stands before the seed of drawn streets.
const SCENE: &str = "scene:";

impl From {
    /// A folder, a video of which a picture is taken `every` so often, or `scene:SEED` or
    /// `scene:FIRST..END` for drawn streets.
    ///
    /// # Errors
    /// [`PrecisionFailure::File`], [`PrecisionFailure::Seed`]
    pub fn path(path: &Path, every: Duration) -> Result<Self, PrecisionFailure> {
        if let Some(seed) = path.to_str().and_then(|text| text.strip_prefix(SCENE)) {
            return Self::streets(seed);
        }
        let metadata = fs::metadata(path).map_err(|source| PrecisionFailure::File { path: path.to_owned(), source })?;
        Ok(if metadata.is_dir() { Self::Folder(path.to_owned()) } else { Self::Video { file: path.to_owned(), every } })
    }

    #[cfg(feature = "sim")]
    fn streets(text: &str) -> Result<Self, PrecisionFailure> {
        let (first, end) = text.split_once("..").map_or((text, None), |(first, end)| (first, Some(end)));
        let seeds = first.parse().ok().zip(end.map_or(Some(u64::MAX), |end| end.parse().ok()));
        match seeds {
            Some((first, end)) if first < end => Ok(Self::Streets { seeds: first..end }),
            _ => {
                let reason = "give a seed, or the first and the one after the last: scene:400000, scene:400000..400050";
                Err(PrecisionFailure::Seed { text: format!("{SCENE}{text}"), reason })
            }
        }
    }

    #[cfg(not(feature = "sim"))]
    fn streets(text: &str) -> Result<Self, PrecisionFailure> {
        let reason = "this build draws no streets: build with the feature `sim`, or give a folder or a video";
        Err(PrecisionFailure::Seed { text: format!("{SCENE}{text}"), reason })
    }

    /// How many pictures there are, where that is known before any is looked at.
    pub(super) fn count(&self) -> Result<Option<usize>, PrecisionFailure> {
        match self {
            Self::Folder(folder) => files(folder).map(|files| Some(files.len())),
            Self::Video { .. } => Ok(None),
            #[cfg(feature = "sim")]
            Self::Streets { seeds } => {
                let streets = usize::try_from(seeds.end - seeds.start).unwrap_or(usize::MAX);
                Ok(Some(streets.saturating_mul(PER_STREET as usize)))
            }
        }
    }

    /// The folder, the file, or the streets, as they were named.
    pub fn place(&self) -> String {
        match self {
            Self::Folder(path) | Self::Video { file: path, .. } => path.display().to_string(),
            #[cfg(feature = "sim")]
            Self::Streets { seeds } => format!("{SCENE}{}..{}", seeds.start, seeds.end),
        }
    }
}

/// SHA-256 of a picture's size and samples.
pub(super) type Content = [u8; 32];

/// A picture and what it is known by.
pub(super) struct Picture {
    pub(super) content: Content,
    pub(super) frame: Frame,
}

/// Pictures one after the other, each content once.
pub(super) struct Pictures {
    kind: Kind,
    seen: HashSet<Content>,
    /// Pictures that came again.
    pub(super) repeated: usize,
}

enum Kind {
    Files(std::vec::IntoIter<PathBuf>),
    Video {
        video: Video,
        file: PathBuf,
        every: Duration,
        next: Duration,
    },
    #[cfg(feature = "sim")]
    Streets(Box<dyn Iterator<Item = Shot>>),
}

impl Pictures {
    /// At most about `wanted` pictures: of a folder with more, evenly spread ones.
    pub(super) fn open(from: &From, wanted: usize) -> Result<Self, PrecisionFailure> {
        let kind = match from {
            From::Folder(folder) => {
                let files = files(folder)?;
                let of = files.len();
                let keep = |(i, _): &(usize, PathBuf)| of <= wanted || i * wanted / of != (i + 1) * wanted / of;
                Kind::Files(files.into_iter().enumerate().filter(keep).map(|(_, path)| path).collect::<Vec<_>>().into_iter())
            }
            From::Video { file, every } => {
                let video = Video::open(file).map_err(|reason| PrecisionFailure::Decode { path: file.clone(), reason })?;
                Kind::Video { video, file: file.clone(), every: *every, next: Duration::ZERO }
            }
            #[cfg(feature = "sim")]
            From::Streets { seeds } => {
                let end = seeds.end;
                let shots = Tour::new(seeds.start, SceneConfig::mixed).take_while(move |shot| shot.seed < end);
                Kind::Streets(Box::new(shots.take(wanted)))
            }
        };
        Ok(Self { kind, seen: HashSet::new(), repeated: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<Picture>, PrecisionFailure> {
        while let Some(picture) = self.kind.next()? {
            let content = content(&picture);
            if self.seen.insert(content) {
                return Ok(Some(Picture { content, frame: pictures::frame(picture, 0) }));
            }
            self.repeated += 1;
        }
        Ok(None)
    }
}

impl Kind {
    fn next(&mut self) -> Result<Option<HostPicture>, PrecisionFailure> {
        match self {
            Self::Files(files) => {
                let Some(path) = files.next() else { return Ok(None) };
                let picture = pictures::read_image(&path).map_err(|reason| PrecisionFailure::Decode { path, reason })?;
                Ok(Some(picture))
            }
            Self::Video { video, file, every, next } => loop {
                let decoded = video.next_at().map_err(|reason| PrecisionFailure::Decode { path: file.clone(), reason })?;
                let Some((picture, at)) = decoded else { return Ok(None) };
                if at >= *next {
                    *next = at + *every;
                    return Ok(Some(picture));
                }
            },
            #[cfg(feature = "sim")]
            Self::Streets(shots) => {
                let Some(Shot { seed, size, i420, .. }) = shots.next() else { return Ok(None) };
                let path = || PathBuf::from(format!("{SCENE}{seed}"));
                let picture = HostPicture::tight_i420(size, i420.into());
                picture.map(Some).map_err(|fault| PrecisionFailure::Decode { path: path(), reason: fault.to_string() })
            }
        }
    }
}

/// The picture files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, PrecisionFailure> {
    let failed = |source| PrecisionFailure::File { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)?.take(MAX_FILES) {
        let path = entry.map_err(failed)?.path();
        if pictures::is_picture(&path) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn content(picture: &HostPicture) -> Content {
    let mut hasher = Sha256::new();
    hasher.update(picture.width().to_le_bytes());
    hasher.update(picture.height().to_le_bytes());
    for plane in 0..picture.plane_count() {
        let (bytes, stride) = picture.plane(plane);
        let (row, rows) = picture.plane_size(plane);
        (0..rows).for_each(|y| hasher.update(&bytes[y * stride..][..row]));
    }
    hasher.finalize().into()
}

/// One digest of a set of pictures, whatever their order.
pub(super) fn digest(contents: &mut [Content]) -> String {
    contents.sort_unstable();
    file::sha256(contents.as_flattened())
}
