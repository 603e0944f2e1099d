;; world: none  upload: not-loadable  run: -
;; The right name with another signature.
(component
  (import "hookswitch:plugin/settings@1.0.0" (instance
    (export "get" (func (param "name" u32) (result (option string)))))))
