#!/bin/sh
# The demonstration on real files. $1 holds them in their upstream layouts: squad_v1.1, hellaswag, noncommercial/xnli,
# xsid, xquad, ud, tatoeba. Nothing is downloaded, and nothing of them is copied into the repository.
set -eu
data=${1:?usage: examples/real/run.sh FOLDER}
folder=runs/real
if [ ! -d "$data/squad_v1.1" ]; then
    echo "$data has no squad_v1.1: name the folder with the real files, as in make demo-real XSTILTS_DATA=FOLDER" >&2
    exit 2
fi
xstilts model init "$folder/model" --text "$data/tatoeba/v1" --vocab-size 8000 --hidden-size 64 --layers 2
for pair in squad_v1=squad_v1.1 hellaswag=hellaswag xsid=xsid xquad=xquad udpos=ud tatoeba=tatoeba; do
    xstilts data import "${pair%%=*}" --from "$data/${pair#*=}" --store "$folder/store"
done
xstilts data import xnli --from "$data/noncommercial/xnli/xtreme_format" --store "$folder/store" \
    --file train:en=dev-en.rows1-2100.tsv
xstilts run examples/real/study.yaml --out "$folder/report"
