//! Log lines: a readable sentence plus dotted fields (`tenant.id`, `call.id`, `duration_ms`), as text or JSON, on
//! standard error.
//!
//! Never logged: secrets, tokens, passwords, webhook bodies, digits a caller typed, message texts, query strings of
//! outgoing URLs.

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text for people.
    #[default]
    Text,
    /// One JSON object a line for collectors.
    Json,
}

/// Starts logging for the process. A second call changes nothing.
///
/// # Errors
/// When `filter` is not a tracing filter such as `info` or `hookswitch::agi=debug,info`.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("log filter {filter:?}: {e}"))?;
    // Colours are for people at a terminal; in a file or a collector they are noise.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // An error means that a subscriber is there already (tests): keep it.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
