#!/usr/bin/env bash
# Installs schemathesis with pip into target/tools/schemathesis, a Python environment of its own. Does nothing when it is
# there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$(cd "$here/../.." && pwd)/target/tools
stamp=$(cksum <"$here/requirements.txt")

if [[ -f $tools/schemathesis/.stamp && $(<"$tools/schemathesis/.stamp") == "$stamp" ]]; then
    exit 0
fi
command -v python3 >/dev/null || {
    echo "schemathesis: no \`python3\`: Python 3.10 or newer with pip is needed to test the admin API" >&2
    exit 1
}

echo "schemathesis: installing (about 40 MB)" >&2
mkdir -p "$tools"
rm -rf "$tools/schemathesis"
# Debian has the module that puts pip into an environment in a package of its own; the machine's pip does as well.
python3 -m venv --without-pip "$tools/schemathesis"
python3 -m pip --python "$tools/schemathesis/bin/python" install --quiet --disable-pip-version-check --no-deps \
    --requirement "$here/requirements.txt" >&2
echo "$stamp" >"$tools/schemathesis/.stamp"
