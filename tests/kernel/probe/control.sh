#!/bin/sh
# Runs a command with every right of root, in a disposable copy of this machine's tree: the other side of each test.
#
#   unshare --mount --pid --ipc --uts --net --cgroup --fork --kill-child sh control.sh STAGE COMMAND...
#
# STAGE is an empty directory. The tree is an overlay whose writable layer is a tmpfs of this mount namespace, so that
# nothing is written to the machine; the processes, the names and the network are those of the new namespaces. What an
# attempt may find is planted here: a home, sockets, a process with an environment, an address for the metadata service.
set -eu
stage=$1
shift
mount -t tmpfs -o size=3g stage "$stage"
mkdir "$stage/upper" "$stage/work" "$stage/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" "$stage/root"
root=$stage/root
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || :
mount -t tmpfs tmpfs "$root/dev" # not devtmpfs: all mounts of that one are the machine's own /dev
for node in /dev/*; do
    if [ -b "$node" ] || [ -c "$node" ]; then cp -a "$node" "$root/dev/"; fi
done
mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/probe-stage"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
for place in dev/shm dev/mqueue tmp run home root srv boot mnt; do
    [ -d "$root/$place" ] || mkdir "$root/$place"
done
mount -t mqueue mqueue "$root/dev/mqueue"
for place in dev/shm tmp run home root srv; do
    mount -t tmpfs -o size=1g tmpfs "$root/$place"
done
cp "$1" "$root/tmp/probe"
shift
mkdir -p "$root/root/.ssh" "$root/root/.aws" "$root/home/user" "$root/srv/data" "$root/run/secrets" "$root/probe-stage/old"
touch "$root/root/.ssh/id_planted" "$root/root/.aws/planted" "$root/run/secrets/planted"
ip link set lo up
# every address of the world is this loopback: an attempt gets through, and no packet leaves
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
ip link add probe0 type veth peer name probe1
ip address add 10.0.2.15/24 dev probe0
ip address add fe80::5/64 dev probe0 nodad
ip link set probe0 up
ip link set probe1 up
ip route add 224.0.0.0/4 dev probe0
ip route add broadcast 255.255.255.255 dev probe0
cd "$root"
pivot_root . probe-stage/old
umount -l /probe-stage/old
export PLANTED_CANARY=1
sleep 600 &
/tmp/probe "$@"
