//! What decodes, and what became of pictures that lie on a device, in metrics.

use std::fmt;

use egret_jetson::surface::Counts;

use super::Families;
use crate::observe::CameraSnapshot;

pub(super) fn tell(cameras: &[CameraSnapshot], surfaces: Option<Counts>, out: &mut Families<'_>) -> fmt::Result {
    let decoders = cameras.iter().filter_map(|camera| {
        let decoding = &camera.status.decoding;
        let memory = if decoding.on_device { "device" } else { "host" };
        let instead_of = decoding.fallback.as_ref().map_or("", |fallback| fallback.from);
        let labels =
            vec![("camera", &*camera.name), ("element", decoding.element?), ("memory", memory), ("instead_of", instead_of)];
        Some((labels, 1.0))
    });
    out.gauge("egret_camera_decoder_info", "What decodes a camera, and what was to and did not work; always 1", decoders)?;
    let Some(counts) = surfaces else { return Ok(()) };
    let downloads = cameras.iter().flat_map(|camera| {
        let row = |(what, count): (&'static str, u64)| (vec![("camera", &*camera.name), ("what", what)], count);
        [("picture", camera.downloaded.pictures), ("luma_rows", camera.downloaded.rows)].map(row)
    });
    out.counter("egret_camera_downloads", "Times that something of a picture came from the device to the host", downloads)?;
    let one = |count: u64| [(vec![], count)];
    out.counter("egret_surface_registered", "Decoders' surfaces that were registered with CUDA", one(counts.registered))?;
    let alive = [(vec![], counts.alive as f64)];
    out.gauge("egret_surface_registrations", "Those that are registered now", alive)?;
    out.counter("egret_surface_copied", "Pictures whose blocks were copied into rows, on the device", one(counts.copied))?;
    out.counter("egret_surface_downloaded_bytes", "Bytes that came from the device to the host", one(counts.downloaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observe::metrics::{render, tests::value},
        status::{Decoding, Fallback},
    };

    #[test]
    fn downloads_and_registrations_are_counted_and_the_decoder_is_named() {
        let mut snapshot = crate::observe::tests::snapshot();
        assert!(!render(snapshot.clone()).expect("text").contains("egret_surface_"), "no device, no rows");
        snapshot.surfaces = Some(Counts { registered: 12, alive: 4, copied: 300, downloaded: 1 << 20 });
        let fallback = Some(Fallback { from: "nvh264dec", reason: "missing".into() });
        snapshot.cameras[0].status.decoding = Decoding { element: Some("nvv4l2decoder"), on_device: true, fallback };
        let text = render(snapshot).expect("text");
        for (row, expected) in [
            (r#"egret_camera_downloads_total{camera="door",what="picture"}"#, 9.0),
            (r#"egret_camera_downloads_total{camera="door",what="luma_rows"}"#, 400.0),
            ("egret_surface_registered_total ", 12.0),
            ("egret_surface_registrations ", 4.0),
            ("egret_surface_copied_total ", 300.0),
            ("egret_surface_downloaded_bytes_total ", 1_048_576.0),
            (r#"egret_camera_decoder_info{camera="door",element="nvv4l2decoder",memory="device",instead_of="nvh264dec"}"#, 1.0),
        ] {
            assert!((value(&text, row) - expected).abs() < 1e-9, "{row}");
        }
        assert!(!text.contains(r#"egret_camera_decoder_info{camera="yard""#), "nothing is known of it yet");
    }
}
