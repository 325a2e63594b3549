//! A camera's RTSP server on a GLib main loop of its own. It listens on loopback; clients meet the proxy in front.
//!
//! One thread serves all clients of a camera: a client that comes while the last one's media is being taken down would otherwise
//! get a 503. And a camera that takes long to answer does not hold up the others.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use gstreamer_app::{AppSrc, AppSrcCallbacks};
use gstreamer_rtsp::RTSPAuthMethod;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::prelude::*;

use super::{
    camera::{Credentials, Scheme},
    feed::{Feed, Setting, Showing, give_up},
    main_loop::MainLoop,
};
use crate::media::Codec;

/// One camera's RTSP server.
#[derive(Debug)]
pub(super) struct Server {
    name: String,
    main_loop: MainLoop,
    sources: Vec<glib::SourceId>,
    rtsp: rtsp::RTSPServer,
    credentials: Option<Credentials>,
    setting: Mutex<Setting>,
    feeds: Feeds,
}

impl Server {
    /// Serves `/name` on a loopback port.
    pub(super) fn start(
        name: &str,
        codec: Codec,
        showing: Showing,
        credentials: Option<Credentials>,
    ) -> Result<Self, glib::BoolError> {
        let main_loop = MainLoop::start(name).map_err(|e| glib::bool_error!("no thread: {e}"))?;
        let server = rtsp::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service("0");
        server.set_auth(credentials.as_ref().map(authority).as_ref());
        let on_the_main_loop = rtsp::RTSPThreadPool::new();
        on_the_main_loop.set_max_threads(0);
        server.set_thread_pool(Some(&on_the_main_loop));
        let mut this = Self {
            name: name.to_owned(),
            main_loop,
            sources: Vec::new(),
            rtsp: server,
            credentials,
            setting: Mutex::new(Arc::new(Mutex::new(showing.clone()))),
            feeds: Feeds::default(),
        };
        this.mount(codec, showing)?;
        this.sources.push(this.rtsp.attach(Some(&this.main_loop.context))?);
        // Sessions whose client vanished (UDP) are found by looking.
        if let Some(pool) = this.rtsp.session_pool() {
            let cleanup = glib::timeout_source_new_seconds(2, None, glib::Priority::LOW, move || {
                pool.cleanup();
                glib::ControlFlow::Continue
            });
            this.sources.push(cleanup.attach(Some(&this.main_loop.context)));
        }
        Ok(this)
    }

    pub(super) fn port(&self) -> u16 {
        u16::try_from(self.rtsp.bound_port()).unwrap_or(0)
    }

    /// Shows something else from now on, to those who watch and to those who come.
    pub(super) fn show(&self, showing: Showing) {
        let setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        *setting.lock().unwrap_or_else(PoisonError::into_inner) = showing;
    }

    /// A new description: those who come get another media. The old one, in another codec, goes on with what it showed.
    pub(super) fn mount(&self, codec: Codec, showing: Showing) -> Result<(), glib::BoolError> {
        let points = self.rtsp.mount_points().ok_or_else(|| glib::bool_error!("the RTSP server has no mount points"))?;
        let path = format!("/{}", self.name);
        points.remove_factory(&path);
        let setting = Arc::new(Mutex::new(showing));
        points.add_factory(&path, self.factory(codec, setting.clone()));
        *self.setting.lock().unwrap_or_else(PoisonError::into_inner) = setting;
        Ok(())
    }

    fn factory(&self, codec: Codec, setting: Setting) -> rtsp::RTSPMediaFactory {
        let factory = rtsp::RTSPMediaFactory::new();
        factory.set_launch(&format!(
            "( appsrc name=pictures is-live=true format=time max-bytes=0 min-latency=0 max-latency=1000000000 ! {} )",
            payloader(codec)
        ));
        factory.set_shared(true);
        if self.credentials.is_some() {
            let viewer = gst::Structure::builder("viewer")
                .field(rtsp::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
                .field(rtsp::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
                .build();
            factory.add_role_from_structure(&viewer);
        }
        let (name, feeds) = (self.name.clone(), self.feeds.clone());
        factory.connect_media_configure(move |_, media| feed_media(media, &name, &setting, &feeds));
        factory
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // First, since the loop may be waiting for a first picture.
        self.feeds.close();
        let (server, sources, context) = (self.rtsp.clone(), std::mem::take(&mut self.sources), self.main_loop.context.clone());
        // A client that is removed while the loop reads from it leaves a source behind that is ready for ever.
        self.main_loop.run(move || {
            server.client_filter(Some(&mut |_, _| rtsp::RTSPFilterResult::Remove));
            if let Some(pool) = server.session_pool() {
                pool.filter(Some(&mut |_, _| rtsp::RTSPFilterResult::Remove));
            }
            for source in sources {
                if let Some(source) = context.find_source_by_id(&source) {
                    source.destroy();
                }
            }
        });
    }
}

/// The feeds of a camera's media. A media may ask for its feed at any moment, also while the camera ends.
#[derive(Clone, Debug, Default)]
struct Feeds(Arc<Mutex<FeedThreads>>);

#[derive(Debug, Default)]
struct FeedThreads {
    closed: bool,
    running: Vec<(Feed, thread::JoinHandle<()>)>,
}

impl Feeds {
    /// Starts a feed, unless the camera ends.
    fn start(&self, feed: Feed, name: &str, setting: Setting, source: &AppSrc) {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if feeds.closed {
            give_up(source);
            return;
        }
        feeds.running.retain(|(_, thread)| !thread.is_finished());
        match feed.start(name, setting, source.clone()) {
            Ok(thread) => feeds.running.push((feed, thread)),
            Err(error) => {
                tracing::error!(camera = name, %error, "cannot start the camera's thread");
                give_up(source);
            }
        }
    }

    /// Ends them all, and lets none start any more.
    fn close(&self) {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.closed = true;
        let running = std::mem::take(&mut feeds.running);
        drop(feeds);
        for (feed, thread) in running {
            feed.stop();
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

/// Gives a new media its feed, which lives as long as the media.
fn feed_media(media: &rtsp::RTSPMedia, name: &str, setting: &Setting, feeds: &Feeds) {
    let source = media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("pictures"));
    let Some(source) = source.and_then(|e| e.downcast::<AppSrc>().ok()) else {
        tracing::error!(camera = name, "the media has no source");
        return;
    };
    let feed = Feed::default();
    media.connect_new_state({
        let feed = feed.clone();
        move |_, state| feed.set_playing(state == glib::translate::IntoGlib::into_glib(gst::State::Playing))
    });
    media.connect_prepared(report_capture_time);
    media.connect_prepared(send_at_once);
    media.connect_unprepared({
        let feed = feed.clone();
        move |_| feed.stop()
    });
    let mut waiting = Some((name.to_owned(), setting.clone(), feeds.clone(), feed));
    // The first call comes when the pipeline plays: its clock runs then.
    source.set_callbacks(
        AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                let Some((name, setting, feeds, feed)) = waiting.take() else { return };
                feeds.start(feed, &name, setting, source);
            })
            .build(),
    );
}

/// Sender reports tell when a picture was captured, not when it was sent: by default they are off by the sinks' latency.
fn report_capture_time(media: &rtsp::RTSPMedia) {
    let pipeline = media.element().parent().and_then(|p| p.downcast::<gst::Bin>().ok());
    let elements = pipeline.map(|p| p.iterate_elements().into_iter().flatten().collect::<Vec<_>>()).unwrap_or_default();
    for rtpbin in elements.iter().filter(|e| e.factory().is_some_and(|f| f.name() == "rtpbin")) {
        if rtpbin.find_property("rtcp-sync-send-time").is_some() {
            rtpbin.set_property("rtcp-sync-send-time", false);
        }
    }
}

/// The feed hands each picture over when its time has come; a sink that waits 20 ms more, as it does by default in a live pipeline,
/// would make every simulated camera that much slower. Sinks come later, as clients set up their streams.
fn send_at_once(media: &rtsp::RTSPMedia) {
    let at_once = |element: &gst::Element| {
        if element.find_property("processing-deadline").is_some() {
            element.set_property("processing-deadline", gst::ClockTime::ZERO);
        }
    };
    let Some(pipeline) = media.element().parent().and_then(|p| p.downcast::<gst::Bin>().ok()) else { return };
    pipeline.iterate_recurse().into_iter().flatten().for_each(|element| at_once(&element));
    pipeline.connect_deep_element_added(move |_, _, element| at_once(element));
}

fn payloader(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "rtph264pay name=pay0 pt=96",
        Codec::H265 => "rtph265pay name=pay0 pt=96",
        Codec::Mjpeg => "rtpjpegpay name=pay0 pt=26",
    }
}

fn authority(credentials: &Credentials) -> rtsp::RTSPAuth {
    let auth = rtsp::RTSPAuth::new();
    let token = rtsp::RTSPToken::builder().field(rtsp::RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer").build();
    let (user, password) = (credentials.user.as_str(), credentials.password.expose());
    match credentials.scheme {
        Scheme::Basic => {
            auth.set_supported_methods(RTSPAuthMethod::Basic);
            auth.add_basic(&rtsp::RTSPAuth::make_basic(user, password), &token);
        }
        Scheme::Digest => {
            auth.set_supported_methods(RTSPAuthMethod::Digest);
            auth.add_digest(user, password, &token);
        }
    }
    auth
}
