#!/bin/sh
# run.sh DIR COMMAND...
#
# Becomes the command, and sees to it that it does not outlive whoever holds the other end of standard input: when that
# closes, the command is killed. DIR, if not empty, is removed then.
dir=$1
shift
pid=$$
exec 3<&0 </dev/null
(
    cat <&3
    # The command may have ended by itself long ago, and its number be another's.
    if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q kafka.Kafka; then kill -KILL "$pid"; fi
    [ -z "$dir" ] || rm -rf "$dir"
) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
