//! Which topics a broker gets: topic filters as MQTT has them (MQTT 5, §4.7), over whole topics.

/// Topics that are taken, and those of them that are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFilter {
    /// Filters; empty: everything is taken.
    pub topics: Vec<String>,
    /// Filters of what is not taken all the same.
    pub except: Vec<String>,
}

impl TopicFilter {
    /// Whether a topic is taken.
    pub fn takes(&self, topic: &str) -> bool {
        let any = |filters: &[String]| filters.iter().any(|filter| matches(filter, topic));
        (self.topics.is_empty() || any(&self.topics)) && !any(&self.except)
    }
}

/// Whether a topic is one of a filter's.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            // Also what it stands below of.
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether there can be a topic that both filters take.
pub(super) fn meet(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(level), Some(another)) if level == another => {}
            _ => return false,
        }
    }
}

/// What is wrong with a filter.
///
/// # Errors
/// The reason, for people.
pub(super) fn check(filter: &str) -> Result<(), &'static str> {
    let levels: Vec<&str> = filter.split('/').collect();
    if filter.is_empty() || levels.iter().any(|level| level.is_empty()) {
        Err("a level of the filter is empty, which no topic of ours has")
    } else if filter.starts_with('$') {
        Err("topics that begin with $ are the broker's own")
    } else if levels[..levels.len() - 1].iter().any(|level| level.contains('#')) {
        Err("# stands for all further levels, so only as the last one")
    } else if levels.iter().any(|level| level.len() > 1 && level.contains(['+', '#'])) {
        Err("a wildcard (+, #) is a whole level")
    } else if filter.chars().any(char::is_control) {
        Err("it holds control characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Those of the standard, §4.7.1.
    #[test]
    fn filters_take_what_the_standard_says() {
        let player = "sport/tennis/player1/#";
        for topic in ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"] {
            assert!(matches(player, topic), "{topic}");
        }
        assert!(matches("#", "a/b/c") && matches("+", "a") && matches("+/tennis/#", "x/tennis/y"));
        for (filter, topic) in [("sport/+", "sport"), ("sport/+", "sport/a/b"), ("a/b", "a"), ("a", "a/b"), ("a/b", "a/c")] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn exceptions_go_first_and_no_filter_takes_all() {
        let of = |topics: &[&str], except: &[&str]| TopicFilter {
            topics: topics.iter().map(|s| (*s).to_owned()).collect(),
            except: except.iter().map(|s| (*s).to_owned()).collect(),
        };
        assert!(of(&[], &[]).takes("a/b"));
        assert!(!of(&[], &["a/#"]).takes("a/b"));
        let some = of(&["egret/+/cam/+/event/#", "egret/+/status"], &["egret/+/cam/yard/#"]);
        assert!(some.takes("egret/box1/cam/door/event/gate") && some.takes("egret/box1/status"));
        assert!(!some.takes("egret/box1/cam/yard/event/gate") && !some.takes("egret/box1/cam/door/frame"));
    }

    #[test]
    fn bad_filters_are_refused() {
        for filter in ["", "/a", "a//b", "a/", "a/#/b", "a#", "a/b+", "$share/x/a", "a/\u{7}"] {
            assert!(check(filter).is_err(), "{filter:?}");
        }
        for filter in ["#", "+", "a/+/b/#", "a b/c"] {
            assert_eq!(check(filter), Ok(()), "{filter:?}");
        }
    }

    proptest! {
        /// Two filters that take one topic meet, whichever it is.
        #[test]
        fn filters_of_one_topic_meet(topic in "[ab](/[ab]){0,3}", one in "[ab+](/[ab+]){0,3}(/#)?", other in "[ab+](/[ab+]){0,3}(/#)?") {
            if matches(&one, &topic) && matches(&other, &topic) {
                prop_assert!(meet(&one, &other));
            }
            prop_assert!(matches("#", &topic) && meet(&one, "#"));
        }
    }
}
