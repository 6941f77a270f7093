#!/bin/sh
# The demonstration on real files. $1 holds them in their upstream layouts: squad_v1.1, squad_v2.0, hellaswag, cosmosqa,
# commonsenseqa, noncommercial/xnli, xsid, xquad, ud, tatoeba. Nothing is downloaded, and nothing of them is copied into
# the repository.
set -eu
data=${1:?usage: examples/real/run.sh FOLDER}
folder=runs/real
if [ ! -d "$data/squad_v1.1" ]; then
    echo "$data has no squad_v1.1: name the folder with the real files, as in make demo-real XSTILTS_DATA=FOLDER" >&2
    exit 2
fi
xnli="$data/noncommercial/xnli/xtreme_format"
# Of Cosmos QA there is only valid.csv, a line a row: its first 2,470 rows become train. Plain text is that of XNLI,
# which is no target here: each of its sentences is a line.
mkdir -p "$folder/cut/cosmosqa" "$folder/cut/text"
head -n 2471 "$data/cosmosqa/valid.csv" >"$folder/cut/cosmosqa/train.csv"
sed '2,2471d' "$data/cosmosqa/valid.csv" >"$folder/cut/cosmosqa/valid.csv"
for language in ar de en es hi sw th ur zh; do
    cut -f 1,2 "$xnli/dev-$language.tsv" | tr '\t' '\n' >"$folder/cut/text/$language.txt"
done
xstilts model init "$folder/model" --text "$data/tatoeba/v1" --vocab-size 8000 --hidden-size 64 --layers 2
for pair in squad_v1=squad_v1.1 hellaswag=hellaswag commonsenseqa=commonsenseqa xsid=xsid xquad=xquad udpos=ud \
    tatoeba=tatoeba; do
    xstilts data import "${pair%%=*}" --from "$data/${pair#*=}" --store "$folder/store"
done
xstilts data import cosmosqa text --from "$folder/cut" --store "$folder/store"
xstilts data import squad_v2 --from "$data/squad_v2.0" --store "$folder/store" \
    --file train:en=dev-v2.0.train-part.json --file dev:en=dev-v2.0.dev-part.json
# These 300 rows are there in English and in translation, which is what a translated recipe needs.
xstilts data import xnli --from "$xnli" --store "$folder/store" \
    --file train:en=dev-en.tsv --file train:de=dev-de.tsv --file dev:en=dev-en.rows1-2100.tsv
xstilts run examples/real/study.yaml --out "$folder/report"
