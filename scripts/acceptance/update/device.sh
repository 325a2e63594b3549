#!/usr/bin/env bash
# The device of update.sh, from power on until this ends or is killed: mount and process namespaces of its own, this machine's root below the
# layer's files, the four partitions behind /dev/disk/by-partlabel, stand-ins for the firmware's tools that write down what they are told.
#   LOOPS="APP APP_B ESP DATA" unshare --mount --pid --fork --kill-child device.sh WORK STEP [ARGUMENT…]
# Steps: below. What is in WORK/firmware outlives the power: slot, slots (what dump-slots-info says), calls, hang (the tool in which it stays).
set -euo pipefail

if [ -z "${EGRET_INSIDE:-}" ]; then
  layer=$(cd "$(dirname "$0")/../../../yocto/meta-egret/dynamic-layers" && pwd)
  work=$1 top=$1/top
  read -r app app_b esp data <<<"$LOOPS"
  mount --make-rprivate /
  mkdir -p "$top"
  mount -t tmpfs -o mode=0755 none "$top"
  mkdir "$top"/{upper,work,root}
  root=$top/root
  mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" none "$root"
  for place in tmp run dev; do mount -t tmpfs -o mode=0755 none "$root/$place"; done
  mount -t proc none "$root/proc"
  cp -a /dev/{null,zero,full,random,urandom} "$app" "$app_b" "$root/dev/"
  mkdir -p "$root"/dev/{shm,disk/by-partlabel} "$root"/{data,boot/efi,firmware,bundles,usr/share/egret/update,usr/lib/swupdate/conf.d}
  ln -s "../../${app##*/}" "$root/dev/disk/by-partlabel/APP"
  ln -s "../../${app_b##*/}" "$root/dev/disk/by-partlabel/APP_b"
  mount "$data" "$root/data"
  mkdir -p "$root/data/update"
  mount "$esp" "$root/boot/efi"
  mount --bind "$work/firmware" "$root/firmware"
  mount --bind "$work/bundles" "$root/bundles"

  # As the recipes install it.
  cp "$work"/swupdate/{swupdate,swupdate-client} "$root/usr/bin/"
  cp "$work/swupdate/libswupdate.so.0.1" "$root/usr/local/lib/"
  sed 's#@LIBDIR@#/usr/lib#g' "$work/swupdate/swupdate.sh" >"$root/usr/lib/swupdate/swupdate.sh"
  settings=$layer/swupdate/recipes-egret/egret-swupdate-config/files
  cp "$settings/swupdate.cfg" "$root/etc/swupdate.cfg"
  cp "$settings/20-egret-slot" "$root/usr/lib/swupdate/conf.d/"
  cp "$settings/10-egret-private.conf" "$root/service.conf"
  cp "$work/hwrevision" "$root/etc/hwrevision"
  cp "$work/keys/ca.pem" "$root/usr/share/egret/update/ca.pem"
  cp "$layer/tegra/recipes-egret/egret-update/files/egret-slot" "$root/usr/bin/egret-slot"

  fake() { # NAME COMMANDS
    # shellcheck disable=SC2016 # expanded in there
    printf '#!/bin/sh\n[ "$(cat /firmware/hang)" != %s ] || { : >/firmware/reached; sleep 600; }\nprintf "%%s\\n" "%s${*:+ $*}" >>/firmware/calls\n%s\n' \
      "$1" "$1" "$2" >"$root/usr/bin/$1"
  }
  fake nvbootctrl 'case "$*" in get-current-slot) cat /firmware/slot ;; "-t rootfs dump-slots-info") cat /firmware/slots ;; verify) ;; *) exit 9 ;; esac'
  # shellcheck disable=SC2016 # expanded in there
  fake oe4t-set-uefi-OSIndications 'echo "the capsule is $(cksum </boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap)" >>/firmware/calls'
  fake set-efi-var :
  fake curl 'cat /firmware/metrics'
  # The real one would wait for all that this machine writes.
  # shellcheck disable=SC2016 # expanded in there
  printf '#!/bin/sh\nexec /bin/sync -f /data\n' >"$root/usr/local/bin/sync"
  fake systemctl 'case "$*" in "is-active egret.service") echo active ;; esac'
  # shellcheck disable=SC2016 # expanded in there
  echo 'set_efi_var() { set-efi-var "$1" "$3"; }' >"$root/usr/bin/uefi_common.func"
  chmod 755 "$root/usr/local/bin/sync" "$root"/usr/bin/{nvbootctrl,oe4t-set-uefi-OSIndications,set-efi-var,curl,systemctl,egret-slot,swupdate,swupdate-client} "$root/usr/lib/swupdate/swupdate.sh"
  cp "$0" "$root/device.sh"
  shift
  # What PID 1 gives to a service; STARTED: before the daemon's name, as faketime.
  exec env -i EGRET_INSIDE=1 PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH=/usr/local/lib STARTED="${STARTED:-}" chroot "$root" bash /device.sh "$@"
fi

# serve: swupdate.service, without systemd. Its process is $daemon.
serve() {
  local private=()
  if grep -qx PrivateTmp=yes /service.conf; then
    private=(unshare --mount sh -c 'mount -t tmpfs none /tmp && exec "$@"' sh)
  fi
  mkdir -p /run/swupdate
  rm -f /run/swupdate/*.sock
  # shellcheck disable=SC2086 # words
  "${private[@]}" $STARTED /usr/lib/swupdate/swupdate.sh >>/firmware/log 2>&1 &
  daemon=$!
  # Both listen.
  until [ "$(grep -c ' 00010000 .* /run/swupdate/.*\.sock$' /proc/net/unix)" = 2 ]; do
    kill -0 $daemon || { echo "swupdate did not start"; exit 1; }
    sleep 0.05
  done
}
# fed BYTES FILE: the beginning of a bundle, and then nothing.
fed() { head -c "$1" "$2"; sleep 600; }
# quiet PID: it has worked off what it was given.
quiet() {
  local before=-
  until [ "$before" = "$(cat /proc/"$1"/io)" ]; do before=$(cat /proc/"$1"/io); sleep 0.3; done
}

step=$1
shift
case $step in
update) serve; timeout 120 swupdate-client "$@" ;;
# Every start: egret-slot-confirm.service. Then it is as the lines say.
start) egret-slot confirm; egret-slot status ;;
accept) egret-slot confirm; egret-slot accept ;;
# stay BYTES FILE: fed so far, and worked off.
stay)
  serve
  fed "$@" | swupdate-client >/dev/null &
  sleep 0.5
  quiet $daemon
  : >/firmware/reached
  wait
  ;;
# restarted BYTES FILE: the daemon is killed while it writes, started anew without a restart of the device, and fed in whole.
restarted)
  serve
  fed "$@" | swupdate-client >/dev/null &
  sleep 1
  quiet $daemon
  kill -9 $daemon
  wait $daemon || true
  serve
  timeout 120 swupdate-client "$2"
  ;;
*) echo "device.sh: no step $step" >&2; exit 2 ;;
esac
