//! A GLib main loop in a thread of its own.

use std::{sync::mpsc, thread};

use gstreamer::glib;

/// The loop and its thread; both end when it is dropped.
#[derive(Debug)]
pub(super) struct MainLoop {
    pub(super) context: glib::MainContext,
    runs: glib::MainLoop,
    thread: Option<thread::JoinHandle<()>>,
}

impl MainLoop {
    pub(super) fn start(name: &str) -> std::io::Result<Self> {
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (inner_context, inner_loop) = (context.clone(), main_loop.clone());
        let (ready, running) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("rtsp-{name}")).spawn(move || {
            let served = inner_context.with_thread_default(|| {
                // Nobody waits for it any more only when the start has failed.
                let _ = ready.send(());
                inner_loop.run();
            });
            if let Err(error) = served {
                tracing::error!(%error, "the RTSP main loop did not start");
            }
        })?;
        running.recv().map_err(|_| std::io::Error::other("the RTSP main loop did not start"))?;
        Ok(Self { context, runs: main_loop, thread: Some(thread) })
    }

    /// Runs `task` on the loop's thread and waits for it. What the loop dispatches is not safe to take down from elsewhere.
    pub(super) fn run(&self, task: impl FnOnce() + Send + 'static) {
        let (done, finished) = mpsc::sync_channel(1);
        self.context.invoke(move || {
            task();
            let _ = done.send(());
        });
        // An error: the loop's thread is gone, and what it held with it.
        let _ = finished.recv();
    }
}

impl Drop for MainLoop {
    fn drop(&mut self) {
        // From within: a quit before the loop runs would be lost.
        let main_loop = self.runs.clone();
        self.context.invoke(move || main_loop.quit());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}
