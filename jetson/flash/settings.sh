# shellcheck shell=bash disable=SC2154
# What prepare.sh writes into the root file system at last: configuration, credentials, a provisioning set, the power mode.
# Sourced by it alone, and uses its variables.

# MODE PATH of each file, and where it comes from.
set_to=() set_from=()
setting() { set_to+=("$1 $2") set_from+=("$3"); }
list_settings() {
  local file
  [ -z "$egret_config" ] || setting 0644 etc/egret/egret.toml "$egret_config"
  if [ -n "$credentials" ]; then
    while IFS= read -r file; do setting 0600 "etc/egret/${file##*/}" "$file"; done < <(find "$credentials" -type f | sort)
  fi
  if [ -n "$provision" ]; then
    while IFS= read -r file; do
      case $file in
        credentials/*) setting 0600 "etc/egret/$file" "$provision/$file" ;;
        certificates/*) setting 0644 "etc/egret/$file" "$provision/$file" ;;
      esac
    done < <(cut -c67- "$provision/SHA256SUMS")
  fi
  if [ -n "$power_mode" ]; then
    setting 0755 usr/local/lib/egret/power-mode.sh "$flash_dir/power-mode.sh"
    setting 0644 etc/systemd/system/egret-power-mode.service "$flash_dir/egret-power-mode.service"
  fi
}

# --provision: a folder in the form that egret-provision of the Yocto image takes from a stick. Checked here as there, but for
# its signature: that is for devices which others can reach, and here it is the operator who calls.
check_provision() {
  local folder=$1 name
  local names='provision|egret\.toml|authorized_keys|allowed_signers|(credentials|certificates)/[A-Za-z0-9][A-Za-z0-9._-]{0,63}'
  [ -f "$folder/SHA256SUMS" ] || stop "--provision $folder: SHA256SUMS is missing" "it lists the other files, as sha256sum prints them"
  ! grep -qvE "^[0-9a-f]{64}  ($names)\$" "$folder/SHA256SUMS" || stop "--provision $folder: SHA256SUMS lists what does not belong there"
  [ -z "$(find "$folder" -type l)" ] || stop "--provision $folder: there are links in it"
  (cd "$folder" && sha256sum --check --strict --status SHA256SUMS) || stop "--provision $folder: a file is not what SHA256SUMS says"
  for name in provision egret.toml; do
    grep -q "  $name\$" "$folder/SHA256SUMS" || stop "--provision $folder: $name is not in SHA256SUMS"
  done
  [ "$(value format "$folder/provision")" = 1 ] || stop "--provision $folder: provision has to say format=1"
  [[ $(value device "$folder/provision") =~ ^[A-Za-z0-9_-]{0,64}$ ]] || stop "--provision $folder: device= takes letters, digits, - and _"
  [ -z "$(value hardware "$folder/provision")" ] || stop "--provision $folder: it is for one device (hardware=), and this is not on it yet" \
    "leave hardware= out, or take that device into service by its own means"
}

write_settings() {
  local i mode to owner
  if [ "$(state_of settings)" = "$is_set" ]; then say "settings: done"; return; fi
  say "settings: writing"
  note_state settings changing
  for i in "${!set_to[@]}"; do
    read -r mode to <<<"${set_to[i]}"
    put "$mode" "$l4t/rootfs/$to" <"${set_from[i]}"
  done
  if [ -n "$device_name" ]; then
    printf 'device = "%s"\n' "$device_name" | put 0644 "$l4t/rootfs/etc/egret/conf.d/90-device.toml"
  fi
  # The daemon reads these itself: it is their owner, as on the Yocto image. Its user came with the package.
  if [[ ${set_to[*]} == *" etc/egret/credentials/"* ]]; then
    owner=egret
    [ -n "$dry_run" ] || owner=$(awk -F: '$1 == "egret" { print $3 ":" $4 }' "$l4t/rootfs/etc/passwd")
    [ -n "$owner" ] || stop "the package made no user egret: nobody could read the credentials"
    run chown -R "$owner" "$l4t/rootfs/etc/egret/credentials"
    run chmod 0700 "$l4t/rootfs/etc/egret/credentials"
  fi
  if [ -n "$power_mode" ]; then
    printf '%s\n' "$power_mode" | put 0644 "$l4t/rootfs/etc/egret/power-mode"
    run ln -sfn ../egret-power-mode.service "$l4t/rootfs/etc/systemd/system/multi-user.target.wants/egret-power-mode.service"
  fi
  note_state settings "$is_set"
}
