;; world: router  upload: ok  run: rejected-output
;; Nine steps, one more than allowed, each to the queue `support`.
(module
  (memory (export "memory") 2)
  (data (i32.const 64) "support")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32) (local $n i32)
    (loop $again
      (i32.store offset=1028 (i32.mul (local.get $n) (i32.const 24)) (i32.const 64))
      (i32.store offset=1032 (i32.mul (local.get $n) (i32.const 24)) (i32.const 7))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 1))
    (i32.store (i32.const 24) (i32.const 1024))
    (i32.store (i32.const 28) (i32.const 9))
    i32.const 16))
