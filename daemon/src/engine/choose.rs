//! Which of the engines that are there serves.

use super::{EngineError, Key, Manifest, Store};

/// What there is for a key.
#[derive(Clone, Debug)]
pub enum Choice {
    /// The engine that is wanted, whole.
    Exact(Manifest),
    /// Another one of the same model that can serve until it is built; and why it is another.
    Other {
        /// The engine.
        manifest: Manifest,
        /// In what it differs.
        why: String,
        /// Why the one that is wanted is not there, if it should be.
        instead: Option<String>,
    },
    /// None; and why those that there are will not do, one line each.
    None(Vec<String>),
    /// The one that is wanted is there, and must not serve: building it again would change nothing.
    Rejected {
        /// Why.
        reason: String,
        /// What can serve.
        other: Option<Manifest>,
    },
}

/// Looks for an engine, and at each that could be it: what is damaged is never handed out.
///
/// # Errors
/// [`EngineError::File`] where the folder cannot be read.
pub fn choose(store: &mut Store, key: &Key) -> Result<Choice, EngineError> {
    let mut against = Vec::new();
    let exact = match store.find(key) {
        Ok(found) => found,
        Err(error @ EngineError::File { .. }) => return Err(error),
        Err(damaged) => {
            against.push(damaged.to_string());
            None
        }
    };
    let rejected = exact.as_ref().and_then(|manifest| manifest.rejected().map(ToOwned::to_owned));
    if let Some(manifest) = exact.filter(|_| rejected.is_none()) {
        match store.plan(&manifest) {
            Ok(_) => return Ok(Choice::Exact(manifest)),
            Err(error) => against.push(error.to_string()),
        }
    }
    let mut other = None;
    for (manifest, differences) in store.others(key)? {
        let why = differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let told = |why: &str| format!("engine of {}, built {}: {why}", manifest.name, manifest.built_at);
        if differences.iter().any(|difference| difference.fatal) {
            against.push(told(&why));
        } else if let Some(reason) = manifest.rejected() {
            against.push(told(reason));
        } else if let Err(error) = store.plan(&manifest) {
            against.push(error.to_string());
        } else {
            other = Some((manifest, why));
            break;
        }
    }
    Ok(match (rejected, other) {
        (Some(reason), other) => Choice::Rejected { reason, other: other.map(|(manifest, _)| manifest) },
        (None, Some((manifest, why))) => {
            Choice::Other { manifest, why, instead: (!against.is_empty()).then(|| against.join("; ")) }
        }
        (None, None) => Choice::None(against),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::{key::tests::key, manifest::Verdict, manifest::tests::manifest};

    fn put(store: &mut Store, change: impl Fn(&mut Key), verdict: Option<bool>) -> Manifest {
        let mut key = key();
        change(&mut key);
        let mut manifest = manifest(&key, key.stem().as_bytes());
        manifest.verdict = verdict.map(|passed| Verdict { passed, at: "now".into(), reason: "recall 0.2".into() });
        store.put(&manifest, key.stem().as_bytes()).expect("put");
        manifest
    }

    #[test]
    fn the_wanted_one_then_one_that_can_serve_then_none_with_all_reasons() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new(folder.path());
        assert!(matches!(choose(&mut store, &key()).expect("a look"), Choice::None(why) if why.is_empty()));
        put(&mut store, |key| key.tensorrt = "10.16.2".into(), None);
        put(&mut store, |key| key.device = "Thor".into(), None);
        let Choice::None(why) = choose(&mut store, &key()).expect("a look") else { unreachable!("none fits") };
        assert!(why.len() == 2 && why.iter().any(|why| why.ends_with("TensorRT 10.16.2, and here is 10.3.0")), "{why:?}");
        put(&mut store, |key| key.l4t = Some("36.4.0".into()), None);
        let Choice::Other { why, .. } = choose(&mut store, &key()).expect("a look") else { unreachable!("one serves") };
        assert_eq!(why, "it is for L4T R36.4.0, and here is R36.4.3");
        let exact = put(&mut store, |_| {}, Some(true));
        assert!(matches!(choose(&mut store, &key()).expect("a look"), Choice::Exact(found) if found == exact));
        fs::write(folder.path().join(&exact.plan.file), "other bytes").expect("written");
        let Choice::Other { instead: Some(instead), .. } = choose(&mut store, &key()).expect("a look") else {
            unreachable!("the damaged one is not handed out")
        };
        assert!(instead.contains("bytes than") && instead.contains("build it anew"), "{instead}");
    }

    #[test]
    fn what_was_found_to_disagree_is_not_served_nor_built_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new(folder.path());
        put(&mut store, |_| {}, Some(false));
        let Choice::Rejected { reason, other } = choose(&mut store, &key()).expect("a look") else { unreachable!("rejected") };
        assert_eq!((reason.as_str(), other), ("recall 0.2", None));
        let old = put(&mut store, |key| key.profile.max = 4, None);
        let Choice::Rejected { other, .. } = choose(&mut store, &key()).expect("a look") else { unreachable!("rejected") };
        assert_eq!(other, Some(old));
        put(&mut store, |key| key.profile.max = 4, Some(false));
        assert!(matches!(choose(&mut store, &key()).expect("a look"), Choice::Rejected { other: None, .. }));
    }
}
