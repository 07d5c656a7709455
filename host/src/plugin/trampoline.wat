;; Loops over a run inside the sandbox, so that the border to the host is crossed once a run and not once a message.
;;
;; A message record has 18 flat parameters, more than the 16 of the canonical ABI, so `handle-message` takes it by
;; pointer and nothing is copied here. All memory is a bump allocator: the run's messages lie at its bottom, packed by
;; the host (packing.rs), and the result of each message on top of them until the host has taken it.
(module
  (import "gristmill:plugin/handler@0.1.0" "handle-message" (func $handle-message (param i32 i32)))
  (import "gristmill:run/host" "begin" (func $begin (param i32) (result i32)))
  (import "gristmill:run/host" "done" (func $done (param i32 i32 i32 i32 i32 i32 i32)))

  ;; The maximum is how the limiter knows this memory: TRAMPOLINE_MEMORY_MAX in limits.rs says the same number.
  (memory (export "memory") 1 2065)

  ;; The result of `handle-message`: its case at 16, and from 20 on the list or the failure.
  (global $result i32 (i32.const 16))
  (data (i32.const 64) "more than 10000 outputs for one message")
  (global $too-many i32 (i32.const 64))
  (global $too-many-bytes i32 (i32.const 39))
  ;; Most outputs of one message: they lie in the host's memory as records before it may judge them.
  (global $outputs-max i32 (i32.const 10000))

  ;; Where the run lies: RUN_START in packing.rs says the same number, and its pointers rely on it.
  (global $heap i32 (i32.const 128))
  (global $free (mut i32) (i32.const 128))

  (func (export "cabi_realloc")
    (param $old i32) (param $old-bytes i32) (param $align i32) (param $bytes i32) (result i32)
    (local $start i32) (local $end i32) (local $size i32)
    (local.set $start
      (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $start) (local.get $bytes)))
    (if (i32.lt_u (local.get $end) (local.get $start)) (then (unreachable)))
    (local.set $size (i32.shl (memory.size) (i32.const 16)))
    (if (i32.gt_u (local.get $end) (local.get $size))
      (then
        (if (i32.eq
              (memory.grow
                (i32.shr_u
                  (i32.add (i32.sub (local.get $end) (local.get $size)) (i32.const 65535))
                  (i32.const 16)))
              (i32.const -1))
          (then (unreachable)))))
    (global.set $free (local.get $end))
    (if (local.get $old-bytes)
      (then
        (memory.copy (local.get $start) (local.get $old)
          (select (local.get $old-bytes) (local.get $bytes)
            (i32.lt_u (local.get $old-bytes) (local.get $bytes))))))
    (local.get $start))

  (func $tell (param $index i32)
    (if (i32.load8_u (global.get $result))
      (then
        (call $done (local.get $index) (i32.const 1)
          (i32.load8_u offset=4 (global.get $result))
          (i32.load offset=8 (global.get $result))
          (i32.load offset=12 (global.get $result))
          (i32.load8_u offset=16 (global.get $result))
          (i32.load offset=20 (global.get $result)))
        (return)))
    (if (i32.gt_u (i32.load offset=8 (global.get $result)) (global.get $outputs-max))
      (then
        (call $done (local.get $index) (i32.const 1) (i32.const 1)
          (global.get $too-many) (global.get $too-many-bytes) (i32.const 0) (i32.const 0))
        (return)))
    (call $done (local.get $index) (i32.const 0)
      (i32.load offset=4 (global.get $result))
      (i32.load offset=8 (global.get $result))
      (i32.const 0) (i32.const 0) (i32.const 0)))

  (func (export "gristmill:run/runs#handle-each") (param $messages i32) (param $bytes i32) (param $count i32)
    (local $index i32) (local $mark i32)
    (if (i32.ne (local.get $messages) (global.get $heap)) (then (unreachable)))
    ;; What follows on the heap holds records, whatever the length of the run.
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (local.set $mark (global.get $free))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $index) (local.get $count)))
        (if (call $begin (local.get $index))
          (then
            (call $handle-message
              (i32.add (local.get $messages) (i32.mul (local.get $index) (i32.const 88)))
              (global.get $result))
            (call $tell (local.get $index))
            (global.set $free (local.get $mark))))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $next)))
    (global.set $free (global.get $heap)))
)
