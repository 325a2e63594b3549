//! `/status`: the snapshot as JSON, for scripts and people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{CameraSnapshot, FamilySnapshot, PublishSnapshot, Snapshot};

/// The snapshot; `not_ready` says why the line does not run.
pub(super) fn json(snapshot: &Snapshot, not_ready: Option<&str>) -> Value {
    json!({
        "device": snapshot.device,
        "version": env!("CARGO_PKG_VERSION"),
        "ready": not_ready.is_none(),
        "not_ready": not_ready,
        "uptime_s": snapshot.uptime.as_secs_f64(),
        "cameras": snapshot.cameras.iter().map(camera).collect::<Vec<_>>(),
        "models": snapshot.models.iter().map(|m| json!({
            "name": m.info.name,
            "runtime": m.info.runtime,
            "sha256": m.info.sha256,
            "precision": m.info.precision,
            "max_batch": m.max_batch,
            "workers": m.workers,
            "batches": m.batches,
            "mean_batch": m.mean_batch(),
        })).collect::<Vec<_>>(),
        "steps": snapshot.steps.iter().map(|s| json!({
            "name": s.info.name,
            "of": s.of,
            "runtime": s.info.runtime,
            "sha256": s.info.sha256,
            "max_batch": s.max_batch,
            "workers": s.workers,
            "runs": s.counts.runs,
            "looks": s.counts.looks,
            "failed": s.counts.failed,
            "mean_batch": s.mean_batch(),
        })).collect::<Vec<_>>(),
        "engines": snapshot.engines.iter().map(|(model, state)| (model.clone(), json!({
            "state": state.word(),
            "percent": state.percent(),
            "reason": state.reason(),
            "cut": snapshot.cuts.get(model),
        }))).collect::<Map<_, _>>(),
        "queues": snapshot.queues.iter()
            .map(|q| (q.name.to_owned(), json!({"length": q.length, "capacity": q.capacity}))).collect::<Map<_, _>>(),
        // The first broker; all of them below.
        "mqtt": snapshot.publish.first().map(broker),
        "brokers": snapshot.publish.iter().map(broker).collect::<Vec<_>>(),
        "stages_ms": snapshot.stages.iter().map(|s| (s.name.to_owned(), json!({
            "count": s.count,
            "mean": ms(s.mean),
            "p50": ms(s.p50),
            "p99": ms(s.p99),
            "max": ms(s.max),
        }))).collect::<Map<_, _>>(),
    })
}

fn broker(broker: &PublishSnapshot) -> Value {
    let count = |f: &FamilySnapshot| {
        let dropped: Map<_, _> = f
            .dropped
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| ((*reason).to_owned(), (*count).into()))
            .collect();
        (f.name.to_owned(), json!({"published": f.published, "dropped": f.lost(), "reasons": dropped}))
    };
    json!({
        "name": broker.name,
        "broker": broker.broker,
        "connected": broker.connected,
        "failure": broker.failure.as_ref().map(|(reason, detail)| json!({"reason": reason, "detail": detail})),
        "reason_codes": broker.reasons.iter()
            .map(|r| json!({"packet": r.packet, "code": r.code, "meaning": r.meaning, "count": r.count})).collect::<Vec<_>>(),
        "reconnects": broker.reconnects,
        "commands_heard": broker.commands_heard,
        "kept": {"messages": broker.kept.0, "bytes": broker.kept.1},
        "messages": broker.families.iter().map(count).collect::<Map<_, _>>(),
    })
}

fn camera(camera: &CameraSnapshot) -> Value {
    let (status, counts) = (&camera.status, &camera.counts);
    let dropped: Map<_, _> =
        counts.dropped.by_reason().map(|(reason, count)| (reason.to_owned(), count.into())).into_iter().collect();
    json!({
        "name": camera.name,
        "source": camera.source,
        "model": camera.model,
        "state": status.state,
        "since_unix_s": unix(status.since),
        "detail": status.detail,
        "codec": status.codec,
        "width": status.size.map(|s| s.0),
        "height": status.size.map(|s| s.1),
        "reconnects": status.reconnects,
        "packets_lost": status.packets_lost,
        "skipped_to_idr": status.skipped_to_idr,
        "decode_errors": status.decode_errors,
        "picture_faults": status.picture_faults,
        "decoding": status.decoding,
        "frames": {
            "decoded": counts.decoded,
            "inferred": counts.inferred,
            "in_flight": counts.in_flight,
            "dropped": dropped,
        },
    })
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
