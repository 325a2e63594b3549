//! What the objects of one camera look like, so that one that comes back after a long time is known again.
//!
//! A track that has just begun is held against those that are gone: of the same class, alike enough, clearly more alike than the next
//! best, and gone from a place and at a time from which this one can have come. All in media time and in heights of the boxes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use egret_models::task::cosine;

use crate::{
    config::AppearanceConfig,
    media::{BBox, ModelInfo, Rename, Track, TrackId, TrackPhase},
};

/// A track is held against those that are gone for so long after it was first seen.
const YOUNG: Duration = Duration::from_secs(5);
/// How far an object comes unseen whatever it did before: heights of its box, at once and in each second.
const NEAR: f32 = 2.0;
const STROLL: f32 = 2.0;
/// And so many times as far as its speed when it was last seen says.
const FASTER: f32 = 2.0;
/// By which factor its box may be larger or smaller, at once and in each second.
const RESIZED: f32 = 2.0;
const GROWTH: f32 = 1.0;
/// Looks at tracks that were renamed meanwhile may be under way: so many renames are remembered.
const MOST_RENAMED: usize = 256;

/// What a track looks like.
struct Look {
    by: Arc<ModelInfo>,
    vector: Arc<[f32]>,
}

struct Entry {
    /// As it was last told.
    track: Track,
    look: Option<Look>,
    /// When and where it was first seen.
    first: (Duration, BBox),
    /// When it was last seen.
    last: Duration,
    /// It has a new appearance and may turn out to be somebody known.
    open: bool,
    ended: bool,
}

/// An object that is known again.
#[derive(Debug)]
pub(in crate::track) struct Known {
    pub(in crate::track) rename: Rename,
    /// As it was last told under its old identity.
    pub(in crate::track) past: Track,
}

/// The objects of one camera by their identities.
pub(super) struct Gallery {
    config: AppearanceConfig,
    entries: BTreeMap<TrackId, Entry>,
    /// From, to; oldest first.
    renamed: VecDeque<(TrackId, TrackId)>,
    clock: Duration,
}

impl Entry {
    fn new(track: &Track, clock: Duration) -> Self {
        Self { track: *track, look: None, first: (clock, track.bbox), last: clock, open: false, ended: false }
    }

    /// How unlike `past` it looks; `None`: it cannot be the same.
    fn distance(&self, past: &Self, config: &AppearanceConfig) -> Option<f32> {
        let (now, then) = (self.look.as_ref()?, past.look.as_ref()?);
        // Whoever was seen beside it is somebody else.
        let unseen = self.first.0.checked_sub(past.last).filter(|unseen| !unseen.is_zero() && *unseen <= config.memory)?;
        let comparable = self.track.class == past.track.class && now.by.name == then.by.name;
        let distance = 1.0 - cosine(&now.vector, &then.vector);
        (comparable && distance <= config.limit && could_come(&past.track, &self.first.1, unseen.as_secs_f32()))
            .then_some(distance)
    }
}

/// Whether what was last seen there can be here so many seconds later.
fn could_come(from: &Track, to: &BBox, seconds: f32) -> bool {
    let centre = |b: &BBox| (f32::midpoint(b.x1, b.x2), f32::midpoint(b.y1, b.y2));
    let ((x, y), (to_x, to_y)) = (centre(&from.bbox), centre(to));
    let (small, large) = (from.bbox.height().min(to.height()), from.bbox.height().max(to.height()));
    let way = FASTER * from.velocity.0.hypot(from.velocity.1) * seconds;
    (to_x - x).hypot(to_y - y) <= large * (NEAR + STROLL * seconds) + way && large <= small * (RESIZED + GROWTH * seconds)
}

impl Gallery {
    pub(super) fn new(config: AppearanceConfig) -> Self {
        Self { config, entries: BTreeMap::new(), renamed: VecDeque::new(), clock: Duration::ZERO }
    }

    /// Takes in what a frame's story says of tracks. `clock` never goes back.
    pub(super) fn see(&mut self, tracks: &[Track], clock: Duration) {
        self.clock = clock;
        for track in tracks {
            let entry = self.entries.entry(track.id).or_insert_with(|| Entry::new(track, clock));
            entry.track = *track;
            entry.ended = track.phase == TrackPhase::End;
            if !entry.ended {
                entry.last = clock;
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        let (clock, memory) = (self.clock, self.config.memory);
        self.entries.retain(|_, entry| !entry.ended || (entry.look.is_some() && clock.saturating_sub(entry.last) <= memory));
        let gone = |entry: &Entry| entry.ended;
        while self.entries.values().filter(|entry| gone(entry)).count() > self.config.entries {
            let oldest = self.entries.iter().filter(|(_, entry)| gone(entry)).min_by_key(|(id, entry)| (entry.last, **id));
            let Some(id) = oldest.map(|(id, _)| *id) else { return };
            self.entries.remove(&id);
        }
    }

    /// What a track looks like by now.
    pub(super) fn look(&mut self, track: TrackId, by: &Arc<ModelInfo>, vector: &Arc<[f32]>) {
        let Some(entry) = self.entries.get_mut(&track) else { return };
        // Of several networks the first one to look counts: what they say cannot be compared.
        if entry.look.as_ref().is_some_and(|look| look.by.name != by.name) {
            return;
        }
        entry.look = Some(Look { by: by.clone(), vector: vector.clone() });
        entry.open = self.clock.saturating_sub(entry.first.0) <= YOUNG;
    }

    /// What a track is called now, if it was renamed.
    pub(super) fn name(&self, track: TrackId) -> TrackId {
        self.renamed.iter().fold(track, |track, (from, to)| if track == *from { *to } else { track })
    }

    /// The tracks that turn out to be objects known before, each with no other. `born`: when a track that is followed was first seen,
    /// which is before it was told of.
    pub(super) fn recognise(&mut self, born: impl Fn(TrackId) -> Option<Duration>) -> Vec<Known> {
        let mut open: Vec<TrackId> = Vec::new();
        for (id, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.open) {
            if let Some(born) = born(*id) {
                entry.first.0 = born;
                open.push(*id);
            }
            entry.open = false;
        }
        let mut pairs: Vec<(f32, TrackId, TrackId)> = Vec::new();
        for id in open {
            if let Some((distance, past)) = self.best(id) {
                pairs.push((distance, id, past));
            }
        }
        let clearly = |one: f32, other: f32| other >= one + self.config.margin;
        let unrivalled = |(i, pair): (usize, &(f32, TrackId, TrackId))| {
            let mut rivals = pairs.iter().enumerate().filter(|(j, other)| *j != i && other.2 == pair.2);
            rivals.all(|(j, other)| clearly(pair.0, other.0) && (pair.0 < other.0 || i < j))
        };
        let chosen: Vec<_> = pairs.iter().enumerate().filter(|(i, pair)| unrivalled((*i, pair))).map(|(_, pair)| *pair).collect();
        chosen.into_iter().filter_map(|(distance, from, to)| self.rename(from, to, distance)).collect()
    }

    /// The one that a track looks most like, if that is in no doubt.
    fn best(&self, id: TrackId) -> Option<(f32, TrackId)> {
        let entry = self.entries.get(&id)?;
        let others = self.entries.iter().filter(|(other, _)| **other != id);
        let mut fits: Vec<(f32, TrackId)> =
            others.filter_map(|(other, past)| Some((entry.distance(past, &self.config)?, *other))).collect();
        fits.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (best, second) = (fits.first()?, fits.get(1));
        second.is_none_or(|second| second.0 >= best.0 + self.config.margin).then_some(*best)
    }

    fn rename(&mut self, from: TrackId, to: TrackId, distance: f32) -> Option<Known> {
        // A chain within one frame: the one that this was taken for has itself been renamed.
        if !self.entries.contains_key(&to) {
            return None;
        }
        let (mut entry, past) = (self.entries.remove(&from)?, self.entries.remove(&to)?);
        let unseen = entry.first.0.saturating_sub(past.last);
        let by = entry.look.as_ref()?.by.clone();
        let rename = Rename { from, to, class: entry.track.class, by, distance, unseen };
        let hits = entry.track.hits.saturating_add(past.track.hits);
        entry.track = Track { id: to, first_seen: past.track.first_seen, hits, ..entry.track };
        entry.first = past.first;
        self.entries.insert(to, entry);
        if self.renamed.len() == MOST_RENAMED {
            self.renamed.pop_front();
        }
        self.renamed.push_back((from, to));
        Some(Known { rename, past: past.track })
    }
}

#[cfg(test)]
#[path = "gallery_tests.rs"]
mod tests;
