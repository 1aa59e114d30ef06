# For scripts that schedulers stop: `pass_sigterm_to COMMAND...` runs the command, hands every SIGTERM on to it and returns
# its exit status. Ctrl-C reaches the command from the terminal itself. Afterwards neither of them ends the script any more,
# and `sigterm_came` says whether there was a SIGTERM.

sigterm_came=
pass_sigterm_to() {
  local child='' told='' status=0
  trap 'told=1 sigterm_came=1; [ -z "${child:-}" ] || kill -TERM "$child" 2> /dev/null || true' TERM
  trap 'told=1' INT
  "$@" &
  child=$!
  [ -z "$told" ] || kill -TERM "$child"
  # A signal ends `wait`, which then says nothing of the command.
  told=1
  while [ -n "$told" ]; do
    told='' status=0
    wait "$child" || status=$?
  done
  return "$status"
}
