//! Going through a source of pictures: some are held out, the others shown to a calibration.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    PrecisionFailure,
    frames::{Content, From, Picture, Pictures},
};

/// Fewer frames say nothing about ranges, or about agreement.
const FEWEST: usize = 8;
/// One of so many different pictures is held out.
const GROUP: usize = 4;
/// Pictures that layers are ranked by.
pub(super) const RANKING: usize = 8;
/// Held-out pictures are in memory all at once.
const MAX_HELD_OUT: usize = 200;
const MAX_HELD_OUT_BYTES: usize = 1 << 30;
/// What to do where pictures are missing.
const MORE: &str = "give more pictures: 100 to 500 of the site itself";
/// How often it is told how far things are, at most.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Pictures that were told apart.
pub(super) struct Held {
    pub(super) pictures: Vec<Picture>,
    contents: HashSet<Content>,
    bytes: usize,
}

impl Held {
    /// Those of a source of their own.
    pub(super) fn of(from: Option<&From>) -> Result<Self, PrecisionFailure> {
        let mut held = Self { pictures: Vec::new(), contents: HashSet::new(), bytes: 0 };
        if let Some(from) = from {
            let mut pictures = Pictures::open(from, MAX_HELD_OUT)?;
            while let Some(picture) = pictures.next()? {
                if !held.take(picture) {
                    break;
                }
            }
            held.enough(from)?;
        }
        Ok(held)
    }

    fn enough(&self, from: &From) -> Result<(), PrecisionFailure> {
        require(from, self.pictures.len(), FEWEST, "held-out frames", "give more pictures, or others with --holdout")
    }

    /// Keeps a picture while there is room.
    fn take(&mut self, picture: Picture) -> bool {
        let (width, height) = picture.frame.pixels.size();
        self.bytes += width as usize * height as usize * 3 / 2;
        if self.pictures.len() == MAX_HELD_OUT || self.bytes > MAX_HELD_OUT_BYTES {
            return false;
        }
        self.contents.insert(picture.content);
        self.pictures.push(picture);
        true
    }
}

/// Pictures for calibration, as they were told apart from the held-out ones.
pub(super) struct Gathered {
    pub(super) contents: Vec<Content>,
    /// Some of them, to rank layers by.
    pub(super) ranking: Vec<Picture>,
    /// Pictures that were both in the source and among the held-out ones of another source, and so were left out.
    pub(super) shared: usize,
    pub(super) repeated: usize,
}

/// A source, and what is wanted of it.
#[derive(Clone, Copy)]
pub(super) struct Gathering<'a> {
    pub(super) from: &'a From,
    /// Most pictures to calibrate on.
    pub(super) frames: usize,
    /// Whether pictures to judge on are held out of it.
    pub(super) split: bool,
}

/// Pictures of a source in all, for so many to calibrate on.
///
/// # Errors
/// [`PrecisionFailure::Frames`]: with one of four held out, too few would be left to judge on.
pub fn pictures_for(frames: usize, split: bool) -> Result<usize, PrecisionFailure> {
    let smallest = FEWEST * (GROUP - 1);
    match (split, frames) {
        (false, _) => Ok(frames),
        (true, _) if frames < smallest => Err(PrecisionFailure::Frames { frames, needed: FEWEST, smallest }),
        (true, _) => Ok(frames.div_ceil(GROUP - 1) * GROUP),
    }
}

/// Says before any work what can be known then: that there are too few pictures. `from`: where it is known already.
///
/// # Errors
/// [`PrecisionFailure::Frames`], [`PrecisionFailure::TooFew`], [`PrecisionFailure::File`]
pub fn enough(from: Option<&From>, holdout: Option<&From>, frames: usize) -> Result<(), PrecisionFailure> {
    pictures_for(frames, holdout.is_none())?;
    let (needed, remedy) = match holdout {
        None => (
            FEWEST * GROUP,
            "a quarter is held out to be judged on; give more pictures, or others to be judged on with --holdout",
        ),
        Some(_) => (FEWEST, MORE),
    };
    for (from, needed, remedy) in [(from, needed, remedy), (holdout, FEWEST, "give more pictures with --holdout")] {
        let Some(from) = from else { continue };
        if let Some(count) = from.count()? {
            require(from, count, needed, "pictures", remedy)?;
        }
    }
    Ok(())
}

impl Gathering<'_> {
    /// Held-out pictures are kept, the others shown to `each`.
    pub(super) fn run(
        &self,
        held: &mut Held,
        progress: &mut dyn FnMut(&str),
        mut each: impl FnMut(&Picture) -> Result<(), PrecisionFailure>,
    ) -> Result<Gathered, PrecisionFailure> {
        let Self { from, frames, split } = *self;
        let mut pictures = Pictures::open(from, pictures_for(frames, split)?)?;
        let mut gathered = Gathered { contents: Vec::new(), ranking: Vec::new(), shared: 0, repeated: 0 };
        let mut told = Instant::now();
        while gathered.contents.len() < frames {
            let mut group = group(&mut pictures, if split { GROUP } else { 1 })?;
            if group.is_empty() {
                break;
            }
            // By content: what comes at the same place of each four, such as one of four cameras, is no better or worse off.
            let chosen = (0..group.len()).min_by_key(|at| group[*at].content).filter(|_| split && group.len() == GROUP);
            if let Some(at) = chosen {
                held.take(group.remove(at));
            }
            for picture in group {
                if held.contents.contains(&picture.content) {
                    gathered.shared += 1;
                } else if gathered.contents.len() < frames {
                    each(&picture)?;
                    gathered.contents.push(picture.content);
                    if gathered.ranking.len() < RANKING {
                        gathered.ranking.push(picture);
                    }
                }
            }
            if told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                progress(&format!("{} frames observed, at most {frames}", gathered.contents.len()));
            }
        }
        gathered.repeated = pictures.repeated;
        let count = gathered.contents.len();
        require(from, count, FEWEST, "calibration frames", MORE)?;
        held.enough(from)?;
        Ok(gathered)
    }
}

/// The next different pictures.
fn group(pictures: &mut Pictures, size: usize) -> Result<Vec<Picture>, PrecisionFailure> {
    let mut group = Vec::with_capacity(size);
    while group.len() < size {
        match pictures.next()? {
            Some(picture) => group.push(picture),
            None => break,
        }
    }
    Ok(group)
}

fn require(from: &From, count: usize, needed: usize, what: &'static str, remedy: &'static str) -> Result<(), PrecisionFailure> {
    if count >= needed {
        return Ok(());
    }
    let of = match from {
        From::Folder(_) => "JPEG and PNG files of this folder, not of folders in it",
        From::Video { .. } => "pictures of this video, one every --every",
        #[cfg(feature = "sim")]
        From::Streets { .. } => "pictures of these drawn streets",
    };
    Err(PrecisionFailure::TooFew { place: from.place(), of, count, what, needed, remedy })
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;

    fn streets(count: u64) -> From {
        From::Streets { seeds: 700_000..700_000 + count }
    }

    #[test]
    fn one_of_four_is_held_out_whatever_comes() {
        let from = streets(8);
        let gathering = Gathering { from: &from, frames: 24, split: true };
        enough(Some(&from), None, 24).unwrap();
        let (mut held, mut seen) = (Held::of(None).unwrap(), HashSet::new());
        let gathered = gathering.run(&mut held, &mut |_| {}, |picture| {
            seen.insert(picture.content);
            Ok(())
        });
        let gathered = gathered.unwrap();
        assert_eq!((gathered.contents.len(), seen.len(), held.pictures.len(), gathered.shared), (24, 24, 8, 0));
        assert!(held.pictures.iter().all(|picture| !seen.contains(&picture.content)));
    }

    #[test]
    fn too_few_are_told_before_anything_is_looked_at() {
        let (many, few) = (streets(100), streets(7));
        let error = enough(Some(&many), None, 23).unwrap_err().to_string();
        assert!(error.contains("--frames 23") && error.contains("give --frames 24 or more"), "{error}");
        assert!(enough(None, None, 23).is_err() && enough(None, Some(&few), 8).is_ok());
        assert!(enough(Some(&streets(1)), Some(&few), 500).is_err() && enough(Some(&few), Some(&streets(1)), 500).is_err());
        let error = enough(Some(&few), None, 500).unwrap_err().to_string();
        assert!(error.contains("28 pictures among") && error.contains("at least 32") && error.contains("--holdout"), "{error}");
        assert_eq!(
            (pictures_for(500, true).unwrap(), pictures_for(24, true).unwrap(), pictures_for(9, false).unwrap()),
            (668, 32, 9)
        );
    }
}
