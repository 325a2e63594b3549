//! Which proxy a download goes through, as curl reads its environment.

use url::{Host, Url};

/// The proxies of the environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    https: Option<String>,
    http: Option<String>,
    /// Hosts that are reached directly: names (their subdomains too), addresses, `*`.
    direct: Vec<String>,
}

impl Proxies {
    /// `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in either case; `HTTP_PROXY` is not read, as a web server would set
    /// it from a request's `Proxy:` line.
    pub(super) fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let all = first(&["all_proxy", "ALL_PROXY"]);
        let direct = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Self {
            https: first(&["https_proxy", "HTTPS_PROXY"]).or_else(|| all.clone()),
            http: first(&["http_proxy"]).or(all),
            direct: direct.split(',').map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty()).collect(),
        }
    }

    /// The proxy for an address.
    pub(super) fn of_url(&self, url: &Url) -> Option<&str> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.as_deref().filter(|_| !self.is_direct(url))
    }

    fn is_direct(&self, url: &Url) -> bool {
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string().to_ascii_lowercase(),
            None => return true,
        };
        let port = url.port_or_known_default().unwrap_or(0);
        self.direct.iter().any(|direct| {
            let direct = direct.strip_suffix(&format!(":{port}")).unwrap_or(direct);
            let name = direct.trim_start_matches("*.").trim_start_matches('.').trim_start_matches('[').trim_end_matches(']');
            direct == "*" || host == name || (!name.is_empty() && host.ends_with(&format!(".{name}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let proxies = with(&[
            ("https_proxy", "http://p:1"),
            ("all_proxy", "http://q:2"),
            ("HTTP_PROXY", "http://evil:3"),
            ("no_proxy", "localhost, .example.org,10.0.0.7:8080, [::1]"),
        ]);
        assert_eq!(proxies.of_url(&url("https://github.com/x")), Some("http://p:1"));
        assert_eq!(proxies.of_url(&url("http://github.com/x")), Some("http://q:2"));
        for direct in
            ["https://localhost/x", "http://a.example.org", "http://example.org", "http://10.0.0.7:8080/x", "http://[::1]/x"]
        {
            assert_eq!(proxies.of_url(&url(direct)), None, "{direct}");
        }
        for through in ["https://notexample.org", "http://10.0.0.7/x"] {
            assert!(proxies.of_url(&url(through)).is_some(), "{through}");
        }
        assert_eq!(with(&[("https_proxy", "http://p"), ("no_proxy", "*")]).of_url(&url("https://x.org")), None);
        assert_eq!(with(&[("HTTP_PROXY", "http://evil")]).of_url(&url("http://x.org")), None);
    }
}
