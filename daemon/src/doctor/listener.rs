//! Whether `http.listen` can be had, or is already ours.

use std::io::ErrorKind;

use url::Url;

use super::Finding;
use crate::{
    config::HttpConfig,
    observe::{self, GetError},
};

const AREA: &str = "http";
/// What egret's metrics begin with.
const OURS: &str = "egret_";

/// Asks who answers there: to take the address for a moment would be in the way of a daemon that starts.
pub(super) async fn examine(http: &HttpConfig) -> Vec<Finding> {
    let at = http.listen;
    let remedy = "let http.listen name a free address and port, or write enabled = false in [http]";
    let Ok(url) = Url::parse(&format!("http://{at}/metrics")) else { return Vec::new() };
    let found = match observe::get(&url).await {
        Ok(reply) if reply.body.contains(OURS) => Finding::ok(AREA, format!("an egret answers at {at}")),
        Err(GetError::Connection { source, .. }) if source.kind() == ErrorKind::ConnectionRefused => {
            Finding::ok(AREA, format!("{at} is free"))
        }
        Err(GetError::Connection { source, .. }) if source.kind() != ErrorKind::TimedOut => Finding::error(
            AREA,
            format!("{at} is taken by a program that speaks no HTTP, or cannot be reached ({source})"),
            remedy,
        ),
        _ => Finding::error(AREA, format!("{at} is taken by another program"), remedy),
    };
    vec![found]
}
