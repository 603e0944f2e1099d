;; world: router  upload: ok  run: output-limit
;; A plan of 100,000 steps.
(module
  (memory (export "memory") 100)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 1))
    (i32.store (i32.const 24) (i32.const 131072))
    (i32.store (i32.const 28) (i32.const 100000))
    i32.const 16))
