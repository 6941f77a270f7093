#!/bin/sh
# From nothing to a report: generated data, a tiny encoder, the control and the study beside this file. Every step can be
# repeated.
set -eu
folder=runs/demo
xstilts data synthesize "$folder/data" --language en --language de --language ru --rows text=8000 --code-switching 0.9
xstilts data import text mnli hellaswag udpos xsid tatoeba --from "$folder/data" --store "$folder/store" &
xstilts model init "$folder/model" --text "$folder/data/text" --vocab-size 1500 --hidden-size 64 --layers 2 --heads 4 \
    --max-length 96
wait "$!"
xstilts run examples/demo/control.yaml --out "$folder/control"
xstilts run examples/demo/study.yaml --out "$folder/report"
