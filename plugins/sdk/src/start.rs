//! What stands between the service's call and the author's function: one macro for each kind of plugin.

/// Runs before the author's function: from here on a panic leaves a line in the log.
pub fn begin() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        // The name of the file and the line stand in the first half, the message in the second.
        crate::log::error(panic.to_string());
    }));
}

/// The SDK and its version, as the section `hookswitch:sdk` of the module tells it.
pub const SDK: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// [`SDK`] as bytes, for a section.
pub const fn sdk<const N: usize>() -> [u8; N] {
    let (mut out, mut at) = ([0; N], 0);
    while at < N {
        out[at] = SDK.as_bytes()[at];
        at += 1;
    }
    out
}

/// The part that all three macros share.
#[doc(hidden)]
#[macro_export]
macro_rules! __plugin {
    (($($bindings:tt)*), $export:ident, $method:ident($input:ty) -> $output:ty, $function:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "hookswitch:sdk")]
            static SDK: [u8; $crate::start::SDK.len()] = $crate::start::sdk();

            struct Plugin;
            impl $($bindings)*::Guest for Plugin {
                fn $method(input: $input) -> Result<$output, String> {
                    $crate::start::begin();
                    let answer: Result<$output, $crate::Error> = $function(input);
                    answer.map_err(String::from)
                }
            }
            $($bindings)*::$export!(Plugin with_types_in $($bindings)*);
        };
        // The same promise where nothing is exported, so that tests find a wrong signature too.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn($input) -> Result<$output, $crate::Error> = $function;
    };
}

/// Makes a function the router of this plugin: `fn(Call) -> Result<Decision, Error>`.
#[macro_export]
macro_rules! router {
    ($function:path) => {
        $crate::__plugin!(
            ($crate::bindings::router),
            __export_router,
            route_call($crate::Call) -> $crate::Decision,
            $function
        );
    };
}

/// Makes a function the ticketer of this plugin: `fn(Event) -> Result<Option<TicketDraft>, Error>`.
#[macro_export]
macro_rules! ticketer {
    ($function:path) => {
        $crate::__plugin!(
            ($crate::bindings::ticketer),
            __export_ticketer,
            on_event($crate::Event) -> Option<$crate::TicketDraft>,
            $function
        );
    };
}

/// Makes a function the call script of this plugin: `fn(Call) -> Result<Decision, Error>`.
#[macro_export]
macro_rules! call_script {
    ($function:path) => {
        $crate::__plugin!(
            ($crate::bindings),
            __export_call_script,
            handle_call($crate::Call) -> $crate::Decision,
            $function
        );
    };
}
