;; world: ticketer  upload: ok  run: rejected-output
;; A draft whose rule is empty. Only the host's own check can refuse it.
(module
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "on-event") (param i32) (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 1))
    i32.const 16))
