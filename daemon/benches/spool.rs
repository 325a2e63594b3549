//! Durable records per second, and bytes written for each byte kept: `cargo bench -p egret --bench spool`.
//!
//! The queue stands in `TMPDIR`, which is to be a real disk. Beside it, SQLite: `python3 daemon/benches/spool_sqlite.py`.

use std::{
    hint::black_box,
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use egret::publish::spool::{Class, Disk, Record, Settings, Spool, since_boot};

/// An event of a daemon with JSON is about so long.
const PAYLOAD: [u8; 700] = [b'x'; 700];
const CAMERAS: [&str; 4] = ["gate", "yard", "street", "dock"];

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("egret-bench-spool-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn settings(batch: u32) -> Settings {
    Settings { sync_records: batch, max_bytes: 1 << 30, ..Settings::default() }
}

fn record(number: u64) -> Record<'static> {
    Record {
        class: Class::Event,
        stream: CAMERAS[number as usize % CAMERAS.len()],
        seq: number,
        id: "6f1c8e0a-event-0000001234",
        topic: "egret/box1/cam/gate/event/fence",
        properties: &[],
        payload: &PAYLOAD,
        at: SystemTime::UNIX_EPOCH,
    }
}

/// Takes so many records, hands each out, has it acknowledged, and syncs by batches.
fn through(spool: &mut Spool<Disk>, count: u64) {
    for number in 0..count {
        let now = since_boot();
        spool.append(&record(number), 1, now).expect("taken");
        let delivery = spool.next(0, now).expect("there");
        spool.acknowledge(0, &delivery.stream, delivery.number, now);
        black_box(&delivery);
    }
    let now = since_boot();
    spool.sync_now(now).expect("synced");
    spool.tick(now).expect("ticks");
}

/// What the system counted as written by this process.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
}

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("durable records");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(2048));
    for batch in [1, 16, 64, 256] {
        let folder = folder(&batch.to_string());
        let (mut spool, _) = Spool::open_at(&folder, settings(batch)).expect("opens");
        let keep = if batch == 1 { 64 } else { 2048 };
        group.throughput(Throughput::Elements(keep));
        group.bench_function(format!("synced by {batch}"), |b| b.iter(|| through(&mut spool, keep)));
        drop(spool);
        std::fs::remove_dir_all(folder).expect("removed");
    }
    group.finish();
    let mut out = std::io::stdout().lock();
    for batch in [1, 16, 64, 256] {
        let folder = folder("bytes");
        let (mut spool, _) = Spool::open_at(&folder, settings(batch)).expect("opens");
        let before = written();
        through(&mut spool, 4096);
        let stats = spool.stats(since_boot());
        let payload = stats.payload_bytes as f64;
        let (files, pages) = (stats.written as f64 / payload, (written() - before) as f64 / payload);
        writeln!(
            out,
            "synced by {batch}: {files:.2} bytes to files and {pages:.2} in pages for each byte of a message, {} syncs",
            stats.syncs
        )
        .expect("told");
        drop(spool);
        std::fs::remove_dir_all(folder).expect("removed");
    }
    let folder = folder("open");
    let (mut spool, _) = Spool::open_at(&folder, settings(256)).expect("opens");
    for number in 0..60_000 {
        spool.append(&record(number), 1, since_boot()).expect("taken");
    }
    spool.sync_now(since_boot()).expect("synced");
    drop(spool);
    let begun = Instant::now();
    let (_, opened) = Spool::open_at(&folder, settings(256)).expect("opens");
    writeln!(out, "{} records, {} MB: opened in {:?}", opened.records, opened.bytes >> 20, begun.elapsed()).expect("told");
    std::fs::remove_dir_all(folder).expect("removed");
}

criterion_group!(benches, records);
criterion_main!(benches);
