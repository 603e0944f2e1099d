;; world: router  upload: ok  run: output-limit
;; Answers with an error text of 8 MiB.
(module
  (memory (export "memory") 160)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32)
    (memory.fill (i32.const 131072) (i32.const 0x61) (i32.const 8388608))
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (i32.const 131072))
    (i32.store (i32.const 24) (i32.const 8388608))
    i32.const 16))
