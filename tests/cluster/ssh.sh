# shellcheck shell=bash
# Sourced after hosts.sh: an sshd on every virtual host, and keys. ssh_prepare comes before hosts_up, and
# ssh_up after it. Needs root.
ssh_folder=$SHOAL_CLUSTER/ssh

# A folder of our own stands in /etc/ssh's place, on this and all later hosts.
ssh_prepare() {
  mkdir -m 700 "$ssh_folder"
  ssh-keygen -q -t ed25519 -N '' -f "$ssh_folder/host"
  ssh-keygen -q -t ed25519 -N '' -f "$ssh_folder/id"
  cp "$ssh_folder/id.pub" "$ssh_folder/authorized_keys"
  { printf 'h* '; cut -d' ' -f1,2 "$ssh_folder/host.pub"; } >"$ssh_folder/known_hosts"
  cat >"$ssh_folder/sshd_config" <<END
HostKey $ssh_folder/host
AuthorizedKeysFile $ssh_folder/authorized_keys
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
PidFile none
END
  cat >"$ssh_folder/ssh_config" <<END
Host *
  IdentityFile $ssh_folder/id
  IdentitiesOnly yes
  UserKnownHostsFile $ssh_folder/known_hosts
  StrictHostKeyChecking yes
  LogLevel ERROR
END
  mount --bind "$ssh_folder" /etc/ssh
}

ssh_up() { # HOST...
  local host
  for host in "$@"; do on "$host" /usr/sbin/sshd -f "$ssh_folder/sshd_config"; done
}
