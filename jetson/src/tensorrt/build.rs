//! The shim's builder, checked.

use std::{
    ffi::{CString, c_void},
    path::Path,
    ptr::{self, NonNull},
    sync::Arc,
};

use super::{
    Error, ParserError, Placement, Range, Tensor, Version,
    host::{Host, text},
    result::{c_path, c_string, check, describe, sink},
    sys,
};

/// `IBuilder` with its network, configuration and parser.
pub(super) struct Build {
    raw: NonNull<sys::Build>,
    api: &'static sys::Api,
    pub(super) host: Arc<Host>,
}

// SAFETY: one owner; nothing in it is bound to a thread.
unsafe impl Send for Build {}

/// What a network consists of.
pub(super) struct Counts {
    pub(super) inputs: i32,
    pub(super) outputs: i32,
    pub(super) layers: i32,
    pub(super) dla_cores: i32,
}

impl Build {
    /// # Safety
    /// `create` and `parser` are `createInferBuilder_INTERNAL` and `createNvOnnxParser_INTERNAL` of libraries of that version, which
    /// stay loaded and are of the major of `api`.
    pub(super) unsafe fn new(
        api: &'static sys::Api,
        (create, parser): (sys::Create, sys::CreateParser),
        version: Version,
        log: &'static Host,
        host: Arc<Host>,
    ) -> Result<Self, Error> {
        host.forget();
        let mut raw = ptr::null_mut();
        // SAFETY: the caller's promise; the host outlives the builder, which holds it.
        let status = unsafe { (api.build_new)(create, parser, version.raw(), log.raw(), host.raw(), &raw mut raw) };
        check(status, "creating a builder", &host)?;
        let raw = NonNull::new(raw).ok_or(Error::Binding("a builder that is null".into()))?;
        Ok(Self { raw, api, host })
    }

    pub(super) fn parse(&mut self, onnx: &[u8], path: Option<&Path>) -> Result<(), Error> {
        let path = path.map(c_path).transpose()?;
        let path = path.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        self.host.forget();
        // SAFETY: builder, bytes and path live.
        let status = unsafe { (self.api.build_parse)(self.raw.as_ptr(), onnx.as_ptr().cast(), onnx.len(), path) };
        if status == sys::OK {
            return Ok(());
        }
        let mut errors: Vec<ParserError> = Vec::new();
        // SAFETY: the builder lives; `put_parser_error` casts `user` back to what it is here.
        unsafe { (self.api.build_parser_errors)(self.raw.as_ptr(), (&raw mut errors).cast(), put_parser_error) };
        if errors.is_empty() { check(status, "reading the network", &self.host) } else { Err(Error::Parse { errors }) }
    }

    pub(super) fn counts(&self) -> Result<Counts, Error> {
        let mut c = Counts { inputs: 0, outputs: 0, layers: 0, dla_cores: 0 };
        let Counts { inputs, outputs, layers, dla_cores } = &mut c;
        // SAFETY: the builder lives.
        let status = unsafe { (self.api.build_counts)(self.raw.as_ptr(), inputs, outputs, layers, dla_cores) };
        check(status, "counting a network's tensors", &self.host)?;
        Ok(c)
    }

    pub(super) fn tensor(&self, is_output: bool, index: i32) -> Result<Tensor, Error> {
        // SAFETY: the builder lives; both pointers are valid for the call.
        let call = |raw, name| unsafe { (self.api.build_tensor)(self.raw.as_ptr(), i32::from(is_output), index, raw, name) };
        describe(call, "describing a network's tensor", &self.host)
    }

    pub(super) fn profile(&mut self, ranges: &[Range]) -> Result<(), Error> {
        let names = ranges.iter().map(|range| c_string(&range.name)).collect::<Result<Vec<CString>, _>>()?;
        let raw: Vec<sys::Range> = ranges
            .iter()
            .zip(&names)
            .map(|(range, name)| sys::Range {
                name: name.as_ptr(),
                min: range.min.raw(),
                opt: range.opt.raw(),
                max: range.max.raw(),
            })
            .collect();
        self.host.forget();
        // SAFETY: builder, ranges and names live.
        let status = unsafe { (self.api.build_profile)(self.raw.as_ptr(), raw.as_ptr(), raw.len() as i32) };
        check(status, "adding a profile", &self.host)
    }

    /// The raw status: what is too old is the caller's to name.
    pub(super) fn configure(&mut self, config: &sys::Config) -> i32 {
        self.host.forget();
        // SAFETY: builder and configuration live.
        unsafe { (self.api.build_configure)(self.raw.as_ptr(), config) }
    }

    pub(super) fn timing_cache(&mut self, cache: &[u8]) -> Result<(), Error> {
        self.host.forget();
        // SAFETY: builder and bytes live.
        let status = unsafe { (self.api.build_timing_cache)(self.raw.as_ptr(), cache.as_ptr().cast(), cache.len()) };
        check(status, "taking a timing cache", &self.host)
    }

    pub(super) fn placement(&self) -> Result<Vec<Placement>, Error> {
        let mut layers: Vec<Placement> = Vec::new();
        // SAFETY: the builder lives; `put_layer` casts `user` back to what it is here.
        let status = unsafe { (self.api.build_placement)(self.raw.as_ptr(), (&raw mut layers).cast(), put_layer) };
        check(status, "asking where layers can run", &self.host)?;
        Ok(layers)
    }

    /// The plan, and the timing cache as it is afterwards.
    pub(super) fn run(&mut self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let (mut plan, mut cache) = (Vec::new(), Vec::new());
        self.host.forget();
        // SAFETY: the builder lives; the sinks' vectors outlive the call.
        let status = unsafe { (self.api.build_run)(self.raw.as_ptr(), sink(&raw mut plan), sink(&raw mut cache)) };
        if self.host.cancelled() {
            return Err(Error::Cancelled);
        }
        check(status, "building the engine", &self.host)?;
        Ok((plan, cache))
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // SAFETY: the only owner goes.
        unsafe { (self.api.build_free)(self.raw.as_ptr()) }
    }
}

unsafe extern "C" fn put_parser_error(user: *mut c_void, error: *const sys::ParserError) {
    // SAFETY: `parse` passes its own vector; the error and its texts live for the call.
    let (list, error) = unsafe { (&mut *user.cast::<Vec<ParserError>>(), &*error) };
    // SAFETY: as above; none is null.
    let texts = unsafe { [error.description, error.node_name, error.node_operator, error.file].map(|s| text(s)) };
    let [reason, name, operator, file] = texts;
    list.push(ParserError {
        code: error.code,
        reason,
        node: u32::try_from(error.node).ok(),
        name,
        operator,
        file,
        line: error.line,
    });
}

unsafe extern "C" fn put_layer(user: *mut c_void, layer: *const sys::Layer) {
    // SAFETY: `placement` passes its own vector; the layer and its name live for the call.
    let (list, layer, name) = unsafe { (&mut *user.cast::<Vec<Placement>>(), &*layer, text((*layer).name)) };
    list.push(Placement { layer: name, kind: layer.kind, on_dla: layer.on_dla != 0 });
}
