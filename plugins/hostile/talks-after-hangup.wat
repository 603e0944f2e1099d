;; world: call-script  upload: ok  run: host-call-limit
;; Goes on answering a call whose caller is gone.
(module
  (import "hookswitch:plugin/call-control@1.0.0" "answer" (func $answer (param i32)))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "handle-call") (param i32) (result i32) (local $n i32)
    (loop $again
      (call $answer (i32.const 64))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000))))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 0))
    i32.const 16))
