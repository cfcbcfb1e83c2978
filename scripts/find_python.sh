#!/usr/bin/env bash
# Prints the path of an interpreter of one of the named versions, the first that starts; nothing where there is none.
#
#   scripts/find_python.sh 3.12 3.13
set -euo pipefail

for version in "$@"; do
    for candidate in "$(command -v "python$version" || true)" "$(command -v python3 || true)" \
                     "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
        # A shim of pyenv's may be there and not start: ask the interpreter itself what it is.
        if [ -n "$candidate" ] && "$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" \
                2>/dev/null </dev/null; then
            echo "$candidate"
            exit 0
        fi
    done
done
