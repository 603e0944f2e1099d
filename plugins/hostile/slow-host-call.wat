;; world: router  upload: ok  run: time-limit
;; Waits in the host, where the test makes `kv` take ten seconds.
(module
  (import "hookswitch:plugin/kv@1.0.0" "get" (func $get (param i32 i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "k")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32)
    (call $get (i32.const 0) (i32.const 1) (i32.const 64))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 0))
    i32.const 16))
