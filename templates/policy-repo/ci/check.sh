#!/usr/bin/env bash
# Judges a change of the policies: `ci/check.sh [BASE]`, where BASE is the commit it is held against (origin/main).
#
#   PRIVET          the binary (privet)
#   MIN_COVERAGE    percent of rules and fields that tests must touch (100)
#   ALLOW_LOOSEN    1 where a second person agreed that more leaves
#   SUMMARY         a file that is told the same in Markdown
#
# Exit status: 0 fine, 1 findings, 2 cannot run. Every check runs, also after one has failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PRIVET=${PRIVET:-privet}
BASE=${1:-origin/main}
MIN_COVERAGE=${MIN_COVERAGE:-100}
ALLOW_LOOSEN=${ALLOW_LOOSEN:-0}
SUMMARY=${SUMMARY:-${GITHUB_STEP_SUMMARY:-/dev/null}}
# GitHub shows a summary of at most 1 MiB; the job's log has everything.
SUMMARY_LINES=400

worst=0 last=0 loosens=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cannot() {
    echo "$1" >&2
    exit 2
}

# tell TITLE STATUS: shows what a check said, and remembers the status and the worst one.
tell() {
    local title=$1 status=$2 word=passed lines
    [ "$status" -eq 0 ] || word=FAILED
    last=$status
    [ "$status" -le "$worst" ] || worst=$status
    printf '\n==> %s: %s\n' "$title" "$word"
    cat "$work/said"
    {
        printf '\n### %s: %s\n\n~~~~text\n' "$title" "$word"
        head -n "$SUMMARY_LINES" "$work/said"
        lines=$(wc -l <"$work/said")
        [ "$lines" -le "$SUMMARY_LINES" ] || echo "... and $((lines - SUMMARY_LINES)) more lines in the job's log"
        printf '~~~~\n'
    } >>"$SUMMARY"
}

# check TITLE COMMAND...: runs one check and tells.
check() {
    local title=$1 status=0
    shift
    "$@" >"$work/said" 2>&1 </dev/null || status=$?
    tell "$title" "$status"
}

# The promises of a file: no comments, no empty lines, one space between words.
promises() {
    sed -e 's/#.*//' "$1" | awk 'NF { $1 = $1; print }'
}

# What moves the base's promises away is a loosening, whatever `diff` says.
promises_kept() {
    local lost
    lost=$(comm -23 <(promises "$work/base/promises.txt" | sort -u) <(promises promises.txt | sort -u))
    [ -n "$lost" ] || return 0
    printf 'no longer promised:\n%s\n' "$lost"
    [ "$ALLOW_LOOSEN" = 1 ]
}

command -v "$PRIVET" >/dev/null || cannot "there is no \`$PRIVET\`: say where it is with PRIVET="
mkdir "$work/base"
# All zeros is what GitHub calls the commit before a branch's first: there is nothing to hold that against.
if [[ $BASE =~ [^0] ]]; then
    # Where the two parted: what others have since done to BASE is none of this change.
    parted=$(git merge-base "$BASE" HEAD) || cannot "there is no commit \`$BASE\` to hold this against"
    git archive "$parted" | tar -x -C "$work/base"
fi

check "the policies compile" "$PRIVET" check policies
[ "$worst" -eq 0 ] || exit "$worst"

check "the tests hold" "$PRIVET" test policies --min-coverage "$MIN_COVERAGE"

if [ -d "$work/base/policies" ]; then
    loosen=()
    [ "$ALLOW_LOOSEN" != 1 ] || loosen=(--allow-loosen)
    check "what this changes" "$PRIVET" diff "$work/base/policies" policies "${loosen[@]}"
    [ "$last" -ne 1 ] || loosens=1
fi
if [ -f "$work/base/promises.txt" ]; then
    check "the promises are still made" promises_kept
    [ "$last" -ne 1 ] || loosens=1
fi
if [ "$loosens" -eq 1 ]; then
    printf '\nIf more is meant to leave, a second person has to agree: see README.md, "When a change loosens".\n'
fi

while read -r -a promise; do
    if [ "${promise[0]}" != --never ]; then
        echo "\`${promise[*]}\` is no promise: a line begins with --never" >"$work/said"
        tell "promises.txt" 2
        continue
    fi
    check "promise: ${promise[*]}" "$PRIVET" prove policies "${promise[@]}"
done < <(promises promises.txt)

exit "$worst"
