;; world: router  upload: ok  run: panic
;; An allocator that answers with an address outside the memory.
(module
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 2147483632)
  (func (export "route-call") (param i32) (result i32) i32.const 16))
