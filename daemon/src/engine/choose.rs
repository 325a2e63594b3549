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
    // What was found of an engine says nothing of one that is cut otherwise.
    let rejected = exact.as_ref().filter(|manifest| manifest.outdated().is_none());
    let rejected = rejected.and_then(|manifest| manifest.rejected().map(ToOwned::to_owned));
    if let Some(manifest) = exact.filter(|manifest| manifest.rejected().is_none()) {
        match store.parts(&manifest) {
            Ok(_) => {
                return Ok(match manifest.outdated() {
                    None => Choice::Exact(manifest),
                    Some(why) => Choice::Other { manifest, why, instead: None },
                });
            }
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
        } else if let Err(error) = store.parts(&manifest) {
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
    use crate::engine::{
        Parts, Verdict,
        key::tests::key,
        manifest::tests::{manifest, with_tail},
    };

    fn put(store: &mut Store, change: impl Fn(&mut Key), verdict: Option<bool>) -> Manifest {
        let mut key = key();
        change(&mut key);
        let plan = key.stem().into_bytes();
        let mut manifest = manifest(&key, &plan);
        manifest.verdict = verdict.map(|passed| Verdict { passed, at: "now".into(), reason: "recall 0.2".into() });
        store.put(&manifest, &Parts { plan, tail: None }).expect("put");
        manifest
    }

    #[test]
    fn what_was_cut_by_other_rules_serves_until_it_is_built_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new(folder.path());
        let parts = Parts { plan: b"plan".to_vec(), tail: Some(b"tail".to_vec()) };
        let mut there = with_tail(&key(), &parts.plan, b"tail");
        store.put(&there, &parts).expect("put");
        assert!(matches!(choose(&mut store, &key()).expect("a look"), Choice::Exact(found) if found == there));
        there.tail.as_mut().expect("a tail").rules = 0;
        store.put(&there, &parts).expect("put");
        let Choice::Other { manifest, why, .. } = choose(&mut store, &key()).expect("a look") else { unreachable!("it serves") };
        assert!(manifest == there && why.contains("rules of version 0"), "{why}");
        // It was found bad: the next one may be better, and until then it does not serve.
        there.verdict = Some(Verdict { passed: false, at: "now".into(), reason: "recall 0.2".into() });
        store.put(&there, &parts).expect("put");
        assert!(matches!(choose(&mut store, &key()).expect("a look"), Choice::None(_)));
    }

    #[test]
    fn a_tail_that_is_gone_or_damaged_is_the_engine_s_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new(folder.path());
        let there = with_tail(&key(), b"plan", b"tail");
        store.put(&there, &Parts { plan: b"plan".to_vec(), tail: Some(b"tail".to_vec()) }).expect("put");
        let file = folder.path().join(&there.tail.as_ref().expect("a tail").file.file);
        for (bytes, words) in [(Some("tall"), "other bytes"), (Some("tai"), "fewer bytes"), (None, "is not there")] {
            match bytes {
                Some(bytes) => fs::write(&file, bytes).expect("written"),
                None => fs::remove_file(&file).expect("removed"),
            }
            let Choice::None(why) = choose(&mut store, &key()).expect("a look") else { unreachable!("it is not handed out") };
            assert!(why[0].contains(words) && why[0].contains(".tail") && why[0].contains("build it anew"), "{why:?}");
        }
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
