#!/usr/bin/env bash
# Builds every guest under plugins/ into target/plugins/<name>.wasm, and gets the Rust target for it if it is missing.
#
#   plugins/build.sh            build what changed
#
# GUEST_TOOLCHAIN=rustup   take rustup's wasm32-wasip2 target, or fail
# GUEST_TOOLCHAIN=debian   take Debian's rustc-web with a standard library built from rust-web-src, or fail
# CARGO_TARGET_DIR         where the intermediate files go, in a folder `guests` of its own (default: target/)
set -euo pipefail

plugins=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$plugins")
out=$root/target/plugins
work=${CARGO_TARGET_DIR:-$root/target}/guests
target=wasm32-wasip2
debian_packages=(rustc-web rust-web-src wasi-libc)

main() {
    cd "$plugins"
    mkdir -p "$out" "$work"
    work=$(cd "$work" && pwd)
    case ${GUEST_TOOLCHAIN:-} in
        rustup) has_target || add_target || die "rustup cannot add the target $target" ;;
        debian) has_debian || install_debian; use_debian ;;
        "")
            # What is here already comes first, so that a second run asks nobody.
            if has_target; then :
            elif has_debian; then use_debian
            elif add_target; then :
            else install_debian; use_debian
            fi
            ;;
        *) die "GUEST_TOOLCHAIN is rustup, debian, or not set; not \`$GUEST_TOOLCHAIN\`" ;;
    esac
    CARGO_TARGET_DIR=$work cargo build --quiet --locked --release --workspace --lib --examples \
        --target "$target" "${cargo_options[@]}"
    collect
}

cargo_options=()

has_target() {
    local libraries
    libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null) && compgen -G "$libraries/libstd-*.rlib" >/dev/null
}

add_target() {
    command -v rustup >/dev/null || return 1
    echo "plugins: adding rustup's target $target" >&2
    timeout 120 rustup --quiet target add "$target" >"$work/rustup.log" 2>&1 && has_target
}

has_debian() {
    [[ -x /usr/bin/rustc && -f /usr/lib/wasm32-wasi/crt1-reactor.o ]] &&
        [[ -d $(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library ]]
}

install_debian() {
    local sudo=() log=$work/apt-get.log
    command -v apt-get >/dev/null ||
        die "no rustup that can add $target, and no apt-get: install Rust's target $target by hand"
    if ((EUID != 0)); then
        sudo=(sudo -n)
        sudo -n true 2>/dev/null || die "as root, run: apt-get install --no-install-recommends ${debian_packages[*]}"
    fi
    echo "plugins: installing ${debian_packages[*]} (about 140 MB to download)" >&2
    {
        "${sudo[@]}" apt-get -qq update
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
            --no-install-recommends "${debian_packages[@]}"
    } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "apt-get could not install ${debian_packages[*]}; all of it is in $log"
    }
    has_debian || die "${debian_packages[*]} are installed, but not where they are expected; see $log"
}

# Debian's compiler, the linker of the toolchain that `rustc` stands for, and a standard library built here.
use_debian() {
    local host tools
    host=$(rustc --version --verbose | sed -n 's/^host: //p')
    tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
    [[ -x $tools/wasm-component-ld ]] || die "no wasm-component-ld in $tools: it comes with rustup's toolchains"
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 PATH=$PATH:$tools:$tools/gcc-ld
    cat >"$work/debian.toml" <<TOML
[unstable]
build-std = ["std", "panic_abort"]

[target.$target]
rustflags = [
    "-Clink-self-contained=no", "-Clink-arg=/usr/lib/wasm32-wasi/crt1-reactor.o",
    "-Clink-arg=-L/usr/lib/wasm32-wasi", "-Clink-arg=-lc", "-Clink-arg=--export=_initialize",
]
TOML
    cargo_options=(--config "$work/debian.toml")
}

# A guest is an example of a crate that has examples, or else the crate itself. Files of guests that did not change keep
# their time, so that nobody who watches them reloads for nothing.
collect() {
    local crate source name built count=0
    for crate in */; do
        crate=${crate%/}
        [[ -f $crate/src/lib.rs ]] || continue
        if [[ -d $crate/examples ]]; then
            for source in "$crate"/examples/*.rs; do
                name=$(basename "$source" .rs)
                built=examples/${name//-/_}.wasm
                keep "$built" "$name"
            done
        else
            keep "${crate//-/_}.wasm" "$crate"
        fi
    done
    echo "plugins: $count guests in target/plugins" >&2
}

keep() {
    local from=$work/$target/release/$1 to=$out/$2.wasm
    count=$((count + 1))
    cmp -s "$from" "$to" && return
    cp "$from" "$to.new"
    mv "$to.new" "$to"
}

die() {
    echo "plugins: $*" >&2
    exit 1
}

main
