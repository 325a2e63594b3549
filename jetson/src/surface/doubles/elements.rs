//! Stand-ins for `nvv4l2decoder` and `nvvidconv`: the CPU decodes, and the pictures are handed over as surfaces of the stand-in library, in
//! buffers of a pool that uses them again.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use gstreamer::{self as gst, glib, prelude::*};

use super::{StandIn, SurfaceLibrary};

/// How the stand-ins behave.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// The library of their surfaces.
    pub library: SurfaceLibrary,
    /// `memType`.
    pub memory: u32,
    /// `layout`.
    pub layout: u32,
    /// `colorFormat`.
    pub format: u32,
    /// What is written over each surface's struct ([`StandIn::poke`]).
    pub poke: Option<(bool, usize, u32)>,
    /// What goes wrong.
    pub fails: Fails,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Nothing.
    Never,
    /// The decoder does not start.
    AtStart,
    /// It says that it is broken after so many pictures.
    After(u64),
    /// It takes everything and gives nothing.
    Silently,
}

static KNOBS: Mutex<Option<Knobs>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the stand-ins where GStreamer finds elements; those that are made from now on behave like this.
///
/// # Errors
/// What GStreamer says.
pub fn register(knobs: Knobs) -> Result<(), glib::BoolError> {
    gst::init().map_err(|error| glib::bool_error!("{}", error))?;
    *lock(&KNOBS) = Some(knobs);
    gst::Element::register(None, "nvv4l2decoder", gst::Rank::NONE, Decoder::static_type())?;
    gst::Element::register(None, "nvvidconv", gst::Rank::NONE, Converter::static_type())
}

glib::wrapper! {
    /// `nvv4l2decoder`, with the properties of a Jetson's.
    pub struct Decoder(ObjectSubclass<imp::Decoder>) @extends gst::Bin, gst::Element, gst::Object;
}

glib::wrapper! {
    /// Its last part: host memory becomes surfaces.
    pub struct Wrapper(ObjectSubclass<imp::Wrapper>) @extends gst::Element, gst::Object;
}

glib::wrapper! {
    /// `nvvidconv`: surfaces become host memory.
    pub struct Converter(ObjectSubclass<imp::Converter>) @extends gst::Element, gst::Object;
}

/// A surface, as the memory of a buffer shows it and as the pool fills it.
struct Shown(Arc<StandIn>);

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// The layout of host memory: GStreamer's own of NV12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Host {
    width: u32,
    height: u32,
}

impl Host {
    fn of(caps: &gst::CapsRef) -> Option<Self> {
        let side = |name: &str| caps.structure(0)?.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
        Some(Self { width: side("width")?, height: side("height")? })
    }

    fn pitch(self) -> usize {
        self.width.next_multiple_of(4) as usize
    }

    fn chroma(self) -> usize {
        self.pitch() * self.height.next_multiple_of(2) as usize
    }

    fn bytes(self) -> usize {
        self.chroma() + self.pitch() * self.height.div_ceil(2) as usize
    }
}

mod imp {
    use std::sync::LazyLock;

    use gst::{prelude::*, subclass::prelude::*};

    use super::{Arc, AtomicU64, Fails, Host, KNOBS, Knobs, Mutex, Ordering, Shown, StandIn, glib, gst, lock};

    const NVMM: &str = "video/x-raw(memory:NVMM),format=NV12";
    const RAW: &str = "video/x-raw,format=NV12";

    fn templates(sink: &str, src: &str) -> Vec<gst::PadTemplate> {
        let template = |name, direction, caps: &str| {
            gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps.parse().ok()?).ok()
        };
        let all = [template("sink", gst::PadDirection::Sink, sink), template("src", gst::PadDirection::Src, src)];
        all.into_iter().flatten().collect()
    }

    fn metadata(name: &str, class: &str) -> gst::subclass::ElementMetadata {
        gst::subclass::ElementMetadata::new(name, class, "A stand-in for tests", "egret")
    }

    /// The decoder.
    #[derive(Default)]
    pub struct Decoder {
        properties: Mutex<[u32; 4]>,
    }

    const PROPERTIES: [&str; 4] = ["num-extra-surfaces", "disable-dpb", "enable-max-performance", "mjpeg"];

    #[glib::object_subclass]
    impl ObjectSubclass for Decoder {
        const NAME: &'static str = "EgretStandInDecoder";
        type Type = super::Decoder;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for Decoder {
        fn properties() -> &'static [glib::ParamSpec] {
            static ALL: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                let flags = PROPERTIES[1..].iter().map(|name| glib::ParamSpecBoolean::builder(name).build());
                std::iter::once(glib::ParamSpecUInt::builder(PROPERTIES[0]).maximum(55).build()).chain(flags).collect()
            });
            &ALL
        }

        fn set_property(&self, id: usize, value: &glib::Value, _: &glib::ParamSpec) {
            let number = value.get::<u32>().or_else(|_| value.get::<bool>().map(u32::from)).unwrap_or_default();
            if let Some(own) = lock(&self.properties).get_mut(id - 1) {
                *own = number;
            }
        }

        fn property(&self, id: usize, _: &glib::ParamSpec) -> glib::Value {
            let number = lock(&self.properties).get(id - 1).copied().unwrap_or_default();
            if id == 1 { number.to_value() } else { (number != 0).to_value() }
        }

        fn constructed(&self) {
            self.parent_constructed();
            let bin = self.obj();
            // Without its parts it is of no use, and says so when it is linked.
            let _ = build(&bin);
        }
    }

    /// `identity ! (decoder ! videoconvert) ! wrapper`; what is in brackets comes with the caps.
    fn build(bin: &super::Decoder) -> Result<(), glib::BoolError> {
        let (first, last) = (gst::ElementFactory::make("identity").build()?, glib::Object::new::<super::Wrapper>());
        bin.add_many([&first, last.upcast_ref()])?;
        let pad =
            |element: &gst::Element, name: &str| element.static_pad(name).ok_or_else(|| glib::bool_error!("no pad {}", name));
        let (sink, src) = (pad(&first, "sink")?, pad(last.upcast_ref(), "src")?);
        let (weak, from, to) = (bin.downgrade(), first.downgrade(), last.downgrade());
        sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let (Some(event), Some(bin), Some(first), Some(last)) =
                (info.event(), weak.upgrade(), from.upgrade(), to.upgrade())
                && let gst::EventView::Caps(caps) = event.view()
                && first.static_pad("src").is_some_and(|src| !src.is_linked())
            {
                let _ = attach(&bin, caps.caps(), &first, last.upcast_ref());
            }
            gst::PadProbeReturn::Ok
        });
        bin.add_pad(&gst::GhostPad::builder_with_target(&sink)?.name("sink").build())?;
        bin.add_pad(&gst::GhostPad::builder_with_target(&src)?.name("src").build())
    }

    fn attach(
        bin: &super::Decoder,
        caps: &gst::CapsRef,
        first: &gst::Element,
        last: &gst::Element,
    ) -> Result<(), glib::BoolError> {
        let kind = caps.structure(0).map(|s| s.name().to_string()).unwrap_or_default();
        let name = match kind.as_str() {
            "video/x-h264" => "avdec_h264",
            "video/x-h265" => "avdec_h265",
            _ if bin.property::<bool>("mjpeg") => "jpegdec",
            _ => return Err(glib::bool_error!("mjpeg is not set")),
        };
        let (decoder, convert) = (gst::ElementFactory::make(name).build()?, gst::ElementFactory::make("videoconvert").build()?);
        bin.add_many([&decoder, &convert])?;
        gst::Element::link_many([first, &decoder, &convert, last])?;
        convert.sync_state_with_parent()?;
        decoder.sync_state_with_parent()
    }

    impl GstObjectImpl for Decoder {}

    impl ElementImpl for Decoder {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static OWN: LazyLock<gst::subclass::ElementMetadata> =
                LazyLock::new(|| metadata("nvv4l2decoder", "Codec/Decoder/Video"));
            Some(&OWN)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static ALL: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                templates("video/x-h264,stream-format=byte-stream;video/x-h265,stream-format=byte-stream;image/jpeg", NVMM)
            });
            &ALL
        }

        fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            let broken = lock(&KNOBS).as_ref().is_some_and(|knobs| knobs.fails == Fails::AtStart);
            if broken && transition == gst::StateChange::ReadyToPaused {
                gst::element_imp_error!(self, gst::ResourceError::OpenReadWrite, ["Cannot open /dev/v4l2-nvdec"]);
                return Err(gst::StateChangeError);
            }
            self.parent_change_state(transition)
        }
    }

    impl BinImpl for Decoder {}

    /// What the wrapper is at.
    #[derive(Default)]
    struct Pool {
        host: Host,
        pieces: Vec<(gst::Memory, Arc<StandIn>)>,
    }

    /// The wrapper.
    pub struct Wrapper {
        sink: gst::Pad,
        src: gst::Pad,
        pool: Mutex<Pool>,
        pictures: AtomicU64,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Wrapper {
        const NAME: &'static str = "EgretStandInWrapper";
        type Type = super::Wrapper;
        type ParentType = gst::Element;

        fn with_class(_: &Self::Class) -> Self {
            let sink = pad(Self::pad_templates(), 0, |builder| {
                builder
                    .chain_function(|_, parent, buffer| {
                        Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |own| own.chain(&buffer))
                    })
                    .event_function(|pad, parent, event| {
                        Self::catch_panic_pad_function(parent, || false, |own| own.event(pad, event))
                    })
                    .query_function(|pad, parent, query| match query.view_mut() {
                        // So that buffers come in GStreamer's own layout.
                        gst::QueryViewMut::Allocation(_) => false,
                        _ => gst::Pad::query_default(pad, parent, query),
                    })
            });
            let src = pad(Self::pad_templates(), 1, |builder| builder);
            Self { sink, src, pool: Mutex::default(), pictures: AtomicU64::new(0) }
        }
    }

    /// A pad of the first or the second template of an element.
    fn pad(
        templates: &[gst::PadTemplate],
        at: usize,
        with: impl FnOnce(gst::PadBuilder<gst::Pad>) -> gst::PadBuilder<gst::Pad>,
    ) -> gst::Pad {
        with(templates.get(at).map_or_else(|| gst::Pad::builder(gst::PadDirection::Unknown), gst::Pad::builder_from_template))
            .build()
    }

    impl Wrapper {
        fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            if let gst::EventView::Caps(caps) = event.view() {
                let Some(host) = Host::of(caps.caps()) else { return false };
                // Another size: another pool. What is under way keeps its surfaces.
                *lock(&self.pool) = Pool { host, pieces: Vec::new() };
                let mut caps = caps.caps_owned();
                caps.make_mut().set_features(0, Some(gst::CapsFeatures::new(["memory:NVMM"])));
                return self.src.push_event(gst::event::Caps::new(&caps));
            }
            gst::Pad::event_default(pad, Some(&*self.obj()), event)
        }

        fn chain(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let Some(knobs) = lock(&KNOBS).clone() else { return Err(gst::FlowError::NotNegotiated) };
            let number = self.pictures.fetch_add(1, Ordering::Relaxed);
            match knobs.fails {
                Fails::Silently => return Ok(gst::FlowSuccess::Ok),
                Fails::After(pictures) if number >= pictures => {
                    gst::element_imp_error!(self, gst::StreamError::Decode, ["the hardware is gone"]);
                    return Err(gst::FlowError::Error);
                }
                _ => {}
            }
            let memory = self.surface(&knobs, buffer).ok_or(gst::FlowError::Error)?;
            let mut out = gst::Buffer::new();
            if let Some(out) = out.get_mut() {
                out.append_memory(memory);
                let _ = buffer.copy_into(out, gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS, ..);
            }
            self.src.push(out)
        }

        /// The picture in a surface that nobody holds.
        fn surface(&self, knobs: &Knobs, buffer: &gst::Buffer) -> Option<gst::Memory> {
            let mut pool = lock(&self.pool);
            let host = pool.host;
            let map = buffer.map_readable().ok().filter(|map| map.size() >= host.bytes())?;
            // SAFETY: the memory lives; its count is read, and only this thread gives it out.
            let free = |memory: &gst::Memory| unsafe { (*memory.as_ptr()).mini_object.refcount == 1 };
            let kept = pool.pieces.iter().position(|(memory, _)| free(memory));
            let at = kept.unwrap_or_else(|| {
                let mut surface = knobs.library.surface((host.width, host.height), knobs.memory, knobs.layout, knobs.format);
                if let Some((params, at, value)) = knobs.poke {
                    surface.poke(params, at, value);
                }
                let surface = Arc::new(surface);
                pool.pieces.push((gst::Memory::from_slice(Shown(Arc::clone(&surface))), surface));
                pool.pieces.len() - 1
            });
            let (memory, surface) = pool.pieces.get(at)?;
            surface.fill((&map, host.pitch()), (map.get(host.chroma()..)?, host.pitch()));
            Some(memory.clone())
        }
    }

    impl ObjectImpl for Wrapper {
        fn constructed(&self) {
            self.parent_constructed();
            let _ = self.obj().add_pad(&self.sink).and_then(|()| self.obj().add_pad(&self.src));
        }
    }

    impl GstObjectImpl for Wrapper {}

    impl ElementImpl for Wrapper {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static OWN: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| metadata("wrapper", "Filter/Video"));
            Some(&OWN)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static ALL: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| templates(RAW, NVMM));
            &ALL
        }
    }

    /// The converter.
    pub struct Converter {
        sink: gst::Pad,
        src: gst::Pad,
        host: Mutex<Host>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Converter {
        const NAME: &'static str = "EgretStandInConverter";
        type Type = super::Converter;
        type ParentType = gst::Element;

        fn with_class(_: &Self::Class) -> Self {
            let sink = pad(Self::pad_templates(), 0, |builder| {
                builder
                    .chain_function(|_, parent, buffer| {
                        Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |own| own.chain(&buffer))
                    })
                    .event_function(|pad, parent, event| {
                        Self::catch_panic_pad_function(parent, || false, |own| own.event(pad, event))
                    })
            });
            Self { sink, src: pad(Self::pad_templates(), 1, |builder| builder), host: Mutex::default() }
        }
    }

    impl Converter {
        fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            if let gst::EventView::Caps(caps) = event.view() {
                let Some(host) = Host::of(caps.caps()) else { return false };
                *lock(&self.host) = host;
                let mut caps = caps.caps_owned();
                caps.make_mut().set_features(0, None);
                return self.src.push_event(gst::event::Caps::new(&caps));
            }
            gst::Pad::event_default(pad, Some(&*self.obj()), event)
        }

        fn chain(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let host = *lock(&self.host);
            let Some(knobs) = lock(&KNOBS).clone() else { return Err(gst::FlowError::NotNegotiated) };
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let mut bytes = vec![0; host.bytes()];
            // SAFETY: what the wrapper put into the buffer: a surface of this size, which the buffer keeps.
            unsafe { knobs.library.read_raw(map.as_ptr().cast_mut().cast(), &mut bytes, host.pitch(), host.chroma()) };
            drop(map);
            let mut out = gst::Buffer::from_mut_slice(bytes);
            if let Some(out) = out.get_mut() {
                let _ = buffer.copy_into(out, gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS, ..);
            }
            self.src.push(out)
        }
    }

    impl ObjectImpl for Converter {
        fn constructed(&self) {
            self.parent_constructed();
            let _ = self.obj().add_pad(&self.sink).and_then(|()| self.obj().add_pad(&self.src));
        }
    }

    impl GstObjectImpl for Converter {}

    impl ElementImpl for Converter {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static OWN: LazyLock<gst::subclass::ElementMetadata> =
                LazyLock::new(|| metadata("nvvidconv", "Filter/Converter/Video"));
            Some(&OWN)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static ALL: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| templates(NVMM, RAW));
            &ALL
        }
    }
}
