//! URLs as people paste them: credentials are split off at once, whatever characters the password has, and never shown again.
//!
//! RFC 3986 §3.2 ends the authority at the first `/`, `?` or `#`, so a password holding one of them, unencoded, hides its host.
//! Cameras' web pages print such URLs all the same. The `@` that counts is the last one of the authority; where reading it
//! strictly leaves no possible host, it is the last one of the whole URL.

use url::Url;

use super::Secret;

/// Longest URL that is looked at, in bytes.
const LONGEST: usize = 2_048;

/// Parameters that carry a password inside a path or query, as several camera makers and relays want it.
const PASSWORD_PARAMETERS: [&str; 9] =
    ["password=", "passwd=", "pwd=", "pass=", "token=", "secret=", "apikey=", "api_key=", "auth="];

/// A URL without its credentials, and the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Without user name and password.
    pub(super) url: Url,
    /// Percent-decoded.
    pub(super) username: Option<String>,
    /// Percent-decoded.
    pub(super) password: Option<Secret>,
    /// An `@` is left in the path: it may have been meant as part of a password.
    pub(super) stray_at: bool,
}

/// Reads a URL of one of the given schemes. The reason of a refusal never quotes the URL.
pub(super) fn parse(text: &str, schemes: &[&str]) -> Result<Address, String> {
    if text.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err("holds control characters, or spaces at its ends".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("not a URL: it has no ://".to_owned());
    };
    let scheme = scheme.to_ascii_lowercase();
    if !schemes.contains(&scheme.as_str()) {
        return Err("its scheme is none that works here".to_owned());
    }
    let (userinfo, location) = split(rest);
    if !is_host(host_of(location)) {
        return Err("names no possible host and port".to_owned());
    }
    let url = Url::parse(&format!("{scheme}://{location}")).map_err(|error| error.to_string())?;
    // RFC 2326 §3.2 knows no fragment, and nobody would send it.
    if url.fragment().is_some() {
        return Err("holds a # that would be cut off with all that follows: write %23".to_owned());
    }
    if url.port() == Some(0) {
        return Err("port 0 cannot be connected to".to_owned());
    }
    let (username, password) = match userinfo {
        None | Some("") => (None, None),
        Some(info) => {
            let (user, password) = info.split_once(':').map_or((info, None), |(user, password)| (user, Some(password)));
            (Some(decode(user)), password.map(decode))
        }
    };
    if [&username, &password].into_iter().flatten().any(|part| part.chars().any(char::is_control)) {
        return Err("the user name or password holds control characters".to_owned());
    }
    let stray_at = url.path().contains('@') && (userinfo.is_some() || location.contains('@') && rest.contains(':'));
    Ok(Address { url, username, password: password.map(Secret::new), stray_at })
}

/// Splits what follows `://` into user information and the rest.
fn split(rest: &str) -> (Option<&str>, &str) {
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let at = match (authority.rfind('@'), rest.rfind('@')) {
        (Some(strict), Some(last)) if strict != last => {
            let misread = !is_qualified(host_of(&rest[strict + 1..])) && is_qualified(host_of(&rest[last + 1..]));
            Some(if misread { last } else { strict })
        }
        (Some(strict), _) => Some(strict),
        (None, Some(last)) if !is_host(authority) && is_host(host_of(&rest[last + 1..])) => Some(last),
        (None, _) => None,
    };
    at.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]))
}

/// `host[:port]` at the beginning of a text.
fn host_of(text: &str) -> &str {
    &text[..text.find(['/', '?', '#']).unwrap_or(text.len())]
}

/// Separates the port of `host[:port]`; an address in brackets keeps them.
fn port_of(host: &str) -> (&str, Option<&str>) {
    let after_bracket = host.rfind(']').map_or(0, |at| at + 1);
    host[after_bracket..]
        .rfind(':')
        .map_or((host, None), |at| (&host[..after_bracket + at], Some(&host[after_bracket + at + 1..])))
}

/// Whether it can be `host[:port]`.
fn is_host(text: &str) -> bool {
    let (host, port) = port_of(text);
    let name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_one = literal.map_or(!host.is_empty() && host.chars().all(name), |ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    host_is_one && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Whether it is certainly one: an address, a dotted name, or with a port.
fn is_qualified(text: &str) -> bool {
    let (host, port) = port_of(text);
    is_host(text) && (port.is_some() || host.starts_with('[') || host.contains('.'))
}

/// Percent-decodes; a `%` that begins no escape stands for itself, and so does everything if the outcome is no UTF-8.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let (b'%', Some(high), Some(low)) = (bytes[at], digit(at + 1), digit(at + 2)) {
            decoded.push((high * 16 + low) as u8);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// The source or broker as it may be shown; `None`: not at all, because what it means is not certain.
pub(super) fn shown(text: &str) -> Option<String> {
    if ["file:", "v4l2:", "test:"].iter().any(|scheme| text.starts_with(scheme)) {
        return (!text.contains('@')).then(|| text.to_owned());
    }
    let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()))?;
    let (userinfo, location) = split(rest);
    // An `@` was lost or is left over: any part of it may be the password.
    if !is_host(host_of(location)) || location.contains('@') {
        return Some(format!("{scheme}://***"));
    }
    let user = if userinfo.is_some() { "***@" } else { "" };
    let location = match password_parameter(location) {
        Some(at) => format!("{}***", &location[..at]),
        None => location.to_owned(),
    };
    Some(format!("{scheme}://{user}{location}"))
}

/// Where the value of a password parameter begins.
pub(super) fn password_parameter(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    PASSWORD_PARAMETERS.iter().filter_map(|name| lower.find(name).map(|at| at + name.len())).min()
}

/// The values of password parameters, as they stand in a path or query.
pub(super) fn password_values(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let value = &rest[password_parameter(rest)?..];
        let end = value.find(['&', '/', '?', ';', '#']).unwrap_or(value.len());
        rest = &value[end..];
        Some(&value[..end])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_encoded_login_comes_back_whatever_it_is(user in "[^\\p{Cc}]{1,20}", password in "[^\\p{Cc}]{0,20}", host in "[a-z]{1,9}") {
            let text = format!("rtsp://{}:{}@{host}/live", encode(&user), encode(&password));
            prop_assert_eq!(read(&text), (Some(user), Some(password), format!("rtsp://{host}/live")));
        }

        #[test]
        fn a_pasted_password_comes_back_too(password in "[@:/#?+!$&a-z]{0,20}") {
            let text = format!("rtsp://admin:{password}@10.0.0.5:554/live");
            prop_assert_eq!(read(&text), (Some("admin".to_owned()), Some(password), "rtsp://10.0.0.5:554/live".to_owned()));
        }

        #[test]
        fn whatever_it_is_there_is_an_answer_that_holds_no_login(text in "(rtsp://)?[@:/#?%\\[\\]a-c0-2. ]{0,30}") {
            if let Ok(address) = parse(&text, &["rtsp"]) {
                prop_assert_eq!((address.url.username(), address.url.password()), ("", None));
                prop_assert!(address.url.host_str().is_some_and(|host| !host.is_empty()));
                prop_assert_eq!(parse(address.url.as_str(), &["rtsp"]).map(|again| again.url), Ok(address.url));
            }
        }

        #[test]
        fn what_is_shown_never_holds_the_password(head in "[a-c:/@#?]{0,8}", tail in "[a-c:/@#?.0-2]{0,12}") {
            let text = format!("rtsp://{head}:hunter2@{tail}");
            prop_assert!(!shown(&text).unwrap_or_default().contains("hunter2"), "{}", text);
        }
    }

    fn read(text: &str) -> (Option<String>, Option<String>, String) {
        let address = parse(text, &["rtsp", "mqtt"]).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        (address.username, address.password.map(|p| p.expose().to_owned()), address.url.to_string())
    }

    #[test]
    fn splits_whatever_is_pasted() {
        for (text, user, password, url) in [
            ("rtsp://cam/live", None, None, "rtsp://cam/live"),
            ("RTSP://admin@cam:554/live", Some("admin"), None, "rtsp://cam:554/live"),
            ("rtsp://admin:@cam/", Some("admin"), Some(""), "rtsp://cam/"),
            ("rtsp://a:p%40ss%3A%2F%23%25%2B@10.0.0.5/1", Some("a"), Some("p@ss:/#%+"), "rtsp://10.0.0.5/1"),
            ("rtsp://a:p@ss@10.0.0.5/1", Some("a"), Some("p@ss"), "rtsp://10.0.0.5/1"),
            ("rtsp://a:p:q@cam/1", Some("a"), Some("p:q"), "rtsp://cam/1"),
            ("rtsp://a:p/q@cam/1", Some("a"), Some("p/q"), "rtsp://cam/1"),
            ("rtsp://a:p#q?r@cam/1", Some("a"), Some("p#q?r"), "rtsp://cam/1"),
            ("rtsp://a:p#q/r@cam/1", Some("a"), Some("p#q/r"), "rtsp://cam/1"),
            ("rtsp://a:100%+%zz@cam/1", Some("a"), Some("100%+%zz"), "rtsp://cam/1"),
            ("rtsp://a:p@s/w:r#d%+@cam.local:554/x", Some("a"), Some("p@s/w:r#d%+"), "rtsp://cam.local:554/x"),
            ("rtsp://u:p@10.0.0.5/live@2x", Some("u"), Some("p"), "rtsp://10.0.0.5/live@2x"),
            ("rtsp://cam:554/live@2x", None, None, "rtsp://cam:554/live@2x"),
            ("rtsp://u:p@[fe80::1]:554/s", Some("u"), Some("p"), "rtsp://[fe80::1]:554/s"),
            ("rtsp://u:%FF@cam/", Some("u"), Some("%FF"), "rtsp://cam/"),
        ] {
            assert_eq!(read(text), (user.map(str::to_owned), password.map(str::to_owned), url.to_owned()), "{text}");
        }
    }

    #[test]
    fn says_when_an_at_sign_is_left_over() {
        assert!(parse("rtsp://u:p@s/w@cam/1", &["rtsp"]).is_ok_and(|address| address.stray_at));
        assert!(parse("rtsp://u:p@cam/1", &["rtsp"]).is_ok_and(|address| !address.stray_at));
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            "cam",
            "rtsp:cam",
            "http://cam/",
            "rtsp://",
            "rtsp:///live",
            "rtsp://cam:0/",
            "rtsp://cam:99999/",
            "rtsp://u:p@/x",
            "rtsp://a b/",
            "rtsp://u:%0d%0aX@cam/",
            " rtsp://cam",
            "rtsp://c\nam/",
            "rtsp://cam/live#1",
        ] {
            assert!(parse(text, &["rtsp"]).is_err(), "{text:?}");
        }
        assert!(parse(&format!("rtsp://{}/", "a".repeat(3000)), &["rtsp"]).is_err());
    }

    #[test]
    fn passwords_within_a_url_are_found() {
        let found: Vec<_> = password_values("rtsp://cam/user=a&password=hunter2&channel=1/s?PWD=b%20c&x=1").collect();
        assert_eq!(found, ["hunter2", "b%20c"]);
        assert_eq!(password_values("rtsp://cam/live?channel=1").count(), 0);
    }

    #[test]
    fn shows_no_secret() {
        for (text, expected) in [
            ("rtsp://u:hunter2@cam/x", Some("rtsp://***@cam/x")),
            ("rtsp://u:h@unter2@cam", Some("rtsp://***@cam")),
            ("rtsp://cam/user=a&password=hunter2&channel=1", Some("rtsp://cam/user=a&password=***")),
            ("rtsp://cam/x?PWD=hunter2", Some("rtsp://cam/x?PWD=***")),
            ("rtsp://cam/x", Some("rtsp://cam/x")),
            ("rtsp://u:hunter2cam/x", Some("rtsp://***")),
            ("rtsp://u:p@hunter2/w@cam/x", Some("rtsp://***")),
            ("u:hunter2@cam/x", None),
            ("rt@sp://u:hunter2cam/x", None),
            ("gst:rtspsrc location=rtsp://u:hunter2@cam", None),
            ("test:smtpe", Some("test:smtpe")),
            ("file:///a b.mp4", Some("file:///a b.mp4")),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
    }
}
