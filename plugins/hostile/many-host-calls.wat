;; world: router  upload: ok  run: host-call-limit
;; 10,000 calls of the host.
(module
  (import "hookswitch:plugin/tickets@1.0.0" "comment" (func $note (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32) (local $n i32)
    (loop $again
      (call $note (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000))))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 0))
    i32.const 16))
