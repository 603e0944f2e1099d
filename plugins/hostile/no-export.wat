;; world: none  upload: not-loadable  run: -
;; Nothing to call.
(component)
