//go:build lab && linux

package packages

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// openrcBed makes of Debian's root one that OpenRC starts, with two NICs that ifupdown brings up from a file as cloud-init writes it.
// What Debian's initscripts would bring is not there, so networking must not ask for it.
const openrcBed = `
rm /usr/lib/systemd/systemd
ip link set lo up
for i in 0 1; do ip link add eth$i type veth peer name p$i; ip link set p$i up; done
printf 'auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n' > /etc/network/interfaces
instance() {
	printf 'auto eth0\niface eth0 inet static\n  address 10.0.2.15/24\n  gateway 10.0.2.2\nauto eth1\niface eth1 inet static\n  address 192.168.76.15/24\n  gateway 192.168.76.2\n' > /etc/network/interfaces.d/50-cloud-init
}
instance
sed -i '/^# Required-St/s/:.*/:/' /etc/init.d/networking
for s in hwclock.sh kmod procps udev cgroups; do rm -f /etc/runlevels/*/$s; done
mount -t tmpfs -o mode=755 tmpfs /run
mount -t sysfs sysfs /sys
`

// install.sh puts its services into an image of OpenRC, and its machine has the metrics as soon as its network is up: the real openrc
// runs them in their order. A second boot finds nothing to do, a reload applies again, and uninstalled they are gone.
func TestOpenRC(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	release(t, packages(t, first), "", files)
	out := chrooted(t, lab.Root(t, "bookworm-ifupdown+openrc"), files, openrcBed+`
mount --bind / /mnt
cd /tmp/in
find /etc ! -type d | sort > /tmp/before
sh install.sh --from . --root /mnt --without-signature
printf 'version: 1\nnetwork:\n  nics:\n    - match: {name: eth0}\n      role: nat\n    - match: {name: eth1}\n' > /etc/provision/provision.yaml
/usr/local/bin/provision apply --root /mnt > /dev/null
umount /mnt
instance
openrc sysinit 2>&1
grep metric /etc/network/interfaces.d/50-cloud-init | sed 's/^ */before the network: /'
openrc boot 2>&1
ip route show default | sed 's/^/up: /'
openrc default 2>&1
rc-status -a | sed 's/\x1b[^m]*m//g; s/^/status: /'
[ ! -e /var/lib/provision/baked ] && echo "a machine"
/usr/local/bin/provision plan --exit-code > /dev/null && echo "nothing to do"
sha256sum /etc/network/interfaces.d/50-cloud-init > /tmp/sum
rc-service provision reload
sha256sum -c /tmp/sum
sh install.sh --uninstall --purge 2>&1
find /etc ! -type d | sort | diff /tmp/before - | sed 's/^/left: /'
rc-status -a | grep provision | sed 's/^/left: /'
`)
	for _, want := range []string{
		"before the network: metric 1000\nbefore the network: metric 10\n",
		"up: default via 192.168.76.2 dev eth1 metric 10", "up: default via 10.0.2.2 dev eth0 metric 1000",
		"a machine\n", "nothing to do\n", "50-cloud-init: OK\n", "provision is removed",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nobody said %q", want)
		}
	}
	for _, service := range []string{"provision-early ", "networking ", "provision "} {
		started := false
		for line := range strings.Lines(out) {
			started = started || strings.HasPrefix(line, "status:  "+service) && strings.Contains(line, "started")
		}
		if !started {
			t.Errorf("%s was not started", service)
		}
	}
	for _, not := range []string{"left: ", "Service `provision", "ERROR: provision"} {
		if strings.Contains(out, not) {
			t.Errorf("it says %q", not)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
