//! Secrets within GStreamer's fragments: what `user-pw=…` and its like are given, and the logins of URLs.

/// How properties end that hold a secret: `user-pw` of rtspsrc, `passphrase` of srtsrc, `secret-access-key`.
const TELLING: [&str; 7] = ["pw", "password", "passwd", "passphrase", "secret", "token", "key"];

/// The secrets of a fragment, as they stand in it, without quotes.
pub(super) fn secrets(fragment: &str) -> impl Iterator<Item = &str> {
    words(fragment).filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'', '\\']);
        let name = name.trim().to_ascii_lowercase();
        let secret = if TELLING.iter().any(|ending| name.ends_with(ending)) { value } else { login(value)? };
        (!secret.is_empty()).then_some(secret)
    })
}

/// The password of a URL.
fn login(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (login, _) = rest.rsplit_once('@')?;
    login.split_once(':').map(|(_, password)| password)
}

/// Words, apart at spaces that no quotes enclose. A property may be given with spaces around its `=`.
fn words(fragment: &str) -> impl Iterator<Item = &str> {
    let mut rest = fragment;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let mut quote = None;
        let mut last = ' ';
        let end = rest.char_indices().find(|(at, c)| {
            match (quote, *c) {
                (None, '"' | '\'') if last != '\\' => quote = Some(*c),
                (Some(open), c) if c == open && last != '\\' => quote = None,
                (None, c) if c.is_whitespace() => return last != '=' && !rest[*at..].trim_start().starts_with('='),
                _ => {}
            }
            last = *c;
            false
        });
        let (word, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_a_fragment_is_found() {
        for (fragment, expected) in [
            ("rtspsrc location=rtsp://10.0.0.1/s user-id=admin user-pw=hunter2 ! rtph264depay", &["hunter2"][..]),
            ("rtspsrc user-pw=\"hunter2 and more\" ! x", &["hunter2 and more"]),
            ("rtspsrc user-pw = 'hunter2' location=x", &["hunter2"]),
            ("rtspsrc location=\"rtsp://u:hunter2@10.0.0.1/s\" proxy-pw=p", &["hunter2", "p"]),
            ("srtsrc uri=srt://h:1 passphrase=hunter2hunter2", &["hunter2hunter2"]),
            ("libcamerasrc ! videoconvert ! capsfilter caps=\"video/x-raw, width=(int)640\"", &[]),
            ("rtspsrc user-pw=", &[]),
            ("rtspsrc location=rtsp://admin@10.0.0.1/s", &[]),
            ("", &[]),
        ] {
            let found: Vec<_> = secrets(fragment).collect();
            assert_eq!(found, expected, "{fragment}");
        }
    }
}
