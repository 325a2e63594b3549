#!/bin/sh
# Makes street-fp16 and street-int8 of street.onnx, on streets that egret draws itself, and evaluates the three side by side on
# others. EGRET: the command to use; without it the program is built first. Wants ONNX Runtime (EGRET_ONNXRUNTIME).
set -eu
cd "$(dirname "$0")"
egret=${EGRET:-cargo run --quiet --release -p egret --}
calibration=scene:400000..400040
held_out=scene:450000..450050
for kind in fp16 int8; do
    mkdir -p "street-$kind"
    command=$(test $kind = fp16 && echo fp16 || echo quantize)
    $egret model "$command" street.onnx --from $calibration --holdout $held_out -o "street-$kind/street-$kind.onnx"
done
$egret model verify --store . street-fp16 street-int8
for condition in "" --night; do
    $egret eval --model street.onnx --model street-fp16 --model street-int8 --scene 1000100 --frames 200 --gate $condition
done
