//! What wit-bindgen makes of the interface. The call script's world imports everything, so its modules serve all three.
#![allow(missing_docs, clippy::all, reason = "generated; it brings attributes of its own")]

wit_bindgen::generate!({
    path: "../../wit/1.0.0",
    world: "call-script",
    generate_unused_types: true,
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "__export_call_script",
    default_bindings_module: "hookswitch_plugin::bindings",
});

pub mod router {
    wit_bindgen::generate!({
        path: "../../wit/1.0.0",
        world: "router",
        with: {
            "hookswitch:plugin/types@1.0.0": crate::bindings::hookswitch::plugin::types,
            "hookswitch:plugin/log@1.0.0": crate::bindings::hookswitch::plugin::log,
            "hookswitch:plugin/settings@1.0.0": crate::bindings::hookswitch::plugin::settings,
            "hookswitch:plugin/kv@1.0.0": crate::bindings::hookswitch::plugin::kv,
            "hookswitch:plugin/contacts@1.0.0": crate::bindings::hookswitch::plugin::contacts,
            "hookswitch:plugin/http@1.0.0": crate::bindings::hookswitch::plugin::http,
            "hookswitch:plugin/tickets@1.0.0": crate::bindings::hookswitch::plugin::tickets,
        },
        pub_export_macro: true,
        export_macro_name: "__export_router",
        default_bindings_module: "hookswitch_plugin::bindings::router",
    });
}

pub mod ticketer {
    wit_bindgen::generate!({
        path: "../../wit/1.0.0",
        world: "ticketer",
        with: {
            "hookswitch:plugin/types@1.0.0": crate::bindings::hookswitch::plugin::types,
            "hookswitch:plugin/log@1.0.0": crate::bindings::hookswitch::plugin::log,
            "hookswitch:plugin/settings@1.0.0": crate::bindings::hookswitch::plugin::settings,
            "hookswitch:plugin/kv@1.0.0": crate::bindings::hookswitch::plugin::kv,
            "hookswitch:plugin/contacts@1.0.0": crate::bindings::hookswitch::plugin::contacts,
            "hookswitch:plugin/http@1.0.0": crate::bindings::hookswitch::plugin::http,
            "hookswitch:plugin/tickets@1.0.0": crate::bindings::hookswitch::plugin::tickets,
        },
        pub_export_macro: true,
        export_macro_name: "__export_ticketer",
        default_bindings_module: "hookswitch_plugin::bindings::ticketer",
    });
}
