//! All figures of a sequence, or of several together.

use serde::Serialize;

use super::{clear::Clear, hota::Hota, identity::Identity, scene::Scene};

/// What all figures are made from; sequences add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Who was found, and who changed names.
    pub clear: Clear,
    /// Who had the right name.
    pub identity: Identity,
    /// Both, at many thresholds.
    pub hota: Hota,
}

impl Outcome {
    /// Judges a sequence.
    pub fn of(scene: &Scene) -> Self {
        Self { clear: Clear::of(scene), identity: Identity::of(scene), hota: Hota::of(scene) }
    }

    /// Adds another sequence.
    pub fn add(&mut self, other: &Self) {
        self.clear.add(&other.clear);
        self.identity.add(&other.identity);
        self.hota.add(&other.hota);
    }

    /// The figures as they are published.
    pub fn figures(&self) -> Figures {
        let Self { clear, identity, hota } = self;
        Figures {
            hota: 100.0 * hota.hota(),
            det_a: 100.0 * hota.det_a(),
            ass_a: 100.0 * hota.ass_a(),
            loc_a: 100.0 * hota.loc_a(),
            mota: 100.0 * clear.mota(),
            motp: 100.0 * clear.motp(),
            idf1: 100.0 * identity.f1(),
            idp: 100.0 * identity.precision(),
            idr: 100.0 * identity.recall(),
            id_switches: clear.id_switches,
            fragmentations: clear.fragmentations,
            true_positives: clear.true_positives,
            false_positives: clear.false_positives,
            false_negatives: clear.false_negatives,
            mostly_tracked: clear.mostly_tracked,
            partly_tracked: clear.partly_tracked,
            mostly_lost: clear.mostly_lost,
        }
    }
}

/// The figures as they are published: shares in percent, the rest are counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Figures {
    /// HOTA.
    pub hota: f64,
    /// Detection accuracy of HOTA.
    #[serde(rename = "DetA")]
    pub det_a: f64,
    /// Association accuracy of HOTA.
    #[serde(rename = "AssA")]
    pub ass_a: f64,
    /// Localisation accuracy of HOTA.
    #[serde(rename = "LocA")]
    pub loc_a: f64,
    /// Multiple object tracking accuracy; below zero where more is wrong than right.
    pub mota: f64,
    /// Mean IoU of what was found.
    pub motp: f64,
    /// F1 of the boxes under the right name.
    pub idf1: f64,
    /// Their precision.
    pub idp: f64,
    /// Their recall.
    pub idr: f64,
    /// How often an object is found under another identity than the last time.
    #[serde(rename = "IDSW")]
    pub id_switches: u64,
    /// How often an object is found again after it was not.
    #[serde(rename = "Frag")]
    pub fragmentations: u64,
    /// True boxes that were found.
    #[serde(rename = "TP")]
    pub true_positives: u64,
    /// Tracked boxes that lie on nothing.
    #[serde(rename = "FP")]
    pub false_positives: u64,
    /// True boxes that were not found.
    #[serde(rename = "FN")]
    pub false_negatives: u64,
    /// Objects found in more than 80 % of their frames.
    #[serde(rename = "MT")]
    pub mostly_tracked: u64,
    /// Objects found in 20 to 80 % of them.
    #[serde(rename = "PT")]
    pub partly_tracked: u64,
    /// Objects found in less.
    #[serde(rename = "ML")]
    pub mostly_lost: u64,
}
