//! The built-in catalogue: manifests of well-known networks with permissive licences (and two of TAO with a note). Their weights
//! are not part of it.

use crate::manifest::{Manifest, Problem};

/// Names and manifests, sorted by name.
pub const CATALOGUE: &[(&str, &str)] = &[
    ("dfine_n", include_str!("../zoo/dfine_n/model.toml")),
    ("dfine_s", include_str!("../zoo/dfine_s/model.toml")),
    ("nanodet_plus_m_416", include_str!("../zoo/nanodet_plus_m_416/model.toml")),
    ("osnet_x0_25", include_str!("../zoo/osnet_x0_25/model.toml")),
    ("osnet_x1_0", include_str!("../zoo/osnet_x1_0/model.toml")),
    ("peoplenet", include_str!("../zoo/peoplenet/model.toml")),
    ("resnet50_v2", include_str!("../zoo/resnet50_v2/model.toml")),
    ("rfdetr_base", include_str!("../zoo/rfdetr_base/model.toml")),
    ("rtdetr_r18", include_str!("../zoo/rtdetr_r18/model.toml")),
    ("ssd300_resnet50", include_str!("../zoo/ssd300_resnet50/model.toml")),
    ("ssd_mobilenet_v1", include_str!("../zoo/ssd_mobilenet_v1/model.toml")),
    ("ssd_mobilenet_v2", include_str!("../zoo/ssd_mobilenet_v2/model.toml")),
    ("trafficcamnet", include_str!("../zoo/trafficcamnet/model.toml")),
    ("yolox_l", include_str!("../zoo/yolox_l/model.toml")),
    ("yolox_m", include_str!("../zoo/yolox_m/model.toml")),
    ("yolox_nano", include_str!("../zoo/yolox_nano/model.toml")),
    ("yolox_s", include_str!("../zoo/yolox_s/model.toml")),
    ("yolox_tiny", include_str!("../zoo/yolox_tiny/model.toml")),
];

/// Why a name of the catalogue gives no manifest.
#[derive(Debug, thiserror::Error)]
pub enum NotInCatalogue {
    /// Nothing is called so.
    #[error("no model `{name}` in the catalogue; it has {}", CATALOGUE.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))]
    NoSuchModel {
        /// What was asked for.
        name: String,
    },
    /// The manifest that is built in is wrong; a test keeps this from happening.
    #[error("the built-in manifest of `{name}`: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wrong {
        /// Its name.
        name: String,
        /// All problems.
        problems: Vec<Problem>,
    },
}

/// The text of a manifest of the catalogue.
pub fn text(name: &str) -> Option<&'static str> {
    CATALOGUE.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A manifest of the catalogue.
///
/// # Errors
/// [`NotInCatalogue`].
pub fn manifest(name: &str) -> Result<Manifest, NotInCatalogue> {
    let text = text(name).ok_or_else(|| NotInCatalogue::NoSuchModel { name: name.to_owned() })?;
    Manifest::parse(text).map_err(|problems| NotInCatalogue::Wrong { name: name.to_owned(), problems })
}
