#!/usr/bin/env bash
# The layering, kept by the linker's eyes: what a pure archive leaves undefined must come from the layers below it or from a short
# list of functions that make no system call, read no clock and allocate nothing.
# Usage: purity.sh BUILD_DIR
set -euo pipefail
build=$1
fail=0

archive() {
  find "$build" -name "libpeal_$1.a" -print -quit
}

undefined() {
  nm -u "$1" 2>/dev/null | awk 'NF == 2 && $1 == "U" { print $2 }' | sed 's/@.*//' | sort -u
}

defined() {
  nm --defined-only "$1" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u
}

# Compilers' own helpers, sanitisers' and coverage's hooks.
helpers='^(__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|tsan|sanitizer|gcov|llvm|sanitizer_cov)_.*|mangle_path)$'
strings='^(mem(cpy|set|cmp|move|chr)|str(len|cmp|ncmp|chr|nlen)|__mem(cpy|set|move)_chk|__explicit_bzero_chk|explicit_bzero)$'

# check NAME EXTRA LOWER...: EXTRA is a regular expression of further symbols that are allowed
check() {
  local name=$1 extra=$2 own lower rest
  shift 2
  own=$(archive "$name")
  if [ -z "$own" ]; then
    echo "peal_$name: no archive in $build"
    fail=1
    return
  fi
  lower=$(for l in "$name" "$@"; do defined "$(archive "$l")"; done | sort -u)
  rest=$(comm -23 <(undefined "$own") <(printf '%s\n' "$lower") | grep -Ev "$helpers|$strings" | grep -Ev "^($extra)$" || true)
  if [ -n "$rest" ]; then
    echo "peal_$name uses what its layer may not use:"
    while read -r symbol; do echo "  $symbol"; done <<<"$rest"
    fail=1
  else
    echo "peal_$name is pure: $(undefined "$own" | wc -l) undefined symbols, all allowed"
  fi
}

# base ends a process whose invariant is broken, and says which it was: the only exception.
check base 'abort|fprintf|stderr|fputs|fwrite|__fprintf_chk'
# The JSON codec is jansson's, and it formats numbers and error texts.
check wire 'json_.*|jansson_.*|snprintf|vsnprintf|__snprintf_chk|__vsnprintf_chk|free' base
check name 'utf8proc_.*' base
# libsodium, OpenSSL's libcrypto and libxcrypt; heap only for objects with _new and _free.
check crypto 'sodium_.*|crypto_.*|randombytes_.*|EVP_.*|X509.*|ASN1_.*|i2d_.*|d2i_.*|RSA_.*|OSSL_.*|BN_.*|ERR_.*|OBJ_.*|OPENSSL_.*|CRYPTO_.*|PKCS8_.*|crypt_.*|malloc|calloc|free|snprintf|__snprintf_chk' base
check ring 'snprintf|vsnprintf|__snprintf_chk|__vsnprintf_chk|qsort|bsearch' base wire crypto
check chord 'snprintf|vsnprintf|__snprintf_chk|__vsnprintf_chk|qsort|bsearch' base wire crypto ring
check service 'snprintf|vsnprintf|__snprintf_chk|__vsnprintf_chk|qsort|bsearch|randombytes_buf_deterministic' base wire name crypto ring chord

exit $fail
