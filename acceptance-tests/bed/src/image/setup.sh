# Runs in the new image, as root: users, sshd, and nothing that two VMs would share.
set -e
useradd --create-home --shell /bin/bash ubuntu
useradd --create-home --shell /bin/bash nosudo
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/ubuntu
chmod 0440 /etc/sudoers.d/ubuntu
cat >/etc/ssh/sshd_config.d/bed.conf <<'SSHD'
LogLevel VERBOSE
PasswordAuthentication no
PermitRootLogin prohibit-password
SSHD
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
: >/etc/machine-id
# Persistent, so that connections can be counted over a reboot.
mkdir -p /var/log/journal
# Nothing changes on an idle VM: listings taken before and after a test can be compared.
systemctl disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer 2>/dev/null || true
apt-get clean
