;; world: router  upload: ok  run: pass
;; 60 lines of 1 KiB: calls that are allowed, more text than a run may keep.
(module
  (import "hookswitch:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32)))
  (memory (export "memory") 32)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32) (local $n i32)
    (loop $again
      (call $log (i32.const 1) (i32.const 131072) (i32.const 1024))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 60))))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 0))
    i32.const 16))
