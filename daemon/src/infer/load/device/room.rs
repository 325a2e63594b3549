//! The GPUs' memory, and the rows of executions in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use egret_jetson::{
    Device,
    kernels::device::Kernels,
    line::{LineError, Row},
};

use crate::placement::{Account, Claim};

type Devices = Arc<Mutex<BTreeMap<u32, Arc<Device>>>>;

/// What all models of a process have in common.
pub(super) struct Room {
    pub(super) account: Arc<Account>,
    devices: Devices,
    rows: Mutex<BTreeMap<usize, Weak<Row>>>,
}

impl Room {
    /// `budget`: bytes of each GPU that engines may have; `None`: what it has free.
    pub(super) fn new(budget: Option<u64>) -> Arc<Self> {
        let devices = Devices::default();
        let asked = Arc::clone(&devices);
        let free = move |gpu: u32| {
            let device = asked.lock().unwrap_or_else(PoisonError::into_inner).get(&gpu).cloned();
            match device.map(|device| device.free_memory()) {
                Some(Ok(bytes)) => bytes,
                // Where nobody knows, the allocation will tell.
                Some(Err(error)) => {
                    tracing::warn!(gpu, %error, "the driver does not say how much memory is free");
                    u64::MAX
                }
                None => u64::MAX,
            }
        };
        Arc::new(Self { account: Account::new(budget, free), devices, rows: Mutex::default() })
    }

    /// A GPU whose free memory counts.
    pub(super) fn add(&self, number: u32, device: &Arc<Device>) {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::clone(device));
    }

    /// The rows of a claim: those that are there, and new ones.
    pub(super) fn rows(&self, kernels: &Kernels, claim: &Claim) -> Result<Vec<Arc<Row>>, LineError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|_, row| row.strong_count() > 0);
        let row = |(number, bytes): &(usize, u64)| {
            if let Some(row) = rows.get(number).and_then(Weak::upgrade) {
                return Ok(row);
            }
            let row = Row::new(kernels, *bytes)?;
            rows.insert(*number, Arc::downgrade(&row));
            Ok(row)
        };
        claim.rows().iter().map(row).collect()
    }
}
