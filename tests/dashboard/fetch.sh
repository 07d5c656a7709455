#!/usr/bin/env bash
# Gets what the dashboard's test needs: Playwright's driver from npm into target/dashboard, and a Chromium, with apt where
# none is installed. Does nothing when both are there.
#
# CHROMIUM=FILE   take this browser
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "$here/../.." && pwd)/target/dashboard
node_min=20

main() {
    mkdir -p "$out"
    fetch_driver
    has_browser || install_browser
}

fetch_driver() {
    local stamp version
    stamp=$(cksum <"$here/package-lock.json")
    [[ -f $out/.stamp && $(<"$out/.stamp") == "$stamp" ]] && return
    command -v npm >/dev/null || die "no \`npm\`: Node.js $node_min or newer is needed to drive a browser"
    version=$(node --print 'process.versions.node.split(".")[0]')
    ((version >= node_min)) || die "Node.js $version is too old: $node_min or newer is needed to drive a browser"
    echo "dashboard: fetching playwright-core (about 3 MB)" >&2
    cp "$here/package.json" "$here/package-lock.json" "$out"
    npm ci --prefix "$out" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    echo "$stamp" >"$out/.stamp"
}

# Keep in step with `browser` in check.mjs.
has_browser() {
    local name
    [[ -n ${CHROMIUM:-} ]] && return
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

install_browser() {
    local sudo=() log=$out/apt-get.log
    command -v apt-get >/dev/null || die "no Chromium, and no apt-get: install Chromium by hand, or set CHROMIUM to it"
    if ((EUID != 0)); then
        sudo=(sudo -n)
        sudo -n true 2>/dev/null || die "as root, run: apt-get install --no-install-recommends chromium"
    fi
    echo "dashboard: installing chromium (about 100 MB to download)" >&2
    {
        "${sudo[@]}" apt-get -qq update
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
            --no-install-recommends chromium
    } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "apt-get could not install chromium; all of it is in $log"
    }
    has_browser || die "chromium is installed, but not on the path; see $log"
}

die() {
    echo "dashboard: $*" >&2
    exit 1
}

main
