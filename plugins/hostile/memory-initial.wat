;; world: router  upload: not-loadable  run: -
;; Asks for 1 GiB before it runs.
(module
  (memory (export "memory") 16384)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "route-call") (param i32) (result i32) unreachable))
