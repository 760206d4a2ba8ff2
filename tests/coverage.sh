#!/bin/sh
# Line coverage of the libraries: transport/, exec/, filexfer/.
#
#   tests/coverage.sh [OPTION...] [-- COMMAND...]
#
# Builds the "coverage" preset, runs its unit tests, then COMMAND (the system tests, say) with the
# instrumented programs, and reports what all of them ran. Programs add to the .gcda files when they
# exit, so whatever uses the programs of this build between --prepare and --report counts:
#
#   tests/coverage.sh --prepare              # build, forget earlier runs
#   PVE_QGA_TEST_BIN=build/coverage/bin ...  # anything
#   tests/coverage.sh --report
#
#   --prepare          build and forget earlier runs; nothing else
#   --report           report on the runs so far; nothing else
#   --fail-under N     exit with 2 if fewer than N percent of the lines ran
#   --html FILE        also write an annotated listing
#   --exclude REGEX    leave out sources whose path matches (repeatable)
#
# COMMAND sees PVE_QGA_TEST_BIN (the folder of the instrumented programs) and PVE_QGA_TEST_SERVE.
# PQ_COVERAGE_BUILD names another build directory, GCOVR another gcovr; without one, gcovr from
# PyPI is installed in the build directory.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=${PQ_COVERAGE_BUILD:-$root/build/coverage}
gcovr_version=7.2

usage()
{
    echo "usage: $0 [--prepare | --report] [--fail-under N] [--html FILE] [--exclude REGEX]" \
        "[-- COMMAND...]" >&2
    exit 1
}

prepare()
{
    cmake -S "$root" --preset coverage -B "$build" >/dev/null
    cmake --build "$build"
    find "$build" -name '*.gcda' -delete
}

run_unit_tests()
{
    # The rest of the tests runs nothing that is measured.
    ctest --test-dir "$build" --output-on-failure -L 'unit|fuzz'
}

find_gcovr()
{
    if [ -n "${GCOVR:-}" ]; then
        gcovr=$GCOVR
    elif command -v gcovr >/dev/null; then
        gcovr=gcovr
    else
        gcovr=$build/gcovr/bin/gcovr
        if [ ! -x "$gcovr" ]; then
            python3 -m venv "$build/gcovr"
            "$build/gcovr/bin/pip" install -q "gcovr==$gcovr_version"
        fi
    fi
}

report()
{
    find_gcovr
    if [ -z "$(find "$build" -name '*.gcda' -print -quit)" ]; then
        echo "$0: nothing was run in $build" >&2
        exit 1
    fi
    set -- --root "$root" --object-directory "$build" --print-summary
    for folder in transport exec filexfer; do
        set -- "$@" --filter "$root/$folder/"
    done
    for pattern in $excludes; do
        set -- "$@" --exclude "$pattern"
    done
    [ -z "$html" ] || set -- "$@" --html-details "$html"
    [ -z "$fail_under" ] || set -- "$@" --fail-under-line "$fail_under"
    "$gcovr" "$@" "$build"
}

step=all excludes='' html='' fail_under=''
while [ $# -gt 0 ]; do
    case $1 in
    --prepare | --report) step=${1#--} ;;
    --fail-under | --html | --exclude)
        [ $# -ge 2 ] || usage
        case $1 in
        --fail-under) fail_under=$2 ;;
        --html) html=$2 ;;
        --exclude) excludes="$excludes $2" ;;
        esac
        shift
        ;;
    --)
        shift
        break
        ;;
    *) usage ;;
    esac
    shift
done

case $step in
prepare) prepare ;;
report) report ;;
all)
    prepare
    run_unit_tests
    if [ $# -gt 0 ]; then
        PVE_QGA_TEST_BIN=$build/bin PVE_QGA_TEST_SERVE="$build/bin/pve-qga-run serve" "$@"
    fi
    report
    ;;
esac
