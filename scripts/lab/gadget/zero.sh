# What the Pi Zero's guest does: a gadget, a laptop in a namespace, ten leases, the server's memory. Busybox's sh; provision is in PATH.
fail() { echo "FAIL: $*"; cat /tmp/serve.log; dmesg | tail -15; exit 1; }
until_ok() { # until_ok SECONDS COMMAND...
  left=$(($1 * 10)); shift
  while ! "$@" > /dev/null 2>&1; do left=$((left - 1)); [ $left -gt 0 ] || return 1; usleep 100000; done
}
provision version || fail "the program does not run"
echo 6f1d8a0c3b5e47929c1f0e2d4a6b8c0d > /etc/machine-id # QEMU's board has no serial number
cat > /etc/provision/provision.yaml << C
version: 1
gadget:
  profile: modern
  addresses: [10.55.0.1/24]
C
chmod 600 /etc/provision/provision.yaml
provision serve > /tmp/serve.log 2>&1 &
server=$!
until_ok 60 provision status || fail "no server"
provision gadget up || fail "gadget up: status $?"
[ "$(cat /sys/kernel/config/usb_gadget/provision/UDC)" = dummy_udc.0 ] || fail "it is not bound"
nic() { ls -d /sys/devices/platform/dummy_hcd.0/usb*/*-1/*/net/* 2> /dev/null; }
until_ok 30 nic || fail "the host has no NIC"
n=$(nic); n=${n##*/}
unshare -n sleep 1000 &
laptop=$!
here=$(readlink /proc/1/ns/net)
apart() { [ "$(readlink /proc/$laptop/ns/net)" != "$here" ]; }
until_ok 10 apart || fail "no namespace"
ip link set "$n" netns $laptop && nsenter -t $laptop -n ip link set "$n" up || fail "cannot move $n"
up() { nsenter -t $laptop -n cat /sys/class/net/$n/carrier || nsenter -t $laptop -n ip link show $n | grep -q LOWER_UP; }
until_ok 10 up || fail "no carrier"
for c in 0 1 2 3 4 5 6 7 8 9; do # ten clients, by their client identifiers
  nsenter -t $laptop -n udhcpc -f -q -n -i "$n" -s /bin/true -t 15 -T 1 -x 0x3d:00aa0$c > /tmp/client 2>&1 || { cat /tmp/client; fail "client $c has no lease"; }
  grep -o 'lease of [0-9.]*' /tmp/client
done
echo "leases: $(provision leases -o json | grep -o '"address"' | wc -l)"
memory() { echo "memory $1:" $(grep -E '^VmRSS' /proc/$server/status) $(grep -E '^(RssAnon|VmHWM|Threads)' /proc/$server/status); }
memory "with ten leases"
kill -HUP $server
until_ok 60 grep -q "was read again" /tmp/serve.log || fail "no reload"
memory "after a reload"
# The kernel of this guest has no WireGuard module loaded: the program is the device itself, on /dev/net/tun.
mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
provision wireguard init --endpoint 192.0.2.1 --manage no > /tmp/init 2>&1 || { cat /tmp/init; fail "wireguard init"; }
provision wireguard add phone > /tmp/add 2>&1 || { cat /tmp/add; fail "wireguard add"; }
server=$(ps | awk '/provision wireguard run/ && !/awk/ {print $1; exit}')
[ -n "$server" ] || { ps; fail "nothing is the device"; }
memory "as a WireGuard device"
