#!/usr/bin/env bash
# The whole evaluation on SingleWordProductionDutch (Verwoert et al. 2022), once its files are at hand:
#
#   bench/dutch.sh SingleWordProductionDutch-iBIDS WORK [options of main.py, such as --set fold=0 --cores 8]
#
# WORK/raw gets the converted arrays, WORK/results the scores and the report. Ten subjects of about five
# minutes each, ten folds of contiguous blocks; the model with all context and one with context before the sound
# only; nothing in these figures is known before it has run. Finished jobs are not run again.
# UNITS=uV (or V, mV, nV) states the unit of the neural values where the files contradict themselves.
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '2,9p' "$0" | cut -c3-
  exit 2
fi
home=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
bids=$(cd "$1" && pwd)
mkdir -p "$2"
cd "$2"
shift 2

export PYTHONPATH="$home/src${PYTHONPATH:+:$PYTHONPATH}"
if [ ! -f raw/recordings.tsv ]; then
  "$python" -m pipeline import "$bids" --out raw --modified pitch_shifted --events-are cue --drop-outside ${UNITS:+--units "$UNITS"}
fi
exec "$python" "$home/main.py" --config "$home/config/single_word_production_dutch.yaml" "$@"
