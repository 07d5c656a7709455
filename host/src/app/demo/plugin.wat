;; The demo's plugin: one query of the database for each message, by the message's key. In text, so that the binary
;; needs no guest toolchain; `plugins/` has the same in Rust.
(module
  ;; query: func(key: string) -> result<string, string>; the result lies at the third argument.
  (import "gristmill:demo/database" "query" (func $query (param i32 i32 i32)))
  (memory (export "memory") 2)

  ;; Where the next allocation goes. Everything lives for one message.
  (global $next (mut i32) (i32.const 1024))

  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
    (result i32)
    (local $at i32)
    (local.set $at
      (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  ;; handle-message: func(message: message) -> result<list<output>, failure>
  ;; The message's key is an option at 40: tag, pointer, length. The query's result lies at 16, ours at 64.
  (func (export "gristmill:plugin/handler@0.1.0#handle-message") (param $message i32) (result i32)
    (call $query
      (i32.load offset=44 (local.get $message))
      (i32.load offset=48 (local.get $message))
      (i32.const 16))
    (if (i32.load8_u (i32.const 16))
      (then
        ;; err(retry { reason: what the database said, after-ms: none })
        (i32.store8 (i32.const 64) (i32.const 1))
        (i32.store8 (i32.const 68) (i32.const 0))
        (i32.store (i32.const 72) (i32.load (i32.const 20)))
        (i32.store (i32.const 76) (i32.load (i32.const 24)))
        (i32.store8 (i32.const 80) (i32.const 0)))
      (else
        ;; ok([])
        (i32.store8 (i32.const 64) (i32.const 0))
        (i32.store (i32.const 68) (i32.const 8))
        (i32.store (i32.const 72) (i32.const 0))))
    (i32.const 64))

  (func (export "cabi_post_gristmill:plugin/handler@0.1.0#handle-message") (param i32)
    (global.set $next (i32.const 1024))))
