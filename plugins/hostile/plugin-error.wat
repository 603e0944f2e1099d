;; world: router  upload: ok  run: plugin-error
;; Says no, politely.
(module
  (memory (export "memory") 2)
  (data (i32.const 64) "no list")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (i32.const 64))
    (i32.store (i32.const 24) (i32.const 7))
    i32.const 16))
