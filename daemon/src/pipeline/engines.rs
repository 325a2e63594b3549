//! Engines that are built while the line runs: a thread for each.

use std::{sync::Arc, thread::JoinHandle};

use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    engine::Board,
    infer::{Coming, Trial, succeed},
    life::FaultSender,
};

/// The threads, and what stops them.
pub(super) struct Jobs {
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Jobs {
    pub(super) fn start(coming: Vec<Coming>, board: &Arc<Board>, faults: &FaultSender) -> Result<Self, StartError> {
        let stop = CancellationToken::new();
        let threads = coming.into_iter().filter_map(|Coming { model, succession, heir, state, cut }| {
            board.set(&model, state);
            if let Some(cut) = cut {
                board.cut(&model, &cut);
            }
            let mut heir = heir?;
            let (trial, stage) = (Trial::new(&model, board, &stop), format!("engine:{model}"));
            let work = move || succeed(&succession, &mut *heir, &trial);
            Some(faults.spawn_stage(&stage, work).map_err(|source| StartError::Thread { stage, source }))
        });
        Ok(Self { threads: threads.collect::<Result<_, _>>()?, stop })
    }

    /// Cancels builds: nothing of them stays behind. The threads end soon.
    pub(super) fn stop(self) -> Vec<JoinHandle<()>> {
        self.stop.cancel();
        self.threads
    }
}
