//! What the metrics look at: who is where in each frame, and who overlaps whom, after what must not count was taken out.

use std::collections::BTreeMap;

use super::matching::{Pair, heaviest};

/// A box in pixels, as MOTChallenge's files have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Never negative.
    pub width: f64,
    /// Never negative.
    pub height: f64,
}

impl Rect {
    /// Intersection over union; 0 where one of the two has no area.
    pub fn iou(&self, other: &Self) -> f64 {
        let (a, b) = (self.corners(), other.corners());
        let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
        let (one, two) = (area(a), area(b));
        let intersection = width * height;
        let union = one + two - intersection;
        if one <= f64::EPSILON || two <= f64::EPSILON || union <= f64::EPSILON { 0.0 } else { intersection / union }
    }

    fn corners(&self) -> [f64; 4] {
        [self.left, self.top, self.left + self.width, self.top + self.height]
    }
}

fn area(corners: [f64; 4]) -> f64 {
    (corners[2] - corners[0]) * (corners[3] - corners[1])
}

/// A box of somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    /// Whose, unique in its frame.
    pub id: u64,
    /// Where.
    pub bbox: Rect,
}

/// What a true box counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is to be found.
    Counts,
    /// It is neither right nor wrong to find, and tracks on it are taken out.
    Distracts,
    /// It is not to be found; a track on it is wrong.
    Nothing,
}

/// A true box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Who and where.
    pub named: Named,
    /// What it counts for.
    pub worth: Worth,
}

/// One frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The true identities in it, numbered from 0 over the whole scene.
    pub objects: Vec<u32>,
    /// The tracked identities in it, numbered likewise.
    pub tracks: Vec<u32>,
    /// IoU above 0 of `objects[row]` and `tracks[column]`.
    pub overlaps: Vec<Pair>,
}

/// A sequence as it is judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// How many true identities there are.
    pub objects: usize,
    /// How many tracked identities there are.
    pub tracks: usize,
    /// In order of time.
    pub frames: Vec<Frame>,
}

/// Numbers identities from 0.
#[derive(Default)]
struct Numbers(BTreeMap<u64, u32>);

impl Numbers {
    fn of(&mut self, id: u64) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(id).or_insert(next)
    }
}

/// As MOTChallenge counts a pair as one that may be matched; the slack is that of its evaluation.
pub(super) const LEAST_IOU: f64 = 0.5 - f64::EPSILON;

impl Scene {
    /// Brings truth and tracks together, frame by frame; the shorter of the two is taken to be empty where it ends.
    ///
    /// With `distractors`, tracks are first matched with all true boxes, whatever those are worth, at an IoU of 0.5 and for the
    /// greatest sum of IoUs; those on something that distracts are taken out.
    pub fn new(truth: &[Vec<Truth>], tracks: &[Vec<Named>], distractors: bool) -> Self {
        let (mut objects, mut tracked) = (Numbers::default(), Numbers::default());
        let frames = (0..truth.len().max(tracks.len()))
            .map(|at| {
                let truth = truth.get(at).map_or(&[][..], Vec::as_slice);
                let tracks = tracks.get(at).map_or(&[][..], Vec::as_slice);
                let taken = if distractors { distracted(truth, tracks) } else { Vec::new() };
                let kept: Vec<&Named> =
                    tracks.iter().enumerate().filter(|(i, _)| !taken.contains(i)).map(|(_, named)| named).collect();
                let counted: Vec<&Named> = truth.iter().filter(|t| t.worth == Worth::Counts).map(|t| &t.named).collect();
                Frame {
                    overlaps: overlaps(&counted, &kept, 0.0),
                    objects: counted.iter().map(|named| objects.of(named.id)).collect(),
                    tracks: kept.iter().map(|named| tracked.of(named.id)).collect(),
                }
            })
            .collect();
        Self { objects: objects.0.len(), tracks: tracked.0.len(), frames }
    }

    /// How many true boxes there are.
    pub fn true_boxes(&self) -> usize {
        self.frames.iter().map(|frame| frame.objects.len()).sum()
    }

    /// How many tracked boxes there are.
    pub fn tracked_boxes(&self) -> usize {
        self.frames.iter().map(|frame| frame.tracks.len()).sum()
    }
}

/// The pairs with an IoU above zero and of at least `least`.
fn overlaps(rows: &[&Named], columns: &[&Named], least: f64) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (row, a) in rows.iter().enumerate() {
        for (column, b) in columns.iter().enumerate() {
            let weight = a.bbox.iou(&b.bbox);
            if weight > f64::EPSILON && weight >= least {
                pairs.push(Pair { row: row as u32, column: column as u32, weight });
            }
        }
    }
    pairs
}

/// Which tracks lie on something that distracts.
fn distracted(truth: &[Truth], tracks: &[Named]) -> Vec<usize> {
    if truth.iter().all(|truth| truth.worth != Worth::Distracts) {
        return Vec::new();
    }
    let rows: Vec<&Named> = truth.iter().map(|truth| &truth.named).collect();
    let columns: Vec<&Named> = tracks.iter().collect();
    let pairs = overlaps(&rows, &columns, LEAST_IOU);
    let matched = heaviest(&pairs).into_iter().map(|index| pairs[index]);
    matched.filter(|pair| truth[pair.row as usize].worth == Worth::Distracts).map(|pair| pair.column as usize).collect()
}
