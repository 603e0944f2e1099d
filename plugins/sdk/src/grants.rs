//! What a plugin may ask the service for. On your own machine [`crate::testing`] answers in its place.

use crate::bindings::hookswitch::plugin as wit;

/// The service's function in WebAssembly, the test's own elsewhere.
macro_rules! ask {
    ($module:ident::$function:ident($($argument:expr),*), $fake:ident) => {{
        #[cfg(target_arch = "wasm32")]
        let answer = super::wit::$module::$function($($argument),*);
        #[cfg(not(target_arch = "wasm32"))]
        let answer = crate::testing::with(|host| host.$fake($($argument),*));
        answer
    }};
}

/// Lines for the plugin's author, kept with the run. Always granted. What is over the run's limit is cut off.
pub mod log {
    pub use super::wit::log::Level;

    /// Writes a line.
    pub fn write(level: Level, message: impl AsRef<str>) {
        ask!(log::write(level, message.as_ref()), log);
    }

    /// Writes a line for those who look for a fault.
    pub fn debug(message: impl AsRef<str>) {
        write(Level::Debug, message);
    }

    /// Writes a line.
    pub fn info(message: impl AsRef<str>) {
        write(Level::Info, message);
    }

    /// Writes a line about something odd.
    pub fn warn(message: impl AsRef<str>) {
        write(Level::Warn, message);
    }

    /// Writes a line about something wrong.
    pub fn error(message: impl AsRef<str>) {
        write(Level::Error, message);
    }
}

/// What the tenant filled in for this plugin. Always granted, read only.
pub mod settings {
    /// A setting's text; none when it is not set. A list's texts are joined by line breaks.
    pub fn get(name: &str) -> Option<String> {
        ask!(settings::get(name), setting)
    }

    /// The texts of a setting that is a list, such as numbers; a single text is a list of one.
    pub fn get_list(name: &str) -> Vec<String> {
        ask!(settings::get_list(name), setting_list)
    }
}

/// Small texts that stay from run to run. A key is 1 to 100 bytes, a value at most 16 KiB.
pub mod kv {
    use crate::Failure;

    /// The value of a key.
    pub fn get(key: &str) -> Result<Option<String>, Failure> {
        ask!(kv::get(key), kv_get)
    }

    /// Keeps a value for `ttl` seconds; none: it stays.
    pub fn set(key: &str, value: &str, ttl: Option<u32>) -> Result<(), Failure> {
        ask!(kv::set(key, value, ttl), kv_set)
    }

    /// Forgets a value; says whether there was one.
    pub fn delete(key: &str) -> Result<bool, Failure> {
        ask!(kv::delete(key), kv_delete)
    }

    /// Adds to a number, which begins at 0, and returns the sum. `ttl` counts from the first increment.
    pub fn increment(key: &str, by: i64, ttl: Option<u32>) -> Result<i64, Failure> {
        ask!(kv::increment(key, by, ttl), kv_increment)
    }
}

/// The tenant's address book, read only.
pub mod contacts {
    pub use super::wit::contacts::Contact;
    use crate::Failure;

    /// Whoever has this number (E.164); none when nobody has.
    pub fn by_number(number: &str) -> Result<Option<Contact>, Failure> {
        ask!(contacts::by_number(number), contact)
    }
}

/// Requests to hosts that the plugin was granted.
pub mod http {
    pub use super::wit::http::{Request, Response};
    use crate::{Failure, Field};

    /// Sends a request and waits for the answer.
    pub fn send(request: &Request) -> Result<Response, Failure> {
        ask!(http::send(request), http)
    }

    /// A GET without headers.
    pub fn get(url: impl Into<String>) -> Result<Response, Failure> {
        send(&Request::new("GET", url))
    }

    impl Request {
        /// Without headers, body and time limit of its own.
        pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
            Self { method: method.into(), url: url.into(), headers: Vec::new(), body: None, timeout: None }
        }

        /// With one more header.
        #[must_use]
        pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.headers.push(Field { name: name.into(), value: value.into() });
            self
        }

        /// With a body.
        #[must_use]
        pub fn with_body(mut self, body: impl Into<String>) -> Self {
            self.body = Some(body.into());
            self
        }

        /// With so many milliseconds at most.
        #[must_use]
        pub fn with_timeout(mut self, milliseconds: u32) -> Self {
            self.timeout = Some(milliseconds);
            self
        }
    }
}

/// The tenant's tickets.
pub mod tickets {
    pub use super::wit::tickets::Ticket;
    use crate::Failure;

    /// Open tickets of whoever has this number (E.164), the newest first, at most 20.
    pub fn open_for(number: &str) -> Result<Vec<Ticket>, Failure> {
        ask!(tickets::open_for(number), tickets_of)
    }

    /// Adds an internal note.
    pub fn comment(id: &str, text: &str) -> Result<(), Failure> {
        ask!(tickets::comment(id, text), comment)
    }
}

/// The caller on the line; for call scripts. Every function returns when it is done. After hang-up each answers
/// [`Failure::HungUp`](crate::Failure::HungUp): come to an end.
pub mod call_control {
    pub use super::wit::call_control::{DialStatus, GatherOptions, Gathered, Prompt, Recording};
    use crate::{Failure, Instant, Target};

    /// Takes the call.
    pub fn answer() -> Result<(), Failure> {
        ask!(call_control::answer(), answer)
    }

    /// Plays all of them; returns the key of `interrupt_on` that the caller stopped it with.
    pub fn play(prompts: &[Prompt], interrupt_on: &str) -> Result<Option<String>, Failure> {
        ask!(call_control::play(prompts, interrupt_on), play)
    }

    /// Plays all of them, not to be stopped.
    pub fn say(prompts: &[Prompt]) -> Result<(), Failure> {
        ask!(call_control::say(prompts), say)
    }

    /// Waits for keys.
    pub fn gather(options: &GatherOptions) -> Result<Gathered, Failure> {
        ask!(call_control::gather(options), gather)
    }

    /// Records the caller, 1 to 3600 seconds at most.
    pub fn record(max_seconds: u32, terminators: &str, beep: bool) -> Result<Recording, Failure> {
        ask!(call_control::record(max_seconds, terminators, beep), record)
    }

    /// Calls a target and returns when that is over; 1 to 3600 seconds.
    pub fn dial(target: &Target, timeout: u32) -> Result<DialStatus, Failure> {
        ask!(call_control::dial(target, timeout), dial)
    }

    /// The channel's variable `HS_V_<name>`; none when it is not set.
    pub fn get_variable(name: &str) -> Result<Option<String>, Failure> {
        ask!(call_control::get_variable(name), variable)
    }

    /// Sets `HS_V_<name>`; a name is made of A-Z, 0-9 and _.
    pub fn set_variable(name: &str, value: &str) -> Result<(), Failure> {
        ask!(call_control::set_variable(name, value), set_variable)
    }

    /// The time while a caller listens. Kept with the run, so that a replay sees it again.
    pub fn now() -> Instant {
        ask!(call_control::now(), now)
    }

    impl Prompt {
        /// A sound by its name.
        pub fn sound(name: impl Into<String>) -> Self {
            Self::Sound(name.into())
        }
    }

    impl GatherOptions {
        /// Up to `max_digits` keys or `#`, five seconds for the first and three for each further one.
        pub fn digits(max_digits: u8, prompts: Vec<Prompt>) -> Self {
            Self { prompts, max_digits, timeout: 5, pause: 3, terminators: "#".into() }
        }
    }
}
