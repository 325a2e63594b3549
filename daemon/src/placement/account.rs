//! Who has how much of the devices' memory in this process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{NoRoom, Share, fit};

/// What the instances of an engine need of a GPU's memory, in bytes, by the engine's own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The model.
    pub model: String,
    /// The GPU whose memory it is.
    pub gpu: u32,
    /// How many there are. They have the weights in common.
    pub instances: usize,
    /// Weights: the size of its plan.
    pub weights: u64,
    /// Activations of one execution.
    pub activations: u64,
    /// Inputs and outputs of one instance.
    pub buffers: u64,
    /// The model whose row instances take where memory is short: its own, or the one whose pictures it looks at.
    pub group: String,
    /// How many of them take that one.
    pub joining: usize,
}

/// Memory of the GPUs, and who has it.
pub struct Account {
    budget: Option<u64>,
    free: Box<dyn Fn(u32) -> u64 + Send + Sync>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    shares: BTreeMap<u64, Share>,
    /// The row that others may join, by GPU and model.
    groups: BTreeMap<(u32, String), usize>,
    next_share: u64,
    next_row: usize,
}

/// What somebody has, until it is dropped.
pub struct Claim {
    account: Arc<Account>,
    shares: Vec<u64>,
    rows: Vec<(usize, u64)>,
    is_shared: bool,
}

impl Claim {
    /// For each instance its row's number, and how many bytes of activations that row has.
    pub fn rows(&self) -> &[(usize, u64)] {
        &self.rows
    }

    /// Whether others stand in one of its rows, for want of memory.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.account.lock();
        self.shares.iter().for_each(|share| drop(held.shares.remove(share)));
    }
}

impl Account {
    /// Nobody has anything yet. `budget`: bytes of each GPU that engines may have; `None`: what it has free, which `free` asks.
    pub fn new(budget: Option<u64>, free: impl Fn(u32) -> u64 + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { budget, free: Box::new(free), held: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives each engine its memory, or none of them any. Where there is enough, each instance has a row of its own; else those that may
    /// join another's row do.
    ///
    /// # Errors
    /// [`NoRoom`] where that is too much, too.
    pub fn claim(self: &Arc<Self>, needs: &[Need]) -> Result<Vec<Claim>, NoRoom> {
        let mut held = self.lock();
        let (alone, short) = match self.lay(&held, needs, false) {
            Ok(laid) => (Some(laid), false),
            Err(_) => (None, true),
        };
        let laid = alone.map_or_else(|| self.lay(&held, needs, true), Ok)?;
        for (key, row) in laid.groups {
            held.groups.insert(key, row);
        }
        held.next_row = laid.next_row;
        let claims = laid.shares.into_iter().map(|shares| {
            let rows = shares.iter().map(|share| (share.row, share.activations)).collect();
            let put = |share: Share| {
                held.next_share += 1;
                let number = held.next_share;
                held.shares.insert(number, share);
                number
            };
            Claim { account: Arc::clone(self), shares: shares.into_iter().map(put).collect(), rows, is_shared: short }
        });
        Ok(claims.collect())
    }

    /// How they would lie.
    fn lay(&self, held: &Held, needs: &[Need], sharing: bool) -> Result<Laid, NoRoom> {
        let mut laid = Laid { next_row: held.next_row, ..Laid::default() };
        for need in needs {
            let instances = (0..need.instances).map(|instance| {
                let key = (need.gpu, need.group.clone());
                let joins = sharing && instance < need.joining;
                let row =
                    if joins { laid.groups.get(&key).copied().or_else(|| held.joinable(&key, need.activations)) } else { None };
                let row = row.unwrap_or_else(|| laid.fresh());
                if joins || instance == 0 && need.model == need.group {
                    laid.groups.insert(key, row);
                }
                Share {
                    model: need.model.clone(),
                    gpu: need.gpu,
                    weights: if instance == 0 { need.weights } else { 0 },
                    activations: need.activations,
                    row,
                    buffers: need.buffers,
                }
            });
            let shares = instances.collect();
            laid.shares.push(shares);
        }
        let all: Vec<Share> = held.shares.values().chain(laid.shares.iter().flatten()).cloned().collect();
        let before = fit(&all[..held.shares.len()], |_| (u64::MAX, false))?.total;
        // What is free is what those that are there have left.
        let room = |gpu| match self.budget {
            Some(budget) => (budget, true),
            None => ((self.free)(gpu).saturating_add(before.get(&gpu).copied().unwrap_or(0)), false),
        };
        let fits = fit(&all, room)?;
        // A row is as large as the largest of its engines for as long as any of them is there.
        for share in laid.shares.iter_mut().flatten() {
            share.activations = fits.activations.get(&(share.gpu, share.row)).copied().unwrap_or(share.activations);
        }
        Ok(laid)
    }
}

/// Where engines would lie.
#[derive(Default)]
struct Laid {
    shares: Vec<Vec<Share>>,
    groups: BTreeMap<(u32, String), usize>,
    next_row: usize,
}

impl Laid {
    fn fresh(&mut self) -> usize {
        self.next_row += 1;
        self.next_row
    }
}

impl Held {
    /// A row that is there and large enough.
    fn joinable(&self, key: &(u32, String), activations: u64) -> Option<usize> {
        let row = *self.groups.get(key)?;
        let there = self.shares.values().find(|share| (share.gpu, share.row) == (key.0, row))?;
        (there.activations >= activations).then_some(row)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("budget", &self.budget).field("shares", &self.lock().shares).finish_non_exhaustive()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("rows", &self.rows).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn need(model: &str, group: &str, [weights, activations, buffers]: [u64; 3]) -> Need {
        Need {
            model: model.into(),
            gpu: 0,
            instances: 1,
            weights: weights * MIB,
            activations: activations * MIB,
            buffers: buffers * MIB,
            group: group.into(),
            joining: 1,
        }
    }

    /// A detector and two steps that look at what it sees: 205 MiB side by side, 145 in one row.
    fn three() -> [Need; 3] {
        [need("yolox", "yolox", [20, 100, 5]), need("faces", "yolox", [10, 40, 2]), need("reid", "yolox", [4, 20, 4])]
    }

    fn rows(claims: &[Claim]) -> Vec<(usize, u64)> {
        claims.iter().flat_map(|claim| claim.rows().iter().map(|(row, bytes)| (*row, bytes / MIB))).collect()
    }

    #[test]
    fn each_has_a_row_of_its_own_where_there_is_room_and_steps_join_their_detector_s_where_there_is_none() {
        let claims = Account::new(Some(205 * MIB), |_| 0).claim(&three()).expect("room for all");
        assert_eq!((rows(&claims), claims[0].is_shared()), (vec![(1, 100), (2, 40), (3, 20)], false));
        let claims = Account::new(Some(204 * MIB), |_| 0).claim(&three()).expect("room in one row");
        assert_eq!((rows(&claims), claims[0].is_shared()), (vec![(1, 100), (1, 100), (1, 100)], true));
        let refused = Account::new(Some(145 * MIB - 1), |_| 0).claim(&three()).expect_err("a byte too much");
        assert_eq!((refused.needed, refused.configured), (145 * MIB, true));
        assert!(refused.to_string().contains("yolox 25 MiB and 100 for activations, faces 12 MiB and 40"), "{refused}");
    }

    #[test]
    fn a_larger_step_makes_the_row_as_large() {
        let needs = [need("yolox", "yolox", [1, 10, 1]), need("faces", "yolox", [1, 30, 1])];
        let claims = Account::new(Some(34 * MIB), |_| 0).claim(&needs).expect("room in one row");
        assert_eq!(rows(&claims), [(1, 30), (1, 30)]);
    }

    #[test]
    fn instances_that_are_to_run_at_once_do_not_share() {
        let two = Need { instances: 2, ..need("yolox", "yolox", [20, 100, 5]) };
        let claims = Account::new(Some(230 * MIB), |_| 0).claim(std::slice::from_ref(&two)).expect("room");
        assert_eq!(rows(&claims), [(1, 100), (2, 100)]);
        assert!(Account::new(Some(230 * MIB - 1), |_| 0).claim(&[two]).is_err());
        let core = Need { joining: 0, ..need("faces", "yolox", [10, 40, 2]) };
        let all = [need("yolox", "yolox", [20, 100, 5]), core];
        assert!(Account::new(Some(140 * MIB), |_| 0).claim(&all).is_err(), "an engine of a DLA core runs beside the GPU's");
    }

    #[test]
    fn an_engine_that_comes_later_is_counted_with_those_that_are_there() {
        let account = Account::new(Some(300 * MIB), |_| 0);
        let first = account.claim(&[need("yolox", "yolox", [20, 100, 5])]).expect("room");
        // Its successor, while it still serves: 105 more, then a third that has only room in the row.
        let second = account.claim(&[need("yolox", "yolox", [20, 100, 5])]).expect("room");
        assert_eq!(rows(&second), [(2, 100)]);
        let third = account.claim(&[need("faces", "yolox", [10, 40, 2])]).expect("in the newest row");
        assert_eq!(rows(&third), [(2, 100)]);
        let refused = account.claim(&[need("large", "yolox", [10, 101, 2])]).expect_err("the row is too small");
        assert_eq!(refused.needed, (125 + 125 + 12 + 113) * MIB);
        drop((first, second));
        // The row stays as long as anybody stands in it.
        let refused = account.claim(&[need("large", "large", [100, 80, 9])]).expect_err("301");
        assert_eq!(refused.needed, 301 * MIB);
        drop(third);
        drop(account.claim(&[need("large", "large", [100, 80, 9])]).expect("alone"));
        assert!(account.lock().shares.is_empty());
    }

    #[test]
    fn without_a_budget_what_is_free_now_counts() {
        let free = Arc::new(AtomicU64::new(130 * MIB));
        let asked = Arc::clone(&free);
        let account = Account::new(None, move |_| asked.load(Ordering::Relaxed));
        let first = account.claim(&[need("yolox", "yolox", [20, 100, 5])]).expect("room");
        // It was opened, and somebody else took the rest.
        free.store(3 * MIB, Ordering::Relaxed);
        let refused = account.claim(&[need("other", "other", [2, 1, 1])]).expect_err("3 are left");
        assert_eq!((refused.needed, refused.room, refused.configured), (129 * MIB, 128 * MIB, false));
        drop(first);
    }
}
