# shellcheck shell=bash
# Sourced while a host is made: gives it a /tmp and a /dev/shm of its own, empty. Program and sources
# stay where they are even where that is below /tmp.
for folder in "$SHOAL_SOURCE_DIR" "$SHOAL_CLUSTER_TOOLS"; do
  case $(readlink -f "$folder") in
    /tmp/*)
      mkdir -p "/run/cluster/keep$(readlink -f "$folder")"
      mount --rbind "$folder" "/run/cluster/keep$(readlink -f "$folder")"
      ;;
  esac
done
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs -o mode=1777 none /dev/shm
for folder in "$SHOAL_SOURCE_DIR" "$SHOAL_CLUSTER_TOOLS"; do
  kept=/run/cluster/keep$folder
  if [ -d "$kept" ]; then
    mkdir -p "$folder"
    mount --rbind "$kept" "$folder"
  fi
done
