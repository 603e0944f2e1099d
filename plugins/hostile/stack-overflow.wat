;; world: router  upload: ok  run: stack-limit
;; Endless recursion.
(module
  (memory (export "memory") 2)
  (func $deep (param i32) (result i32)
    (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32) (call $deep (i32.const 0))))
