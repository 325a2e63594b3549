//! A subscriber for people: reads any form of the native messages, finds gaps, measures latencies.
//!
//! What comes may be anybody's: it is bounded in size, in how much of it is remembered, and no control character of it reaches a terminal.

mod decode;
mod follow;
mod line;
mod pretty;
mod subscription;
mod table;
mod tally;
mod text;

pub use self::{
    decode::{Bad, Form, decode},
    follow::{Outcome, Seqs},
    line::json_line,
    pretty::pretty,
    subscription::{Arrived, Lost, MAX_PACKET_BYTES, Subscription, Wanted, filters, kind},
    tally::Tally,
    text::printable,
};
