#!/usr/bin/env bash
# Acceptance: updates of the appliance image by swupdate itself, built here from the release, the defconfig and the options that the image has.
# Bundles are made by meta-swupdate's own class from the layer's files, signed by keys of yocto/update-keys.sh, and taken by the layer's
# configuration into two slots on loop devices; of the firmware's tools there are stand-ins (update/device.sh). As root.
#   scripts/acceptance/update.sh
# Debian: gcc make cmake pkg-config bison flex cpio openssl faketime e2fsprogs util-linux python3 libconfig-dev libssl-dev libarchive-dev libext2fs-dev libblkid-dev
# uuid-dev libjson-c-dev libsystemd-dev libyaml-dev zlib1g-dev.
# EGRET_SWUPDATE_SOURCE, EGRET_LIBUBOOTENV_SOURCE, EGRET_META_SWUPDATE_SOURCE: git repositories in place of the public addresses.
# shellcheck disable=SC2317 # functions are called through others
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$PWD/target/acceptance/update here=$PWD/scripts/acceptance/update layer=$PWD/yocto/meta-egret/dynamic-layers/swupdate
[ "$(id -u)" -eq 0 ] || { echo "update.sh: run it as root" >&2; exit 1; }
# The system's own Python: another one may be a script that looks for it.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
for program in git gcc make cmake cpio openssl faketime mkfs.ext4 losetup unshare debugfs python3; do
  command -v "$program" >/dev/null || { echo "update.sh: $program is missing: see the Debian packages in its head" >&2; exit 1; }
done
mkdir -p "$cache"
work=$(mktemp -d "$cache/work.XXXXXX")
mount -t tmpfs -o mode=0700,size=2g none "$work"
good=0 bad=0
ok() { good=$((good + 1)); printf 'ok      %s\n' "$*"; }
failed() {
  bad=$((bad + 1))
  printf 'FAILED  %s\n' "$*"
  tail -n "${LINES_SHOWN:-12}" "$work/said" "$work/firmware/log" 2>/dev/null | sed 's/^/        /'
}
# is WHAT COMMAND…
is() {
  local what=$1
  shift
  if "$@"; then ok "$what"; else failed "$what"; fi
}

loops=() device=''
# What is attached is released, and waited for: a file system is let go some time after the last process in its namespace.
power_off() {
  local loop
  if [ -n "$device" ]; then kill -9 "$device" 2>/dev/null || true; wait "$device" 2>/dev/null || true; device=''; fi
  for loop in "${loops[@]}"; do
    losetup --detach "$loop" 2>/dev/null || true
    while losetup "$loop" >/dev/null 2>&1; do sleep 0.1; done
  done
  loops=()
}
down() {
  power_off
  umount "$work" 2>/dev/null || true
  rmdir "$work"
}
trap down EXIT
trap 'exit 1' INT TERM HUP

# ---- swupdate, built as the recipe does

pinned() { # NAME: its commit in yocto/kas/common.yml
  awk -v n="$1:" '/^  [a-z-]+:$/ { name = $1 } name == n && $1 == "commit:" { print $2 }' yocto/kas/common.yml
}
checkout() { # NAME URL COMMIT
  [ -d "$cache/$1" ] || git clone --quiet --no-checkout "$2" "$cache/$1"
  git -C "$cache/$1" cat-file -e "$3" 2>/dev/null || git -C "$cache/$1" fetch --quiet "$2" "$3"
  git -C "$cache/$1" -c advice.detachedHead=false checkout --quiet --force "$3"
}
checkout meta-swupdate "${EGRET_META_SWUPDATE_SOURCE:-https://github.com/sbabic/meta-swupdate}" "$(pinned meta-swupdate)"
recipes=$cache/meta-swupdate/recipes-support/swupdate
recipe=$(printf '%s\n' "$recipes"/swupdate_[0-9]*.bb | sort -V | tail -n 1)
commit=$(sed -n 's/^SRCREV = "\(.*\)"$/\1/p' "$recipe")
# openembedded-core's libubootenv, which swupdate always links; Debian 12's is too old for it.
ubootenv=1e3511ed77f794ee5decc0974d54c8e5af26f64c
stamp=$(cat "$recipes/swupdate/defconfig" "$layer"/recipes-support/swupdate/files/egret.cfg <(echo "$commit $ubootenv") | sha256sum | cut -c1-16)
built=$cache/built-$stamp
if [ ! -e "$built/swupdate" ]; then
  checkout libubootenv "${EGRET_LIBUBOOTENV_SOURCE:-https://github.com/sbabic/libubootenv}" "$ubootenv"
  checkout swupdate "${EGRET_SWUPDATE_SOURCE:-https://github.com/sbabic/swupdate}" "$commit"
  rm -rf "$cache/libubootenv-build"
  { cmake -S "$cache/libubootenv" -B "$cache/libubootenv-build" -DCMAKE_BUILD_TYPE=Release -DBUILD_DOC=OFF
    make -C "$cache/libubootenv-build" ubootenv_static
    git -C "$cache/swupdate" clean -fdxq
    # A line of the fragment is stronger than the same option before it: merge_config.sh -m.
    sed -nE 's/^(# )?(CONFIG_[A-Za-z0-9_]+)[ =].*/^(# )?\2[ =]/p' "$layer/recipes-support/swupdate/files/egret.cfg" >"$cache/overridden"
    { grep -vEf "$cache/overridden" "$recipes/swupdate/defconfig"
      cat "$layer/recipes-support/swupdate/files/egret.cfg"
      printf 'CONFIG_EXTRA_CFLAGS="-I%s"\nCONFIG_EXTRA_LDFLAGS="-L%s"\nCONFIG_EXTRA_LDLIBS="yaml"\n' \
        "$cache/libubootenv/src" "$cache/libubootenv-build/src"; } >"$cache/swupdate/.config"
    # As cml1_do_configure; `yes` ends by a signal.
    (set +o pipefail; yes '' | make -C "$cache/swupdate" oldconfig)
    make -C "$cache/swupdate" -j1; } >"$cache/build.log" 2>&1 || { tail -n 30 "$cache/build.log"; echo "update.sh: swupdate was not built" >&2; exit 1; }
  mkdir -p "$built"
  cp "$cache/swupdate/.config" "$built/config"
  cp "$cache"/swupdate/{libswupdate.so.0.1,tools/swupdate-client,swupdate} "$built/"
fi
mkdir "$work"/{swupdate,bundles,firmware,disk,base,tree}
cp "$built"/{libswupdate.so.0.1,swupdate,swupdate-client} "$recipes/swupdate/swupdate.sh" "$work/swupdate/"
printf 'swupdate: %s, commit %s\n' "$("$built/swupdate" --version)" "$commit"
# What is set is in force; what is not set may have lost even its question.
refuted=$(while read -r line; do
  case $line in
  CONFIG_*) grep -qxF -- "$line" "$built/config" || echo "$line" ;;
  \#*) option=${line#\# } option=${option%% *}; ! grep -q "^$option=" "$built/config" || echo "$line" ;;
  esac
done <"$layer/recipes-support/swupdate/files/egret.cfg")
is "every line of egret.cfg is in force${refuted:+, but: $refuted}" test -z "$refuted"

# ---- Keys: good, a stranger's, ended, of next year, for mail

machine=$(sed -n 's/^machine: //p' yocto/kas/orin-nano-nvme.yml)
echo "$machine 1.0" >"$work/hwrevision"
yocto/update-keys.sh "$work/keys" >/dev/null
yocto/update-keys.sh "$work/stranger" >/dev/null
same_authority() { # NAME: another signer of the same authority
  mkdir "$work/$1"
  cp "$work"/keys/ca.* "$work/$1/"
}
same_authority ended
# It ends with a look at its work, which is not good then.
faketime '3 years ago' yocto/update-keys.sh "$work/ended" >/dev/null 2>&1 || [ -s "$work/ended/signer.pem" ]
same_authority early
faketime 'next year' yocto/update-keys.sh "$work/early" >/dev/null
same_authority mail
sed 's/critical,codeSigning/critical,emailProtection/' yocto/update-keys.sh >"$work/mail-keys.sh"
bash "$work/mail-keys.sh" "$work/mail" >/dev/null

# ---- Bundles

version=$(sed -n 's/^DISTRO_VERSION = "\(.*\)"$/\1/p' yocto/meta-egret/conf/distro/egret-appliance.conf)
rootfs=egret-image-$machine.rootfs.tar.gz
# A root file system with what archives lose: owners, modes, links, names that are not ASCII, an empty folder.
mkdir -p "$work/tree"/{usr/bin,etc,data,boot,usr/share/ca-certificates}
echo new >"$work/tree/etc/version"
head -c 2000000 /dev/urandom >"$work/tree/usr/bin/egret"
echo set-uid >"$work/tree/usr/bin/su"
echo secret >"$work/tree/etc/shadow"
ln -s usr/bin "$work/tree/bin"
ln "$work/tree/usr/bin/egret" "$work/tree/usr/bin/egret-too"
echo name >"$work/tree/usr/share/ca-certificates/NetLock_Főtanúsítvány.crt"
mkfifo "$work/tree/etc/fifo"
chmod 755 "$work/tree" "$work/tree/usr/bin/egret"
chmod 4711 "$work/tree/usr/bin/su"
chmod 400 "$work/tree/etc/shadow"
chown -R 0:0 "$work/tree"
chown 790:790 "$work/tree/data"
chmod 1770 "$work/tree/data"
touch -h -d 2025-01-02T03:04:05Z "$work/tree/bin" "$work/tree/etc/version"
# deploy FOLDER [MACHINE]: what is in DEPLOY_DIR_IMAGE; the archive as IMAGE_CMD:tar of openembedded-core.
deploy() {
  mkdir -p "$1"
  cp "$work/capsule" "$1/tegra-bl.cap"
  cp "$work/rootfs.tar.gz" "$1/egret-image-${2:-$machine}.rootfs.tar.gz"
}
head -c 300000 /dev/urandom >"$work/capsule"
tar --sort=name --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner -cf - -C "$work/tree" . | gzip >"$work/rootfs.tar.gz"
bundle() { # NAME [KEYS [MACHINE]]: makes bundles/NAME.swu; its parts stay in parts-NAME
  [ -d "$work/parts-$1" ] || deploy "$work/parts-$1" "${3:-}"
  "$here/bundle.py" "$cache/meta-swupdate" "$work/parts-$1" "${3:-$machine}" "$work/${2:-keys}/signer.pem" "$work/${2:-keys}/signer.key" \
    "$work/bundles/$1.swu" 2>/dev/null
}
again() { # NAME FILE COMMAND…: the good bundle's list and signature, FILE changed by COMMAND, and all packed anew: what counts is the digest
  cp -a "$work/parts-good" "$work/parts-$1"
  (cd "$work/parts-$1" && "${@:3}" "$2")
  EGRET_KEEP=1 bundle "$1"
}
bundle good
whole() { grep -q "data = \"$version\"" "$1" && ! grep -q '@@\|swupdate_get' "$1"; }
is "meta-swupdate's class leaves no place of the list open" whole "$work/parts-good/sw-description"
EGRET_SIGN=0 bundle unsigned
for who in stranger ended early mail; do bundle "$who" "$who"; done
bundle other-machine keys jetson-agx-orin-devkit
again changed-list sw-description sed -i 's/TEGRA_BL.Cap/TEGRA_BL.cap/'
spoil() { dd if="$work/spoilt" of="$1" bs=1 seek=$(($(wc -c <"$1") / 2)) conv=notrunc status=none; }
head -c 16 /dev/urandom >"$work/spoilt"
again changed-signature sw-description.sig spoil
again changed-archive "$rootfs" spoil
echo evil >"$work/tree/etc/version"
tar --format=posix --numeric-owner -cf - -C "$work/tree" . | gzip >"$work/other.tar.gz"
again other-archive "$rootfs" cp "$work/other.tar.gz"
again changed-capsule tegra-bl.cap spoil
again changed-switch egret-switch sed -i 's/postinst/preinst/'
# Where each of its files begins and ends: cpio's header is 110 bytes, and name and content are filled up to a multiple of four.
declare -A begins ends
at=0
for part in list:sw-description signature:sw-description.sig script:egret-switch "archive:$rootfs" capsule:tegra-bl.cap; do
  name=${part#*:} part=${part%%:*}
  begins[$part]=$(((at + 110 + ${#name} + 1 + 3) / 4 * 4))
  at=$(((begins[$part] + $(wc -c <"$work/parts-good/$name") + 3) / 4 * 4))
  ends[$part]=$at
done
size=$(wc -c <"$work/bundles/good.swu")

# ---- The device

for image in app app_b; do
  truncate -s 32M "$work/disk/$image.img"
  mkfs.ext4 -q "$work/disk/$image.img"
done
head -c 1000000 /dev/urandom | dd of="$work/disk/app_b.img" bs=4k seek=4000 conv=notrunc status=none
truncate -s 16M "$work/disk/esp.img"
truncate -s 500M "$work/disk/data.img"
mkfs.ext4 -q "$work/disk/esp.img"
mkfs.ext4 -q "$work/disk/data.img"
echo "num_slots: 2" >"$work/firmware/slots"
echo 0 >"$work/firmware/slot"
printf 'egret_camera_state{camera="door",state="online"} 1\n' >"$work/firmware/metrics"
: >"$work/firmware/hang"
power_on() { # STEP…
  local image
  : >"$work/firmware/calls"
  : >"$work/firmware/log"
  rm -f "$work/firmware/reached"
  for image in app app_b esp data; do loops+=("$(losetup --find --show "$work/disk/$image.img")"); done
  LOOPS="${loops[*]}" unshare --mount --pid --fork --kill-child "$here/device.sh" "$work" "$@" >"$work/said" 2>&1 &
  device=$!
}
on() { # STEP…: from power on to its end
  local status=0
  power_on "$@"
  wait "$device" || status=$?
  device=''
  power_off
  return $status
}
# cut: the power goes once the device has got where it was to get. What only its memory held is lost: the disk is what the disk's file was.
cut() {
  until [ -e "$work/firmware/reached" ]; do
    kill -0 "$device" 2>/dev/null || { failed "the device ended before its power could be cut"; power_off; return 1; }
    sleep 0.1
  done
  rm -rf "$work/then"
  cp -r --sparse=always "$work/disk" "$work/then"
  power_off
  rm -rf "$work/disk"
  mv "$work/then" "$work/disk"
}
keep() { rm -rf "$work/base"; cp -r --sparse=always "$work/disk" "$work/base"; }
back() { rm -rf "$work/disk"; cp -r --sparse=always "$work/base" "$work/disk"; }
digest() { sha256sum <"$work/disk/$1.img"; }
on_disk() { debugfs -R "cat /$2" "$work/disk/$1.img" 2>/dev/null; }
# What the firmware was told, of what changes something.
orders() { grep -vE '^(nvbootctrl (get-current-slot|-t rootfs dump-slots-info|verify)|curl .*|systemctl is-active .*)$' "$work/firmware/calls"; }
trial() { on_disk data update/trial; }
capsule() { on_disk esp EFI/UpdateCapsule/TEGRA_BL.Cap; }

refused() { # WHAT REASON BUNDLE [ARGUMENTS-OF-THE-CLIENT…]: and nothing was written
  local before said
  before=$(digest app && digest app_b)
  if on update "${@:4}" "/bundles/$3.swu"; then failed "$1: taken"; return; fi
  said=$(grep -m 1 -oE -- "$2" "$work/firmware/log" || true)
  if [ "$(digest app && digest app_b)" != "$before" ]; then failed "$1: a slot was written"
  elif orders; then failed "$1: the firmware was told"
  elif [ -n "$(trial)$(capsule | tr -d '\0')" ]; then failed "$1: a trial, or a capsule"
  elif [ -z "$said" ]; then failed "$1: the reason is not $2"
  else ok "refused, nothing written: $1 ($said)"; fi
}
# begun_nothing RUNNING-BEFORE: the running slot as it was, no order, and at the next start the old slot is confirmed with no trial open.
begun_nothing() {
  [ "$(digest app)" = "$1" ] && ! orders && on start && ! orders && grep -q '^nvbootctrl verify$' "$work/firmware/calls" && ! grep -q 'on trial' "$work/said"
}
broken() { # WHAT REASON BUNDLE: the other slot may be half, but no more; afterwards the good one works
  local running said
  running=$(digest app)
  if on update "/bundles/$3.swu"; then failed "$1: taken"; return; fi
  said=$(grep -m 1 -oE -- "$2" "$work/firmware/log" || true)
  if [ -z "$said" ]; then failed "$1: the reason is not $2"
  elif [ -n "$(capsule | tr -d '\0')" ]; then failed "$1: a capsule for the firmware"
  elif ! begun_nothing "$running"; then failed "$1: something was begun"
  elif ! taken app_b app; then failed "$1: and afterwards the good one"
  else ok "no trial, running slot untouched: $1 ($said); the good one afterwards works"; fi
  back
}
# installed IMAGE: it holds the archive's files, owners, modes and links, and no other.
installed() {
  e2fsck -fn "$work/disk/$1.img" >"$work/difference" 2>&1 || { cat "$work/difference"; return 1; }
  # shellcheck disable=SC2016 # expanded in there
  unshare --mount sh -ec 'mount -o ro,loop "$1" "$2"; cd "$2"; tar --diff --numeric-owner -zf "$3"
    find . ! -path "./lost+found*" -printf "%p\n" | LC_ALL=C sort >"$4/there"; tar -tzf "$3" --quoting-style=literal | sed "s:/\$::" | LC_ALL=C sort | cmp - "$4/there"' \
    sh "$work/disk/$1.img" "$work/top" "$work/rootfs.tar.gz" "$work" >"$work/difference" 2>&1 || { cat "$work/difference"; return 1; }
}
# taken IMAGE RUNNING: the good bundle goes into IMAGE, the running slot is not touched, and the firmware is told when all is there.
taken() {
  local running slot=1 letter=B
  [ "$1" = app_b ] || { slot=0; letter=A; }
  running=$(digest "$2")
  on update /bundles/good.swu || { echo "swupdate did not take it"; return 1; }
  [ "$(digest "$2")" = "$running" ] || { echo "the running slot was written"; return 1; }
  installed "$1" || return 1
  capsule | cmp - "$work/capsule" || return 1
  cat >"$work/told" <<TOLD
set-efi-var RootfsStatusSlot$letter \\x00\\x00\\x00\\x00
oe4t-set-uefi-OSIndications
the capsule is $(cksum <"$work/capsule")
TOLD
  orders | diff "$work/told" - || return 1
  [ "$(trial | grep -v ^at= | tr '\n' ' ')" = "format=1 slot=$slot old=$((1 - slot)) version=$version phase=installed " ] || { trial; return 1; }
  [ "$(on_disk data update/before)" = "camera door" ]
}

mkdir -p "$work/top"
refused "no signature" "not the first of the list: egret-switch instead of sw-description.sig" unsigned
refused "a stranger's key" "unable to get local issuer certificate|self-signed certificate" stranger
refused "the signer's certificate has ended" "certificate has expired" ended
refused "the signer's certificate is of next year" "certificate is not yet valid" early
STARTED="faketime 1970-01-01T00:01:00Z" refused "a clock of 1970" "certificate is not yet valid" good
refused "a certificate for mail" "unsuitable certificate purpose|unsupported certificate purpose" mail
refused "a changed list" "verification failure|digest failure|messageDigest" changed-list
refused "a changed signature" "Signature verification failed|cannot be parsed as DER" changed-signature
refused "another machine's bundle" "HW compatibility not found" other-machine
echo "$machine 2.0" >"$work/hwrevision"
refused "another revision of the hardware" "SW not compatible with hardware" good
echo "$machine 1.0" >"$work/hwrevision"
echo "rootfs A/B is not enabled" >"$work/firmware/slots"
refused "no A/B in the firmware" "A/B is not enabled in the firmware" good
echo "num_slots: 2" >"$work/firmware/slots"
refused "the client asks for the slot that runs" "Selection system,into_a is not allowed" good -e system,into_a

keep
is "a good bundle goes into B: files, owners, modes, capsule, then the firmware; A is untouched" taken app_b app
before=$(digest app_b)
if on update /bundles/good.swu; then failed "a second one while the first is on trial: taken"
elif [ "$(digest app_b)" = "$before" ] && ! orders && grep -q 'is still on trial' "$work/firmware/log"; then ok "refused, nothing written: an update is still on trial"
else failed "a second one while the first is on trial"; fi
echo 1 >"$work/firmware/slot"
is "restarted in B, confirmed and accepted" on accept
is "a good bundle goes into A, B is untouched" taken app app_b
echo 0 >"$work/firmware/slot"
back

broken "bytes of the archive are others" "HASH mismatch|hash.*mismatch|copyimage status" changed-archive
broken "another archive in its place" "HASH mismatch|hash.*mismatch" other-archive
broken "bytes of the capsule are others" "HASH mismatch|hash.*mismatch" changed-capsule
broken "bytes of the script are others" "HASH mismatch|hash.*mismatch" changed-switch
for length in "$((begins[archive] + 1000))" "$(((begins[archive] + ends[archive]) / 2))" "${ends[archive]}" "$((ends[capsule] - 1000))" "${ends[capsule]}"; do
  head -c "$length" "$work/bundles/good.swu" >"$work/bundles/short.swu"
  broken "cut off after $length of $size bytes" "Image invalid or corrupted" short
done

# ---- The power goes

# How much of the bundle, and which of its files swupdate is at then.
for point in 50: "$((ends[list] - 100)):sw-description" "${ends[signature]}:sw-description.sig" "$((begins[archive] + 100)):$rootfs" \
  "$(((begins[archive] + ends[archive]) / 2)):$rootfs" "$((ends[archive] - 10)):$rootfs" "${ends[archive]}:$rootfs" \
  "$(((begins[capsule] + ends[capsule]) / 2)):tegra-bl.cap" "${ends[capsule]}:tegra-bl.cap"; do
  length=${point%%:*} running=$(digest app)
  power_on stay "$length" /bundles/good.swu
  if cut && [ "$(sed -n 's/.*\tfilename //p' "$work/firmware/log" | tail -n 1)" = "${point#*:}" ] && begun_nothing "$running" \
    && [ -z "$(capsule | tr -d '\0')" ] && taken app_b app; then
    ok "power cut after $length of $size bytes (${point#*:}): no trial, running slot untouched; the good one afterwards works"
  else failed "power cut after $length of $size bytes"; fi
  back
done
for tool in curl set-efi-var oe4t-set-uefi-OSIndications; do
  running=$(digest app)
  echo "$tool" >"$work/firmware/hang"
  power_on update /bundles/good.swu
  cut || continue
  : >"$work/firmware/hang"
  if [ "$(digest app)" = "$running" ] && on start && ! grep -q 'on trial' "$work/said" && ! orders && taken app_b app; then
    ok "power cut when the firmware is about to be told ($tool): the old slot runs on; the good one afterwards works"
  else failed "power cut at $tool"; fi
  back
done
if on restarted "$(((begins[archive] + ends[archive]) / 2))" /bundles/good.swu && installed app_b; then
  ok "swupdate killed in the middle and started anew on the same device: the good one works"
else failed "swupdate killed in the middle and started anew on the same device"; fi

echo "update: $good ok, $bad failed"
[ "$bad" -eq 0 ]
