//! Who does what in publishing: one writer, and for each broker a task that drives its connection. All of them live on one thread, in one
//! future, so that what the writer puts down is on its way in the same turn.

use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use futures::{StreamExt, future, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Site, boot_id,
    broker::Broker,
    commands::{self, Commands},
    compose::Composer,
    counters::Counters,
    dialect::Dialects,
    herald::Herald,
    journal::Journal,
    keeper,
    lane::Lane,
    traces::Traces,
    writer::Writer,
};
use crate::{
    config::{BrokerConfig, MqttConfig},
    control::Request,
    media::Tracked,
    observe::StageTimes,
    status::StatusBoard,
};

/// Publishes until the input ends, and goes.
pub(super) async fn run(
    config: MqttConfig,
    site: &Site,
    (input, door): (mpsc::Receiver<Vec<Tracked>>, mpsc::Sender<Request>),
    board: Arc<StatusBoard>,
    (stages, counters): (Arc<StageTimes>, Arc<Counters>),
    cancel: CancellationToken,
) {
    let (device, boot_id, started_at) = (site.device.as_str(), boot_id(), SystemTime::now());
    let mut dialects = Dialects::new(&config.dialects, &config.base_topic, device, &boot_id, started_at);
    if commands::has_switches(&config) {
        dialects.have_switches();
    }
    let dialects = Arc::new(Mutex::new(dialects));
    let herald = Arc::new(Herald::new(&config.base_topic, device, &boot_id, started_at));
    let mut composer = Composer::new(&config, device, &boot_id);
    let lane = |broker: &BrokerConfig| Arc::new(Lane::new(broker, counters.add(&broker.name)));
    let lanes: Vec<_> = config.brokers().map(lane).collect();
    let teller = keeper::Teller::new(&config.base_topic, device, &boot_id);
    let (keeper, backlogs) = keeper::open(config.queue.as_ref(), (&boot_id, teller), &counters);
    // Without a queue the ends would be as lost as their beginnings.
    let journal = config.queue.as_ref().zip(keeper.as_ref());
    let journal = journal.map(|(queue, keeper)| Journal::open(queue, &boot_id, keeper.settled()));
    let orphans = match journal {
        Some(Ok((journal, orphans))) => {
            composer.keep(journal);
            orphans
        }
        Some(Err(error)) => {
            tracing::error!(%error, "what is open is not written down: after a crash its end will not be told");
            Vec::new()
        }
        None => Vec::new(),
    };
    let traces = config.queue.as_ref().filter(|_| keeper.is_some()).map(Traces::open);
    let traces = traces.and_then(|traces| {
        let blind = "what cameras leave at brokers is not written down: what is gone at the next start is not cleared there";
        traces.map_err(|error| tracing::error!(%error, "{blind}")).ok()
    });
    let (leave, leaving) = watch::channel(None);
    let brokers: FuturesUnordered<_> = config
        .brokers()
        .zip(&lanes)
        .zip(backlogs)
        .map(|((broker, lane), backlog)| {
            let commands = Commands::new(&config, device, &boot_id, door.clone(), counters.clone());
            let voices = (herald.clone(), dialects.clone());
            Broker::new(broker.clone(), lane.clone(), backlog, voices, commands, leaving.clone()).run()
        })
        .collect();
    let kept = (keeper, traces);
    let mut writer = Writer::new(composer, (herald, dialects), lanes, kept, (input, board), (stages, counters), cancel);
    writer.clear_what_is_gone(site, &config.base_topic);
    writer.end_orphans(orphans);
    // The queue on disk, which the writer has, closes last.
    future::join(writer.run(&leave), brokers.for_each(future::ready)).await;
    writer.forget_what_is_cleared();
}
