;; world: ticketer  upload: ok  run: cpu-limit
;; Never returns from an event.
(module
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "on-event") (param i32) (result i32)
    (loop $again (br $again)) unreachable))
