;; world: router  upload: not-loadable  run: -
;; Never finishes being instantiated.
(module
  (memory (export "memory") 2)
  (func $boom (loop $again (br $again)))
  (start $boom)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32) i32.const 0))
