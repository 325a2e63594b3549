#!/bin/sh
# Prints each object that comes. apt install mosquitto-clients jq; sh subscriber.sh HOST [PORT]
mosquitto_sub -V 5 -h "$1" -p "${2:-1883}" -q 1 -t 'egret/+/cam/+/track/new' |
  jq -r --unbuffered '[.camera, .class, .track, (.box | tostring)] | join(" ")'
