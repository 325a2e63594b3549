#!/bin/bash
# nvdec.sh VIDEO.mp4 [DECODER]: frames per second of a hardware decoder beside the software's, and whether each picture is the same.
# H.264 in MP4. DECODER: nvh264dec (default, desktop GPU and Thor) or nvv4l2decoder (Jetson); avdec_h264 only shows that the script runs.
set -euo pipefail
video=${1:?usage: nvdec.sh VIDEO.mp4 [DECODER]}
decoder=${2:-nvh264dec}
[ -r "$video" ] || { echo "nvdec: $video cannot be read" >&2; exit 66; }
gst-inspect-1.0 --exists "$decoder" || { echo "nvdec: GStreamer has no $decoder here (plug-in nvcodec, or nvvideo4linux2 on a Jetson)" >&2; exit 69; }
case $decoder in
  nvv4l2decoder) down="nvvidconv ! video/x-raw,format=NV12" ;;
  nvh264dec) down="cudadownload ! video/x-raw,format=NV12" ;;
  *) down="videoconvert ! video/x-raw,format=NV12" ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
head="filesrc location=$video ! qtdemux ! h264parse !"

pictures() { # DECODER DOWN FILE: a digest of each picture
  # shellcheck disable=SC2086  # pipelines are words
  gst-launch-1.0 -q $head $1 ! $2 ! checksumsink hash=sha256 sync=false 2>"$scratch/errors" >"$3" \
    || { cat "$scratch/errors" >&2; exit 70; }
}

seconds() { # DECODER: of decoding alone
  local begun ended
  begun=$(date +%s%N)
  # shellcheck disable=SC2086
  gst-launch-1.0 -q $head $1 ! fakesink sync=false 2>"$scratch/errors" >&2 || { cat "$scratch/errors" >&2; exit 70; }
  ended=$(date +%s%N)
  awk -v ns=$((ended - begun)) 'BEGIN { printf "%.3f", ns / 1e9 }'
}

pictures "$decoder" "$down" "$scratch/hardware"
pictures "avdec_h264 max-threads=1" "videoconvert ! video/x-raw,format=NV12" "$scratch/software"
total=$(wc -l <"$scratch/software")
[ "$total" -gt 0 ] || { echo "nvdec: no picture came out of $video" >&2; exit 70; }
found=$(wc -l <"$scratch/hardware")
same=$(paste -d' ' <(awk '{ print $NF }' "$scratch/hardware") <(awk '{ print $NF }' "$scratch/software") | awk '$1 == $2' | wc -l)
hardware=$(seconds "$decoder") software=$(seconds "avdec_h264 max-threads=1")
rate() { awk -v n="$total" -v s="$1" 'BEGIN { printf "%.0f", n / s }'; }
echo "| decoder | pictures | the same as the software's | frames/s, the start of the process included |"
echo "|---|---|---|---|"
echo "| $decoder | $found | $same of $total | $(rate "$hardware") |"
echo "| avdec_h264, one thread | $total | | $(rate "$software") |"
