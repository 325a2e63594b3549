//! Whether something holds: only once it has held for a while, and as long as it has not failed to for a while.

use std::time::Duration;

/// How much time it takes to be believed, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Patience {
    /// It has to hold for so long first.
    pub(super) debounce: Duration,
    /// Then it may fail, or not be seen, for so long.
    pub(super) inertia: Duration,
}

/// What is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum State {
    /// It does not hold.
    #[default]
    Out,
    /// It holds, but not for long enough yet.
    Pending {
        /// Since when.
        since: Duration,
        /// When it was last seen to hold.
        last: Duration,
    },
    /// It holds.
    In {
        /// Since when, the time of doubt included.
        since: Duration,
        /// When it was last seen to hold.
        last: Duration,
    },
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It holds now.
    Entered,
    /// It holds no longer.
    Left {
        /// Since when it had held.
        since: Duration,
        /// When it was last seen to hold.
        last: Duration,
    },
}

impl State {
    /// Takes in that it holds or not; `None`: nobody can tell.
    pub(super) fn step(&mut self, now: Duration, holds: Option<bool>, patience: Patience) -> Change {
        let expired = |last: Duration| now.saturating_sub(last) > patience.inertia;
        match (*self, holds) {
            (Self::Out, Some(true)) => *self = Self::Pending { since: now, last: now },
            (Self::Pending { since, .. }, Some(true)) => *self = Self::Pending { since, last: now },
            (Self::In { since, .. }, Some(true)) => *self = Self::In { since, last: now },
            (Self::Pending { .. }, Some(false)) => *self = Self::Out,
            (Self::Pending { last, .. }, None) if expired(last) => *self = Self::Out,
            (Self::In { since, last }, Some(false) | None) if expired(last) => {
                *self = Self::Out;
                return Change::Left { since, last };
            }
            _ => {}
        }
        match *self {
            Self::Pending { since, last } if last == now && now.saturating_sub(since) >= patience.debounce => {
                *self = Self::In { since, last };
                Change::Entered
            }
            _ => Change::None,
        }
    }

    /// Nobody looks any more.
    pub(super) fn close(&mut self) -> Change {
        match std::mem::take(self) {
            Self::In { since, last } => Change::Left { since, last },
            _ => Change::None,
        }
    }

    /// It goes on as `newer`, of which is known now that it is the same: what held, and may hold still, holds since then.
    pub(super) fn join(self, newer: Self) -> Self {
        match (self, newer) {
            (Self::In { .. }, Self::Out) => self,
            (Self::In { since, .. }, Self::Pending { last, .. } | Self::In { last, .. }) => Self::In { since, last },
            (_, newer) => newer,
        }
    }

    /// Since when it holds.
    pub(super) fn since(&self) -> Option<Duration> {
        match *self {
            Self::In { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Whether it was seen to hold just now.
    pub(super) fn holds_at(&self, now: Duration) -> bool {
        matches!(*self, Self::In { last, .. } if last == now)
    }

    /// For how long it was seen to hold: inertia is no part of it.
    pub(super) fn held(&self) -> Duration {
        match *self {
            Self::In { since, last } => last.saturating_sub(since),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flicker_changes_nothing() {
        let ms = Duration::from_millis;
        let patience = Patience { debounce: ms(200), inertia: ms(500) };
        let mut state = State::default();
        for (at, holds, change) in [
            (0, Some(true), Change::None),
            (100, Some(false), Change::None),
            (200, Some(true), Change::None),
            (300, None, Change::None),
            (399, Some(true), Change::None),
            (400, Some(true), Change::Entered),
            (600, Some(false), Change::None),
            (700, Some(true), Change::None),
            (900, None, Change::None),
            (1200, Some(false), Change::None),
            (1201, Some(false), Change::Left { since: ms(200), last: ms(700) }),
            (1300, None, Change::None),
        ] {
            assert_eq!(state.step(ms(at), holds, patience), change, "{at}");
        }
    }

    #[test]
    fn without_patience_the_first_look_decides() {
        let mut state = State::default();
        assert_eq!(state.step(Duration::ZERO, Some(true), Patience::default()), Change::Entered);
        let left = Change::Left { since: Duration::ZERO, last: Duration::ZERO };
        assert_eq!(state.step(Duration::from_millis(1), Some(false), Patience::default()), left);
    }
}
