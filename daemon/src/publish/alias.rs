//! Topic aliases of MQTT 5 (§3.3.2.3.4): a number instead of a topic's name, for the topics that are used most.

use std::{collections::HashMap, sync::Arc};

/// Most aliases that we give, whatever the broker would take.
const MOST: u16 = 64;
/// Most topics whose use is counted.
const KNOWN: usize = 1024;
/// After so many messages what was used long ago counts half.
const MEMORY: u32 = 4096;

/// The aliases of one connection.
#[derive(Default)]
pub(super) struct Aliases {
    most: u16,
    given: HashMap<Arc<str>, u16>,
    uses: HashMap<Arc<str>, u32>,
    sent: u32,
}

/// How a topic is named in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// By its name.
    Whole,
    /// By its name, which from now on has this alias.
    Introduced(u16),
    /// By its alias.
    Alias(u16),
}

impl Aliases {
    /// As many as the broker takes: its topic alias maximum.
    pub(super) fn new(most: u16) -> Self {
        Self { most: most.min(MOST), ..Self::default() }
    }

    /// How a topic is named in the packet that is written now.
    pub(super) fn name(&mut self, topic: &Arc<str>) -> Naming {
        if self.most == 0 {
            return Naming::Whole;
        }
        let uses = self.used(topic);
        if let Some(alias) = self.given.get(topic) {
            return Naming::Alias(*alias);
        }
        let given = self.given.len() as u16;
        let alias = if given < self.most { Some(given + 1) } else { self.taken_from_the_coldest(uses) };
        let Some(alias) = alias else { return Naming::Whole };
        self.given.insert(topic.clone(), alias);
        Naming::Introduced(alias)
    }

    /// How often it was used lately, this time included.
    fn used(&mut self, topic: &Arc<str>) -> u32 {
        self.sent += 1;
        if self.sent >= MEMORY || self.uses.len() >= KNOWN {
            self.sent = 0;
            self.uses.retain(|_, uses| {
                *uses /= 2;
                *uses > 0
            });
        }
        if self.uses.len() >= KNOWN {
            self.uses.clear();
        }
        let uses = self.uses.entry(topic.clone()).or_default();
        *uses += 1;
        *uses
    }

    /// An alias of a topic that is used less than half as often, so that equals do not take it from each other by turns.
    fn taken_from_the_coldest(&mut self, uses: u32) -> Option<u16> {
        let lately = |topic: &Arc<str>| self.uses.get(topic).copied().unwrap_or_default();
        let (coldest, alias) = self.given.iter().min_by_key(|(topic, alias)| (lately(topic), **alias))?;
        let (coldest, alias) = (coldest.clone(), *alias);
        if lately(&coldest) * 2 + 2 > uses {
            return None;
        }
        self.given.remove(&coldest);
        Some(alias)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn without_aliases_every_name_is_whole() {
        let mut aliases = Aliases::new(0);
        assert_eq!([aliases.name(&topic("a")), aliases.name(&topic("a"))], [Naming::Whole; 2]);
    }

    #[test]
    fn the_hottest_topics_end_up_with_the_aliases() {
        let mut aliases = Aliases::new(2);
        let (cold, hot) = (["s1", "s2", "s3"].map(topic), ["f1", "f2"].map(topic));
        for topic in &cold {
            aliases.name(topic);
        }
        let mut last = Vec::new();
        for _ in 0..100 {
            last = hot.iter().map(|topic| aliases.name(topic)).collect();
        }
        assert!(last.iter().all(|naming| matches!(naming, Naming::Alias(_))), "{last:?}");
        assert_eq!(aliases.name(&cold[0]), Naming::Whole);
    }

    proptest! {
        /// What the broker makes of it: each alias stands for the topic that introduced it last.
        #[test]
        fn the_broker_always_knows_the_topic(most in 0..5_u16, sent in prop::collection::vec(0..9_u8, 0..400)) {
            let mut aliases = Aliases::new(most);
            let mut broker = HashMap::<u16, Arc<str>>::new();
            for number in sent {
                let topic = topic(&number.to_string());
                match aliases.name(&topic) {
                    Naming::Whole => {}
                    Naming::Introduced(alias) => {
                        prop_assert!((1..=most).contains(&alias));
                        broker.insert(alias, topic);
                    }
                    Naming::Alias(alias) => prop_assert_eq!(broker.get(&alias), Some(&topic)),
                }
            }
            prop_assert!(aliases.given.len() <= usize::from(most));
        }

        #[test]
        fn memory_is_bounded(topics in prop::collection::vec(any::<u16>(), 0..3000)) {
            let mut aliases = Aliases::new(u16::MAX);
            for number in topics {
                aliases.name(&topic(&number.to_string()));
            }
            prop_assert!(aliases.uses.len() <= KNOWN && aliases.given.len() <= usize::from(MOST));
        }
    }
}
