//! Log filters, read more strictly than `tracing` does: a word that is no level is the name of a module to it, and a misspelt level
//! would log nothing, or everything.

use tracing_subscriber::EnvFilter;

use super::suggest;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// The root of all of egret's own modules.
const ROOT: &str = "egret";

/// Why a filter cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {remedy}")]
pub struct BadFilter {
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// Reads a filter: levels, and levels per module, separated by commas.
///
/// # Errors
/// It does not parse, or holds a word that is no level where only a level can be meant.
pub fn log_filter(text: &str) -> Result<EnvFilter, BadFilter> {
    // Spans stand in brackets, with what `tracing` alone understands in them.
    if !text.contains('[') {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).try_for_each(check)?;
    }
    EnvFilter::builder().parse(text).map_err(|error| BadFilter {
        reason: error.to_string(),
        remedy: "write a level, e.g. \"info\", or levels per module, e.g. \"info,egret::source=debug\"".to_owned(),
    })
}

fn check(part: &str) -> Result<(), BadFilter> {
    let (module, level) = part.split_once('=').map_or((None, part), |(module, level)| (Some(module.trim()), level.trim()));
    if let Some(module) = module {
        let root = module.split("::").next().unwrap_or_default();
        if root != ROOT && suggest::nearest(root, [ROOT]).is_some() {
            let reason = format!("{module:?} is no module of egret");
            return Err(BadFilter { reason, remedy: format!("did you mean {}?", module.replacen(root, ROOT, 1)) });
        }
    }
    if is_level(level) {
        return Ok(());
    }
    let remedy = match (suggest::nearest(level, LEVELS), module) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, None) => format!("write one, or {level}=debug for the module of that name"),
        (None, Some(module)) => format!("write e.g. {module}=debug"),
    };
    Err(BadFilter { reason: format!("{level:?} is no level ({})", LEVELS.join(", ")), remedy })
}

/// As `tracing` reads them: words in any case, or 0 to 5.
fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text)) || matches!(text, "0" | "1" | "2" | "3" | "4" | "5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modules_are_taken() {
        for text in [
            "info",
            "WARN",
            "off",
            "3",
            "info,egret::source=debug",
            "error,rumqttd=off",
            "info,retina=trace",
            "",
            "[camera]=debug",
        ] {
            assert!(log_filter(text).is_ok(), "{text}: {:?}", log_filter(text).err());
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_suggestion() {
        for (text, reason, remedy) in [
            ("inof", "\"inof\" is no level", "did you mean info?"),
            ("info,egret::source=debgu", "\"debgu\" is no level", "did you mean debug?"),
            ("info,egert::source=debug", "no module of egret", "did you mean egret::source?"),
            ("retina", "\"retina\" is no level", "retina=debug for the module"),
            ("info,egret=loud", "\"loud\" is no level", "write e.g. egret=debug"),
            ("egret::source", "\"egret::source\" is no level", "egret::source=debug"),
            ("egret=loud=x", "\"loud=x\" is no level", "egret=debug"),
        ] {
            let refused = log_filter(text).expect_err(text);
            assert!(refused.reason.contains(reason) && refused.remedy.contains(remedy), "{text}: {refused}");
        }
    }
}
