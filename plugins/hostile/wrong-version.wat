;; world: none  upload: not-loadable  run: -
;; A component made for a later major version.
(component
  (import "hookswitch:plugin/settings@2.0.0" (instance
    (export "get" (func (param "name" string) (result (option string)))))))
