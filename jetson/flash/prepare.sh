#!/usr/bin/env bash
# Makes a work folder from which flash.sh flashes: NVIDIA's BSP, a root file system with NVIDIA's packages, egret, a user who
# can log in, and the configuration. Run as root on an x86-64 machine. Every file is checked by its SHA-256.
#   prepare.sh --work DIR --board orin-nano|orin-nx|agx-orin|agx-thor --jetpack 6.2.2|7.2 --bsp FILE --rootfs FILE --deb FILE
#              --hostname NAME --user NAME --ssh-key FILE --sudo none|nopassword|password --accept-nvidia-license [OPTIONS]
#   --storage nvme|emmc       where the root file system goes; the board's first one unless given
#   --ab                      two root file systems, A and B, for updates that can fall back
#   --config NAME             another configuration of the BSP, for another carrier board: NAME.conf
#   --sha256 KIND=HEX         the digest of the bsp, rootfs or deb file: for the deb, and where files.tsv knows none
#   --password-file FILE      the user's password: the first line of FILE. Without it the password is locked: keys only.
#   --egret-config FILE       becomes /etc/egret/egret.toml; `egret check` must take it, where egret is installed here
#   --config-unchecked        what `egret check` says is printed and left: the file names others that only the device has
#   --credentials DIR         its files become /etc/egret/NAME, readable by root alone
#   --provision DIR           instead of those two: a set as the Yocto image takes it from a stick (its SSH keys too)
#   --power-mode NAME         set at the device's start, by name: 15W, 25W, MAXN_SUPER …
#   --packages "A B"          more packages from apt, installed beside egret
#   --min-free-gb N           refuse with less free disk (40; 5 once everything is unpacked)
#   --dry-run                 print what would be done and change nothing; needs no root. Ends with 3 when it would be refused.
# Run it again after an interruption, or with other settings: what is done stays, what was begun is made anew.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=settings.sh
. "$flash_dir/settings.sh"

work='' want_board='' jetpack='' want_storage='' ab=0 other_config='' bsp='' rootfs='' deb='' hostname='' user='' ssh_key='' sudo=''
license='' password_file='' egret_config='' credentials='' provision='' power_mode='' packages='' min_free='' config_unchecked=''
device_name=''
declare -A sha256=()

arguments() {
  local kind
  while [ $# -gt 0 ]; do
    case $1 in
      --help) print_help "$0"; exit 0 ;;
      --dry-run) dry_run=1; shift; continue ;;
      --ab) ab=1; shift; continue ;;
      --config-unchecked) config_unchecked=1; shift; continue ;;
      --accept-nvidia-license) license=1; shift; continue ;;
    esac
    [ $# -ge 2 ] || usage_error "$1: unknown, or its value is missing"
    case $1 in
      --work) work=$(realpath -m "$2") ;;
      --board) want_board=$2 ;;
      --jetpack) jetpack=$2 ;;
      --storage) want_storage=$2 ;;
      --config) other_config=$2 ;;
      --bsp) bsp=$(realpath -m "$2") ;;
      --rootfs) rootfs=$(realpath -m "$2") ;;
      --deb) deb=$(realpath -m "$2") ;;
      --hostname) hostname=$2 ;;
      --user) user=$2 ;;
      --ssh-key) ssh_key=$2 ;;
      --sudo) sudo=$2 ;;
      --password-file) password_file=$2 ;;
      --egret-config) egret_config=$2 ;;
      --credentials) credentials=${2%/} ;;
      --provision) provision=${2%/} ;;
      --power-mode) power_mode=$2 ;;
      --packages) packages=$2 ;;
      --min-free-gb) min_free=$2 ;;
      --sha256)
        kind=${2%%=*}
        case $kind in bsp | rootfs | deb) ;; *) usage_error "--sha256 $2: KIND=HEX, where KIND is bsp, rootfs or deb" ;; esac
        is_digest "${2#*=}" || usage_error "--sha256 $2: not a SHA-256, which has 64 digits of 0-9a-f"
        sha256[$kind]=${2#*=}
        ;;
      *) usage_error "$1: unknown option" ;;
    esac
    shift 2
  done
}

check_arguments() {
  local name
  for name in work want_board jetpack bsp rootfs deb hostname user sudo; do
    [ -n "${!name}" ] || usage_error "--${name#want_} is missing"
  done
  [[ $hostname =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || usage_error "--hostname $hostname: lower-case letters, digits and - only"
  [[ $user =~ ^[a-z][a-z0-9_-]{0,31}$ ]] || usage_error "--user $user: not a name of a user"
  [[ $user != root && $user != egret ]] || usage_error "--user $user: name a user of your own"
  if [ -n "$provision" ]; then
    [ -z "$egret_config$credentials" ] || usage_error "--provision has the configuration and the credentials in it: leave the others out"
    check_provision "$provision"
    egret_config=$provision/egret.toml device_name=$(value device "$provision/provision")
    [ -n "$ssh_key" ] || ! grep -q '  authorized_keys$' "$provision/SHA256SUMS" || ssh_key=$provision/authorized_keys
  fi
  [ -n "$ssh_key$password_file" ] || usage_error "nobody could log in: give --ssh-key or --password-file; there is no default password"
  case $sudo in
    none | nopassword) ;;
    password) [ -n "$password_file" ] || usage_error "--sudo password: that user has no password; give --password-file, or --sudo nopassword" ;;
    *) usage_error "--sudo $sudo: none, nopassword or password" ;;
  esac
  [[ ! $power_mode =~ ^[0-9]+$ ]] || usage_error "--power-mode $power_mode: by name (15W, MAXN_SUPER …), since numbers differ between boards"
  [[ $power_mode =~ ^[A-Za-z0-9_]*$ ]] || usage_error "--power-mode $power_mode: letters, digits and _ only"
  [[ $packages =~ ^[a-z0-9.+=:~\ -]*$ ]] || usage_error "--packages $packages: names of packages, separated by blanks"
  [[ ${min_free:-0} =~ ^[0-9]+$ ]] || usage_error "--min-free-gb $min_free: a number"
  [ -n "$license" ] || usage_error "--accept-nvidia-license is missing: the BSP is under NVIDIA's licence, see the LICENSE files in it"
}

# The digest that a file must have: what was passed, else what is known.
expected() {
  local d=${sha256[$1]:-}
  if [ -z "$d" ] && [ "$1" != deb ]; then d=$(known "$1" "$release" 3); fi
  is_digest "${d:-unknown}" && { echo "$d"; return; }
  if [ "$1" = deb ]; then
    refuse "no SHA-256 is given for the package $deb" "pass the one that its publisher states: --sha256 deb=HEX" >&2
  else
    refuse "no SHA-256 is known for the $1 file of Jetson Linux $release" "$(known "$1" "$release" 5)" \
      "compare the file's SHA-1 with that list, then pass --sha256 $1=\$(sha256sum <$2 | cut -c1-64)" >&2
  fi
  echo unknown
}

check_files() {
  local kind file said
  for kind in bsp rootfs deb; do
    file=${!kind}
    [ -f "$file" ] || refuse "--$kind $file: no such file" "where it is: $(known "$kind" "$release" 4)"
  done
  for kind in ssh_key password_file egret_config; do
    file=${!kind}
    [ -z "$file" ] || [ -r "$file" ] || stop "--${kind//_/-} $file: cannot be read"
  done
  if [ -n "$ssh_key" ] && ! grep -qE '^(sk-)?(ssh-(ed25519|rsa)|ecdsa-sha2-)[^ ]* [A-Za-z0-9+/]+' "$ssh_key"; then
    stop "--ssh-key $ssh_key is not a public SSH key" "give the .pub file"
  fi
  if [ -n "$password_file" ] && [ -z "$(head -n 1 "$password_file")" ]; then stop "--password-file $password_file: its first line is empty"; fi
  if [ -n "$credentials" ]; then
    [ -d "$credentials" ] || stop "--credentials $credentials: no such folder"
    [ ! -e "$credentials/egret.toml" ] || stop "--credentials $credentials holds an egret.toml" "give the configuration with --egret-config"
    file=$(find "$credentials" -mindepth 1 ! -type f | sort | head -n 1)
    [ -z "$file" ] || stop "--credentials $credentials: plain files only, no folders and no links: $file is none"
  fi
  if [ -f "$deb" ]; then
    file=$(dpkg-deb --field "$deb" Package 2>/dev/null && dpkg-deb --field "$deb" Architecture 2>/dev/null) ||
      stop "--deb $deb is no Debian package" "give the egret_*_arm64.deb that scripts/cross.sh makes"
    file=${file/$'\n'/ }
    [ "$file" = "egret arm64" ] || stop "--deb $deb is the package '$file', not egret for arm64"
  fi
  if [ -n "$egret_config" ] && command -v egret >/dev/null; then
    if ! said=$(egret check --config "$egret_config" 2>&1); then
      printf '%s\n' "$said" >&2
      [ -n "$config_unchecked" ] || stop "--egret-config $egret_config is refused, see above (egret check)" \
        "if all that it lacks are files that only the device has: --config-unchecked"
      warn "--config-unchecked: $egret_config is taken all the same"
    fi
  elif [ -n "$egret_config" ]; then
    warn "egret is not installed here: the device will be the first to check $egret_config"
  fi
}

# The folder must keep owners, set-uid bits and device nodes.
check_host() {
  local options free=40
  need_host "$work"
  need_root
  need_programs tar bzip2 sha256sum unshare chroot flock openssl dpkg-deb findmnt
  [ -e "$proc/sys/fs/binfmt_misc/qemu-aarch64" ] || refuse "programs of the device (arm64) cannot run here, and packages are installed by them" \
    "apt-get install qemu-user-static binfmt-support"
  options=$(findmnt -n -o OPTIONS -T "$(existing "$work")" || true)
  case ,$options, in
    *,nosuid,* | *,nodev,* | *,noexec,*) refuse "$work is on a file system that is mounted with $options" \
      "take a folder on an ordinary disk, where set-uid bits and devices of the root file system are kept" ;;
  esac
  [ ! -e "$state/bsp" ] || free=5
  need_space "$work" "${min_free:-$free}"
}

# What goes into each stage, as digests that contain the stages before. The names of the settings belong to the root file
# system: with one more or one less it is made anew, so that nothing stays behind.
chains() {
  bsp_digest=$(expected bsp "$bsp")
  rootfs_digest=$(expected rootfs "$rootfs")
  deb_digest=$(expected deb "$deb")
  [[ $bsp_digest$rootfs_digest$deb_digest != *unknown* ]] || would_refuse=1
  local i names='' contents=''
  is_bsp=$(digest "$bsp_digest")
  is_unpacked=$(digest "$is_bsp" "$rootfs_digest")
  is_applied=$(digest "$is_unpacked" "$apply")
  is_installed=$(digest "$is_applied" "$deb_digest" "$packages" "$(digest_of_file "$flash_dir/into-rootfs.sh")")
  list_settings
  for i in "${!set_to[@]}"; do
    names+="${set_to[i]}/"
    contents+=$(digest_of_file "${set_from[i]}")
  done
  is_complete=$(digest "$is_installed" "$user" "$hostname" "$sudo" "${ssh_key:+$(cat "$ssh_key")}" \
    "${password_file:+$(digest_of_file "$password_file")}" "$names${device_name:+device}" "$(digest_of_file "$flash_dir/add-user.sh")")
  is_set=$(digest "$is_complete" "$contents" "$power_mode" "$device_name")
  is_prepared=$(digest "$is_set" "$board $storage $release $ab $config")
}

unpack_bsp() {
  local found
  if [ "$(state_of bsp)" = "$is_bsp" ]; then say "BSP: done"; return; fi
  say "BSP: unpacking"
  remove "$work/unpack"
  verify bsp "$bsp" "$bsp_digest"
  run mkdir -p "$work/unpack"
  run tar --numeric-owner -xpf "$bsp" -C "$work/unpack"
  if [ -z "$dry_run" ]; then
    found=$(bsp_release "$work/unpack/Linux_for_Tegra")
    [ "$found" = "$release" ] || stop "$bsp is Jetson Linux $found, and JetPack $jetpack is Jetson Linux $release" "give the BSP of $release"
  fi
  note_state bsp changing
  remove "$l4t"
  run mv -T "$work/unpack/Linux_for_Tegra" "$l4t"
  note_state bsp "$is_bsp"
}

check_bsp() {
  local file
  for file in "$config.conf" "$tool" "$layout" "$firmware" apply_binaries.sh tools/l4t_create_default_user.sh; do
    [ "$file" = - ] || [ -n "$dry_run" ] || [ -e "$l4t/$file" ] || stop "the BSP in $l4t has no $file" \
      "it does not fit $board ($config) with $storage"
  done
}

# The root file system: unpacked, NVIDIA's packages, egret, the user. Its state is what went into it so far, or `changing`
# while something changes it: then nobody knows what it is, and it is made anew from its archive.
build_rootfs() {
  local is
  is=$(state_of rootfs)
  [ -e "$l4t/rootfs/etc" ] || is=''
  case $is in
    "$is_complete") say "root file system: done"; return ;;
    "$is_unpacked" | "$is_applied" | "$is_installed") ;;
    changing) say "root file system: was interrupted, made anew"; is='' ;;
    *) is='' ;;
  esac
  note_state settings changing
  if [ -z "$is" ]; then
    say "root file system: unpacking"
    verify rootfs "$rootfs" "$rootfs_digest"
    note_state rootfs changing
    remove "$l4t/rootfs"
    run mkdir -p "$l4t/rootfs"
    run tar --numeric-owner -xpf "$rootfs" -C "$l4t/rootfs"
    note_state rootfs "$is_unpacked"
    is=$is_unpacked
  fi
  if [ "$is" = "$is_unpacked" ]; then
    # `operator`, for one, is a group of every Debian and Ubuntu.
    if [ -z "$dry_run" ] && cut -d: -f1 "$l4t"/rootfs/etc/{passwd,group} | grep -qx "$user"; then
      stop "--user $user: the root file system has a user or group of that name already" "take another name"
    fi
    say "root file system: NVIDIA's packages"
    note_state rootfs changing
    if [ "$apply" = - ]; then run_in "$l4t" ./apply_binaries.sh; else run_in "$l4t" ./apply_binaries.sh "$apply"; fi
    note_state rootfs "$is_applied"
    is=$is_applied
  fi
  if [ "$is" = "$is_applied" ]; then
    say "root file system: egret"
    verify deb "$deb" "$deb_digest"
    note_state rootfs changing
    # shellcheck disable=SC2086 # names of packages, checked above
    run unshare --mount --pid --fork --kill-child "$flash_dir/into-rootfs.sh" "$l4t/rootfs" "$soc" "$deb" $packages
    note_state rootfs "$is_installed"
  fi
  say "root file system: user $user, host name $hostname"
  note_state rootfs changing
  run "$flash_dir/add-user.sh" "$l4t" "$user" "$hostname" "$sudo" "$ssh_key" "$password_file"
  note_state rootfs "$is_complete"
}

main() {
  arguments "$@"
  check_arguments
  release=$(release_of "$jetpack")
  choose_board "$want_board" "$want_storage" "$release"
  config=${other_config:-$config} state=$work/state l4t=$work/Linux_for_Tegra
  soc=t234
  [ "$release" = 36.5.0 ] || soc=som
  [ "$ab" = 0 ] || [ "$ab_known" = shown ] \
    || warn "no source shows A/B on $board with $storage and Jetson Linux $release: its command follows from another board's"
  say "$board, $storage, JetPack $jetpack (Jetson Linux $release), $(root_systems "$ab"), in $work"
  check_host
  check_files
  chains
  take_lock "$work"
  # Until the end nothing here may be flashed.
  [ ! -e "$work/prepared" ] || [ "$(value is "$work/prepared")" = "$is_prepared" ] || run rm -f "$work/prepared"
  unpack_bsp
  [ "$ab" = 0 ] || layout=$ab_layout
  check_bsp
  build_rootfs
  write_settings
  printf '%s\n' "is=$is_prepared" "board=$board" "storage=$storage" "jetpack=$jetpack" \
    "release=$release" "ab=$ab" "config=$config" "user=$user" "hostname=$hostname" "power_mode=$power_mode" | put 0644 "$work/prepared"
  [ -z "$dry_run" ] || end_dry_run
  say "ready: put the board into recovery mode, then: sudo jetson/flash/flash.sh --work $work --yes"
}

main "$@"
