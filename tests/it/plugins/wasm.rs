//! Plugins for tests: WAT made into components here, so that no guest toolchain is needed.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::support::root;

/// A component of a world, from a core module's text.
pub(crate) fn component(world: &str, wat: &str) -> Vec<u8> {
    let mut core = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit/1.0.0")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&core).unwrap().validate(true).encode().unwrap()
}

/// A component as it stands.
pub(crate) fn bare(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

/// A memory, and an allocator that never frees.
const ALLOC: &str = r#"(memory (export "memory") 2) (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 15)) (i32.const -16))))"#;

/// Stores an answer at 16: routes to the name at 64, a queue (0) or endpoint (1).
fn route(tag: u8, length: usize) -> String {
    format!(
        "(i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 1))
         (i32.store (i32.const 24) (i32.const 1024)) (i32.store (i32.const 28) (i32.const 1))
         (i32.store (i32.const 1024) (i32.const {tag})) (i32.store (i32.const 1028) (i32.const 64))
         (i32.store (i32.const 1032) (i32.const {length}))"
    )
}

/// Always the same queue.
pub(crate) fn to_queue(name: &str) -> Vec<u8> {
    let body = route(0, name.len());
    component(
        "router",
        &format!(
            r#"(module {ALLOC} (data (i32.const 64) "{name}")
            (func (export "route-call") (param i32) (result i32) {body} i32.const 16))"#
        ),
    )
}

/// Nothing to say. `salt` makes another file of it.
pub(crate) fn passes(salt: &str) -> Vec<u8> {
    component(
        "router",
        &format!(
            r#"(module {ALLOC} (data (i32.const 64) "{salt}")
            (func (export "route-call") (param i32) (result i32)
              (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 0)) i32.const 16))"#
        ),
    )
}

/// An error of its own.
pub(crate) fn fails(text: &str) -> Vec<u8> {
    let length = text.len();
    component(
        "router",
        &format!(
            r#"(module {ALLOC} (data (i32.const 64) "{text}")
            (func (export "route-call") (param i32) (result i32)
              (i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 64))
              (i32.store (i32.const 24) (i32.const {length})) i32.const 16))"#
        ),
    )
}

/// Fails for a caller whose number's last digit is 9, else to a queue. The caller's number is at 20 of the call: whether
/// there is one, where, how long.
pub(crate) fn fails_for_nines(name: &str) -> Vec<u8> {
    let body = route(0, name.len());
    component(
        "router",
        &format!(
            r#"(module {ALLOC} (data (i32.const 64) "{name}")
            (func (export "route-call") (param $call i32) (result i32)
              (if (i32.eq (i32.load8_u (i32.sub (i32.add (i32.load offset=24 (local.get $call)) (i32.load offset=28 (local.get $call))) (i32.const 1))) (i32.const 57))
                (then unreachable))
              {body} i32.const 16))"#
        ),
    )
}

/// Looks its caller's friend up: to endpoint 101 when that is a contact, else to a queue.
pub(crate) fn looks_up() -> Vec<u8> {
    let (found, none) = (route(1, 3), route(0, 7));
    component(
        "router",
        &format!(
            r#"(module
            (import "hookswitch:plugin/contacts@1.0.0" "by-number" (func $by (param i32 i32 i32)))
            {ALLOC} (data (i32.const 64) "101....") (data (i32.const 128) "+15557770001") (data (i32.const 160) "support")
            (func (export "route-call") (param i32) (result i32)
              (call $by (i32.const 128) (i32.const 12) (i32.const 256))
              (if (i32.and (i32.eqz (i32.load8_u (i32.const 256))) (i32.load8_u (i32.const 260)))
                (then {found})
                (else (memory.copy (i32.const 64) (i32.const 160) (i32.const 7)) {none}))
              i32.const 16))"#
        ),
    )
}

/// Asks for a value of its own, and does nothing with it.
pub(crate) fn wants_kv() -> Vec<u8> {
    component(
        "router",
        &format!(
            r#"(module
            (import "hookswitch:plugin/kv@1.0.0" "get" (func $get (param i32 i32 i32)))
            (import "hookswitch:plugin/contacts@1.0.0" "by-number" (func $by (param i32 i32 i32)))
            {ALLOC} (data (i32.const 64) "k")
            (func (export "route-call") (param i32) (result i32)
              (call $get (i32.const 64) (i32.const 1) (i32.const 256))
              (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 0)) i32.const 16))"#
        ),
    )
}

/// Can't be set up.
pub(crate) fn dies_at_start() -> Vec<u8> {
    component(
        "router",
        &format!(
            r#"(module {ALLOC} (func (export "route-call") (param i32) (result i32) i32.const 0)
            (func $boom unreachable) (start $boom))"#
        ),
    )
}

/// A ticketer with nothing to do.
pub(crate) fn idle_ticketer() -> Vec<u8> {
    component(
        "ticketer",
        &format!(
            r#"(module {ALLOC} (func (export "on-event") (param i32) (result i32)
              (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 0)) i32.const 16))"#
        ),
    )
}

/// A call script that answers, then traps when that failed.
pub(crate) fn answers() -> Vec<u8> {
    let body = route(0, 7);
    component(
        "call-script",
        &format!(
            r#"(module
            (import "hookswitch:plugin/call-control@1.0.0" "answer" (func $answer (param i32)))
            {ALLOC} (data (i32.const 64) "support")
            (func (export "handle-call") (param i32) (result i32)
              (call $answer (i32.const 256))
              (if (i32.load8_u (i32.const 256)) (then unreachable))
              {body} i32.const 16))"#
        ),
    )
}

/// The same with a section that means nothing.
pub(crate) fn padded(mut file: Vec<u8>, bytes: usize) -> Vec<u8> {
    let mut leb = |mut n: usize| {
        while n > 0x7f {
            file.push(0x80 | u8::try_from(n & 0x7f).unwrap());
            n >>= 7;
        }
        file.push(u8::try_from(n).unwrap());
    };
    leb(0);
    leb(bytes + 2);
    leb(1);
    file.push(b'x');
    file.extend(std::iter::repeat_n(0, bytes));
    file
}
