;; world: none  upload: not-loadable  run: -
;; A core module built for WASI, and no component.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
  (func (export "route-call") (param i32) (result i32) i32.const 0))
