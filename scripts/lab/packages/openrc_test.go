//go:build lab && linux

package packages

import (
	"os/exec"
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

// apkBed makes the root as much Alpine's as Debian's can be: BusyBox is its shell (but for Debian's own ifup, which that one takes for
// one of its applets) and its log, and the network comes up in the runlevel boot. apk itself is not among Debian's packages; this is
// what it does (apk-tools, src/database.c): scripts are the package's files that begin with a dot, below /etc whatever somebody has
// changed stays, and at an upgrade the package's file is put beside it. The folder /dev is its own, so that nothing is logged elsewhere.
const apkBed = `
mount -t tmpfs dev /dev
for n in null:3 zero:5 random:8 urandom:9; do mknod -m 666 /dev/${n%:*} c 1 ${n#*:}; done
sed -i '1s,bin/sh,bin/dash,' /etc/init.d/networking
cp /tmp/in/busybox /usr/bin/busybox
busybox syslogd -O /tmp/log
ln -sf busybox /usr/bin/sh
rc-update -q del networking sysinit
rc-update -q add networking boot
unpack() {
	mkdir /tmp/$1
	tar --warning=no-unknown-keyword -xzf /tmp/in/$1.apk -C /tmp/$1
	(cd /tmp/$1; find * ! -type d | sort) > /tmp/$1.files
}
script() { [ ! -e /tmp/$1 ] || (cd /; exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh /tmp/"$@") || echo "failed: $1"; }
changed() { case $2 in etc/*) [ -e /$2 ] && ! cmp -s /tmp/$1/$2 /$2 ;; *) false ;; esac; }
put() {
	(cd /tmp/$1; find * -type d) | while read -r d; do mkdir -p /$d; done
	while read -r f; do
		to=/$f
		if changed $2 $f; then to=/$f.apk-new; fi
		cp -p /tmp/$1/$f $to.apk
		mv $to.apk $to
	done < /tmp/$1.files
}
delete() {
	while read -r f; do changed $1 $f || rm /$f; done < /tmp/$1.files
	(cd /tmp/$1; find * -depth -type d) | while read -r d; do rmdir /$d 2>/dev/null || :; done
}
`

// The .apk lives on a machine with OpenRC: installed it starts nothing before the boot; serve and watch start, read their configuration
// again in the same process, and are the new version's after an upgrade, which keeps an edited configuration; removed, the network is
// as it was, nothing runs, and what is left is the user's.
func TestApkLives(t *testing.T) {
	t.Parallel()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"busybox": busybox}
	for name, build := range map[string]func() (string, error){"old.apk": first, "next.apk": later} {
		files[name] = one(t, packages(t, build), "*."+arch("apk")+".apk")
	}
	out := chrooted(t, lab.Root(t, "bookworm-ifupdown+openrc"), files, openrcBed+apkBed+`
list() { find / -xdev ! -path '/proc/*' ! -path '/tmp/*' ! -path '/run/*' ! -type d | sort; }
services() { rc-status -a | sed "s/\x1b[^m]*m//g; s/^ */$1: /; s/  *\[ */ /" | grep provision || :; }
await() {
	n=0
	until "$@" > /dev/null 2>&1; do
		n=$((n + 1))
		if [ $n = 300 ]; then echo "in vain: $*"; return; fi
		sleep 0.1
	done
}
runs() { for pid in $(pidof provision); do tr '\0' ' ' < /proc/$pid/cmdline; readlink /proc/$pid/exe; done | sort | sed "s/^/$1: /"; }
pids() { pidof provision | tr ' ' '\n' | sort | paste -sd' '; }
watches() { [ -S /run/provision/watch.sock ]; } # from here on SIGHUP does not end it
pool() { provision status | grep -q "^eth1 .* $1 *0 *0 *0 *0 *$1$"; }
hung() { [ $(grep -c 'Sending signal 1 to' /tmp/log) = 2 ]; }
sed -i '/76.2$/a\  metric 5' /etc/network/interfaces.d/50-cloud-init
sha256sum /etc/network/interfaces.d/50-cloud-init > /tmp/sum
list > /tmp/before

unpack old
put old none
script old/.pre-install 1.0.0-r1
script old/.post-install 1.0.0-r1
ls /etc/runlevels/*/provision* | sed 's/^/enabled: /'
cat > /etc/provision/provision.yaml <<'END'
version: 1
network:
  nics:
    - match: {name: eth0}
      role: nat
      route-metric: 700
serve:
  links:
    - match: {name: eth1}
      dhcp4: {pools: [192.168.76.100-192.168.76.150]}
routing:
  zones:
    outside: {interfaces: [eth0]}
  firewall:
    rules:
      - {source-interface: outside, destination-interface: self, port: [ssh], action: allow}
END
for level in sysinit boot default; do openrc $level 2>&1; done
services booted
ip route show default | sed 's/^/up: /'
provision plan --exit-code > /dev/null && echo "nothing to do"

for s in serve watch; do rc-service provision-$s start; done
await pool 51
await watches
services started
runs old
pids > /tmp/pids
sed -i s/76.150/76.120/ /etc/provision/provision.yaml
for s in serve watch; do rc-service provision-$s reload; done
await pool 21
await hung
[ "$(pids)" = "$(cat /tmp/pids)" ] && echo "the same processes"
rc-service provision-watch stop
services stopped
rc-service provision-watch start
await watches

unpack next
script next/.pre-upgrade 1.1.0-r1 1.0.0-r1
put next old
script next/.post-upgrade 1.1.0-r1 1.0.0-r1
await pool 21
await watches
grep -q 76.120 /etc/provision/provision.yaml && echo "the configuration stays"
tail -n 1 /etc/provision/provision.yaml.apk-new
services upgraded
runs new
provision status | sed -n '1s/,.*//p'

script next/.pre-deinstall 1.1.0-r1 2>&1
delete next
script next/.post-deinstall 1.1.0-r1
services removed
runs removed
sha256sum -c /tmp/sum
ip route show default | sed 's/^/after: /'
ls /etc/runlevels/*/provision* 2>/dev/null | sed 's/^/still: /'
list | diff /tmp/before - | grep '^[<>]' | grep -v -e /var/lib/provision/ -e /var/lib/dbus/machine-id | sed 's/^/left: /'
`)
	for _, want := range []string{
		"enabled: /etc/runlevels/boot/provision-early\nenabled: /etc/runlevels/default/provision\n",
		"booted: provision-early started", "booted: provision started", "up: default via 10.0.2.2 dev eth0 metric 700", "nothing to do\n",
		"started: provision-serve started", "started: provision-watch started",
		"old: /usr/bin/provision serve /usr/bin/provision\nold: /usr/bin/provision watch /usr/bin/provision\n", "the same processes\n",
		"stopped: provision-serve started", "the configuration stays\n", newDefault, "upgraded: provision-serve started", "upgraded: provision-watch started",
		"new: /usr/bin/provision serve /usr/bin/provision\nnew: /usr/bin/provision watch /usr/bin/provision\n", "provision v1.1.0\n",
		"going back to the network as it was", "50-cloud-init: OK\n", "after: default via 10.0.2.2 dev eth0 onlink",
		"left: > /etc/provision/provision.yaml\nleft: > /etc/provision/provision.yaml.apk-new\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nobody said %q", want)
		}
	}
	for _, not := range []string{"failed: ", "in vain: ", "stopped: provision-watch started", "booted: provision-serve", "removed: ", "still: ", "[ !! ]", "after: default via 10.0.2.2 dev eth0 metric"} {
		if strings.Contains(out, not) {
			t.Errorf("it says %q", not)
		}
	}
	if n := strings.Count(out, "left: "); n != 2 {
		t.Errorf("%d files are left, not 2", n)
	}
	if t.Failed() {
		t.Log(out)
	}
}
