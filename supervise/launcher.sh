#!/bin/sh
# Starts Pillion's program in Node, and notes first what Node would change for the application: NODE_OPTIONS, ignored
# signals, the soft limit of open files, inherited descriptors (docs/decisions/0011-launcher.md). It is POSIX sh, since
# nothing else is on every Linux. Its variables have names that no environment has, because assigning to an exported
# variable would change the application's.
#   pillion run  -- CMD …   the sidecar becomes this process, and starts CMD.
#   pillion exec -- CMD …   the sidecar is started beside, and CMD becomes this process.

_pillion_path=$0
[ -L "$_pillion_path" ] && _pillion_path=$(readlink -f "$_pillion_path")
_pillion_main=${_pillion_path%/*}/main.js
[ -e "$_pillion_main" ] || _pillion_main=${_pillion_path%/*}/../main.ts
# main.ts explains the flags.
_pillion_flags='--max-semi-space-size=1 --v8-pool-size=1 --heap-growing-percent=60 --no-maglev --no-opt'

_pillion_verb=
[ "${1-}" = exec ] && _pillion_verb=exec
for _pillion_each in "$@"; do
  case $_pillion_verb$_pillion_each in
  exec* | --) break ;;
  run) _pillion_verb=run ;;
  esac
done

if ! command -v node >/dev/null; then
  echo 'pillion: cannot find node; install Node 24.18.1 or later, or add it to PATH' >&2
  exit 127
fi

_pillion_notes="pid=$$ nofile=$(ulimit -Sn) shell=${BASH_VERSION:+bash}"
if [ -n "$_pillion_verb" ] && [ -r /proc/$$/status ]; then
  # proc_pid_status(5): a mask in hexadecimal digits.
  while read -r _pillion_key _pillion_value; do
    [ "$_pillion_key" = SigIgn: ] && break
  done </proc/$$/status
  # The list holds the descriptor of ls for the folder itself, which is not open here.
  _pillion_open=
  for _pillion_each in $(ls /proc/self/fd 2>/dev/null); do
    [ "$_pillion_each" -gt 2 ] && [ -e "/proc/$$/fd/$_pillion_each" ] && _pillion_open=$_pillion_open,$_pillion_each
  done
  _pillion_notes="$_pillion_notes ignored=$_pillion_value descriptors=${_pillion_open#,}"
fi

case $_pillion_verb in
exec)
  # The sidecar answers on descriptor 3 with text for this shell, and closes it when its listeners are known. It is started
  # from a shell that ends at once, so that the application does not get a child that it did not start.
  _pillion_reply=$(
    _PILLION_LAUNCH=$_pillion_notes
    export _PILLION_LAUNCH
    unset NODE_OPTIONS NODE_V8_COVERAGE
    node $_pillion_flags "$_pillion_main" "$@" 3>&1 >&2 </dev/null &
  )
  while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
  [ $# -gt 0 ] && shift
  if [ -z "$_pillion_reply" ]; then
    # The sidecar ended without an answer. The application starts all the same, and gets none of the sidecar's settings,
    # which may hold secrets; Kubernetes sets PILLION_PORT… and PILLION_SERVICE_… for a Service of that name.
    for _pillion_each in $(env | sed -n '/^PILLION_\(PORT\|SERVICE_\)/d; s/^\(PILLION_[A-Z0-9_]*\)=.*/\1/p'); do
      unset "$_pillion_each"
    done
  fi
  eval "$_pillion_reply"
  exec "$@"
  ;;
run)
  # Many shells drop variables whose names they could not use ("spring.profiles.active"), so the environment is taken from
  # the kernel. A single variable may have 128 KiB.
  _PILLION_ENVIRON=$(od -An -v -tx1 /proc/$$/environ 2>/dev/null)
  if [ ${#_PILLION_ENVIRON} -lt 130000 ]; then export _PILLION_ENVIRON; else unset _PILLION_ENVIRON; fi
  _PILLION_LAUNCH=$_pillion_notes
  export _PILLION_LAUNCH
  [ -n "${NODE_OPTIONS-}" ] && export _PILLION_NODE_OPTIONS="$NODE_OPTIONS"
  ;;
esac
unset NODE_OPTIONS NODE_V8_COVERAGE
exec node $_pillion_flags "$_pillion_main" "$@"
