//! A GStreamer pipeline that ends in an appsink, and all that is the same for every source: how pictures leave, how errors are
//! heard, how it is torn down.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use tokio::sync::Notify;

use super::{Card, Decoders, Fault, Outlet, Setup, Way, device::Format, pending::Pending};
use crate::media::{Capture, Codec, Frame, TimeBasis, TimeCard};

/// Makes an element, or says which plug-in is missing.
pub(crate) fn make(factory: &str) -> Result<gst::Element, Fault> {
    gst::ElementFactory::make(factory).build().map_err(|_| Fault::Missing(factory.to_owned()))
}

/// Takes a decoder's own threads away, where it has any.
pub(crate) fn single_threaded(decoder: &gst::Element) {
    if decoder.find_property("max-threads").is_some() {
        decoder.set_property_from_str("max-threads", "1");
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every picture has come out.
    Eos,
    /// Something broke.
    Fault(Fault),
}

/// What GStreamer's threads and ours tell each other.
struct Shared {
    outlet: Arc<Outlet>,
    pending: Mutex<Pending>,
    end: Mutex<Option<End>>,
    over: AtomicBool,
    ended: Condvar,
    notify: Notify,
    damage: AtomicBool,
    born: Instant,
    last_input_ms: AtomicU64,
    media: Mutex<MediaTime>,
    /// What decodes, once it is there.
    decodes: Mutex<Option<Codec>>,
}

/// Media time of sources that can start again: it goes on where it was.
#[derive(Clone, Copy, Default)]
struct MediaTime {
    offset: Duration,
    last: Option<Duration>,
    end: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One pipeline. Dropping it stops its threads.
pub struct Chain {
    pipeline: gst::Pipeline,
    shared: Arc<Shared>,
}

impl Chain {
    /// An empty pipeline whose pictures will go to `outlet`.
    pub(crate) fn new(outlet: &Arc<Outlet>) -> Result<Self, Fault> {
        gst::init().map_err(Fault::link)?;
        let born = Instant::now();
        let shared = Arc::new(Shared {
            outlet: Arc::clone(outlet),
            pending: Mutex::default(),
            end: Mutex::new(None),
            over: AtomicBool::new(false),
            ended: Condvar::new(),
            notify: Notify::new(),
            damage: AtomicBool::new(false),
            born,
            last_input_ms: AtomicU64::new(0),
            media: Mutex::default(),
            decodes: Mutex::default(),
        });
        let pipeline = gst::Pipeline::with_name(outlet.stream().name());
        if let Some(bus) = pipeline.bus() {
            let hears = Arc::clone(&shared);
            // In the thread that posts: no one polls the bus, and the message is dropped at once.
            bus.set_sync_handler(move |_, message| {
                hears.message(message);
                gst::BusSyncReply::Drop
            });
        }
        Ok(Self { pipeline, shared })
    }

    pub(crate) fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// Has GStreamer's CUDA elements work in this process's context.
    pub(crate) fn share(&self, decoders: &Decoders) {
        if let Some(context) = decoders.context() {
            self.pipeline.set_context(&context);
        }
    }

    /// Starts it.
    pub(crate) fn play(&self) -> Result<(), Fault> {
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fault().unwrap_or_else(|| Fault::link(error))),
        }
    }

    /// Announces a unit that is about to enter the decoder.
    pub(crate) fn expect(&self, card: Card) {
        lock(&self.shared.pending).push(card);
    }

    /// Media time of the first picture: where an earlier run of the same file ended.
    pub(crate) fn set_media_start(&self, offset: Duration) {
        let mut media = lock(&self.shared.media);
        *media = MediaTime { offset, last: None, end: offset };
    }

    /// Media time at which the last picture ends.
    pub(crate) fn media_end(&self) -> Duration {
        lock(&self.shared.media).end
    }

    /// What watches decoders that are put in later.
    pub(crate) fn watch(&self, key_frames_only: bool) -> Watch {
        Watch { shared: Arc::clone(&self.shared), key_frames_only }
    }

    /// What the decoder decodes that was put in by a [`Setup`], if there is one.
    pub(crate) fn decodes(&self) -> Option<Codec> {
        *lock(&self.shared.decodes)
    }

    /// When data last entered the decoder, or a picture left it.
    pub(crate) fn last_input(&self) -> Option<Instant> {
        let ms = self.shared.last_input_ms.load(Ordering::Relaxed);
        (ms > 0).then(|| self.shared.born + Duration::from_millis(ms))
    }

    /// What broke it, if something did.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if !self.shared.over.load(Ordering::Acquire) {
            return None;
        }
        match &*lock(&self.shared.end) {
            Some(End::Fault(fault)) => Some(fault.clone()),
            Some(End::Eos) | None => None,
        }
    }

    /// Whether a picture came out damaged since the last call.
    pub(crate) fn take_damage(&self) -> bool {
        self.shared.damage.load(Ordering::Relaxed) && self.shared.damage.swap(false, Ordering::Relaxed)
    }

    /// Waits for its end.
    pub(crate) async fn over(&self) -> End {
        loop {
            let notified = self.shared.notify.notified();
            if let Some(end) = &*lock(&self.shared.end) {
                return end.clone();
            }
            notified.await;
        }
    }

    /// Waits for its end on a thread; `true`: every picture has come out.
    pub(crate) fn wait_for_end(&self, deadline: Duration) -> bool {
        let end = lock(&self.shared.end);
        let (end, _) =
            self.shared.ended.wait_timeout_while(end, deadline, |end| end.is_none()).unwrap_or_else(PoisonError::into_inner);
        *end == Some(End::Eos)
    }

    /// The running pipeline as dot. Properties are left out: they may hold credentials.
    pub fn graph(&self) -> String {
        draw(&self.pipeline)
    }

    /// A handle that can draw the graph while the pipeline lives.
    pub(crate) fn graph_handle(&self) -> gst::glib::WeakRef<gst::Pipeline> {
        self.pipeline.downgrade()
    }
}

/// A pipeline as dot, without properties.
pub(crate) fn draw(pipeline: &gst::Pipeline) -> String {
    let details = gst::DebugGraphDetails::MEDIA_TYPE | gst::DebugGraphDetails::CAPS_DETAILS | gst::DebugGraphDetails::STATES;
    pipeline.debug_to_dot_data(details).to_string()
}

impl Drop for Chain {
    fn drop(&mut self) {
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(camera = self.shared.outlet.stream().name(), %error, "a pipeline did not stop");
        }
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

impl Shared {
    fn input(&self) {
        self.last_input_ms.store(1 + self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn finish(&self, end: End) {
        let mut slot = lock(&self.end);
        if slot.is_none() {
            *slot = Some(end);
            self.over.store(true, Ordering::Release);
        }
        drop(slot);
        self.ended.notify_all();
        // One waiter: if it is not there yet, the permit waits for it.
        self.notify.notify_one();
    }

    fn message(&self, message: &gst::Message) {
        match message.view() {
            gst::MessageView::Error(error) => {
                let fault = Fault::from_message(error);
                tracing::debug!(camera = self.outlet.stream().name(), %fault, "pipeline error");
                self.finish(End::Fault(fault));
            }
            gst::MessageView::Warning(warning) if warning.error().kind::<gst::StreamError>().is_some() => {
                self.outlet.count(|status| status.decode_errors += 1);
                self.damage.store(true, Ordering::Relaxed);
            }
            gst::MessageView::Eos(_) => self.finish(End::Eos),
            _ => {}
        }
    }

    /// Where a picture stands in media time.
    fn media_time(&self, sample: &gst::Sample, buffer: &gst::BufferRef) -> Duration {
        let mut media = lock(&self.media);
        let running = buffer.pts().and_then(|pts| match sample.segment()?.downcast_ref::<gst::ClockTime>() {
            Some(segment) => segment.to_running_time(pts),
            None => Some(pts),
        });
        let at = media.offset + running.map_or(Duration::ZERO, Duration::from);
        let step = media.last.map(|last| at.saturating_sub(last)).unwrap_or_default();
        let length = buffer.duration().map_or(step, Duration::from);
        media.last = Some(at);
        media.end = media.end.max(at + length);
        at
    }

    fn picture(
        &self,
        sample: &gst::Sample,
        buffer: gst::Buffer,
        format: &Format,
        decoders: &Decoders,
    ) -> Result<(), gst::FlowError> {
        let card = lock(&self.pending).take(buffer.pts().map(gst::ClockTime::nseconds));
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            self.outlet.count(|status| status.decode_errors += 1);
            self.damage.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let now = || Capture { wall: SystemTime::now(), basis: TimeBasis::Arrival };
        let pts = card.and_then(|card| card.pts).unwrap_or_else(|| self.media_time(sample, &buffer));
        let (capture, times) = card.map_or_else(|| (now(), TimeCard::received(Instant::now())), |c| (c.capture, c.times));
        let pixels = format.picture(buffer, decoders, self.outlet.downloads()).map_err(|fault| {
            self.finish(End::Fault(fault));
            gst::FlowError::Error
        })?;
        let stream = self.outlet.stream().clone();
        let frame = Frame { stream, seq: 0, dispatch: 0, pts, capture, pixels, times };
        if self.outlet.deliver(frame) { Ok(()) } else { Err(gst::FlowError::Eos) }
    }
}

/// Watches the decoders of a pipeline whose data comes from GStreamer's own sources.
#[derive(Clone)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    key_frames_only: bool,
}

impl Watch {
    /// Stamps what enters `decoder`, and keeps all but key frames out if asked to.
    pub(crate) fn decoder(&self, decoder: &gst::Element) {
        let Some(pad) = decoder.static_pad("sink") else { return };
        let Self { shared, key_frames_only } = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let Some(buffer) = info.buffer() else { return gst::PadProbeReturn::Ok };
            shared.input();
            if key_frames_only && buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                return gst::PadProbeReturn::Drop;
            }
            if let Some(pts) = buffer.pts() {
                let capture = Capture { wall: SystemTime::now(), basis: TimeBasis::Arrival };
                let card = Card { key: pts.nseconds(), pts: None, capture, times: TimeCard::received(Instant::now()) };
                lock(&shared.pending).push(card);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Ends the pipeline's run with a reason better than the one it would give.
    pub(crate) fn fail(&self, fault: Fault) {
        self.shared.finish(End::Fault(fault));
    }

    /// Notes what decodes it.
    pub(crate) fn decoding(&self, codec: Codec, way: Way) {
        self.shared.outlet.decoding(codec, way);
    }

    /// Notes what the source sends.
    pub(crate) fn codec(&self, codec: Codec) {
        *lock(&self.shared.decodes) = Some(codec);
        self.shared.outlet.codec(codec);
    }
}

/// The last elements of a pipeline: an appsink, behind a converter where pictures need one.
pub(crate) struct Tail {
    first: gst::Element,
}

impl Tail {
    /// Adds the tail to a chain. `paced`: pictures leave by the pipeline's clock.
    pub(crate) fn new(chain: &Chain, setup: &Setup, paced: bool) -> Result<Self, Fault> {
        let convert = setup.convert;
        let caps = gst::Caps::builder("video/x-raw");
        let caps = if convert { caps.field("format", gst::List::new(["I420", "NV12"])) } else { caps };
        let mut caps = caps.build();
        if setup.decoders.surfaces().is_some() && !convert {
            for memory in ["memory:NVMM", "memory:CUDAMemory"] {
                let of = gst::Caps::builder("video/x-raw").features([memory]).field("format", "NV12").build();
                caps.make_mut().append(of);
            }
        }
        let sink = gst_app::AppSink::builder()
            .caps(&caps)
            .sync(paced)
            .async_(paced)
            .enable_last_sample(false)
            .max_buffers(1)
            .callbacks(callbacks(&chain.shared, &setup.decoders))
            .build();
        offer_video_meta(sink.upcast_ref());
        chain.pipeline.add(&sink).map_err(Fault::link)?;
        if !convert {
            return Ok(Self { first: sink.upcast() });
        }
        let converter = make("videoconvert")?;
        chain.pipeline.add(&converter).map_err(Fault::link)?;
        converter.link(&sink).map_err(Fault::link)?;
        Ok(Self { first: converter })
    }

    /// What the decoder links to.
    pub(crate) fn first(&self) -> &gst::Element {
        &self.first
    }
}

/// Pictures leave on the decoder's thread.
fn callbacks(shared: &Arc<Shared>, decoders: &Arc<Decoders>) -> gst_app::AppSinkCallbacks {
    let (shared, decoders) = (Arc::clone(shared), Arc::clone(decoders));
    let mut format: Option<(gst::Caps, Format)> = None;
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            shared.input();
            let (Some(caps), Some(buffer)) = (sample.caps_owned(), sample.buffer_owned()) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            if format.as_ref().is_none_or(|(known, _)| known.as_ptr() != caps.as_ptr()) {
                let read = Format::from_caps(&caps).map_err(|fault| {
                    shared.finish(End::Fault(fault));
                    gst::FlowError::Error
                })?;
                format = Some((caps, read));
            }
            match &format {
                Some((_, format)) => shared.picture(&sample, buffer, format, &decoders).map(|()| gst::FlowSuccess::Ok),
                None => Ok(gst::FlowSuccess::Ok),
            }
        })
        .build()
}

/// Tells the decoder that padded rows are welcome. Without it libav's decoders copy each picture into tight rows.
fn offer_video_meta(sink: &gst::Element) {
    let Some(pad) = sink.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| match info.query_mut().map(gst::QueryRef::view_mut) {
        Some(gst::QueryViewMut::Allocation(query)) => {
            query.add_allocation_meta::<gst_video::VideoMeta>(None);
            gst::PadProbeReturn::Handled
        }
        _ => gst::PadProbeReturn::Ok,
    });
}
