# Sourced: named stages, timed, with one table at the end. The first stage that fails ends the run.
#
#   stage "clippy" cargo clippy ...      # name, command
#
# A stage fails when its command fails or when cargo prints a line that starts with "warning: ".

STAGE_ROWS=()
STAGE_LOGS="$CARGO_TARGET_DIR/stages"
mkdir -p "$STAGE_LOGS"
trap stage_table EXIT

stage() {
  local name="$1" log started verdict=ok
  shift
  log="$STAGE_LOGS/${name//[^A-Za-z0-9.]/_}.log"
  printf '\n== %s\n' "$name"
  started=$(date +%s)
  "$@" </dev/null 2>&1 | tee "$log" || verdict=FAILED
  if [ $verdict = ok ] && grep -q '^warning: ' "$log"; then verdict=WARNED; fi
  stage_row "$name" $verdict $(($(date +%s) - started))
  [ $verdict = ok ] || exit 1
}

stage_row() { STAGE_ROWS+=("$(printf '%-34s %-8s %5.1f' "$1" "$2" "$(seconds_to_minutes "$3")")"); }

seconds_to_minutes() { awk "BEGIN { printf \"%.2f\", $1 / 60 }"; }

stage_table() {
  local status=$?
  printf '\n%-34s %-8s %5s\n' stage verdict min
  printf '%s\n' "${STAGE_ROWS[@]}"
  printf '%-34s %-8s %5.1f\n' total "$([ $status = 0 ] && echo ok || echo FAILED)" "$(seconds_to_minutes $SECONDS)"
}
